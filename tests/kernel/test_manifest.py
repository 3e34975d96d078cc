"""The file of trusted documents: what is none ends the start with the reason."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.kernel.config import BadSettings
from app.kernel.manifest import digest_of, manifest_of, read_manifest
from cli.doctor import diagnose
from cli.main import build

TEXT, OTHER = "query Home { serverInfo { version } } # 邻里", "{ tiers { code } }"
KNOWN = digest_of(TEXT)


def test_a_manifest_differs_only_where_its_documents_do(tmp_path: Path) -> None:
    file = tmp_path / "trusted.json"
    file.write_text(manifest_of([TEXT, OTHER, TEXT]), encoding="utf-8")
    assert read_manifest(file) == {KNOWN: TEXT, digest_of(OTHER): OTHER}
    assert manifest_of([OTHER, TEXT]) == file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no JSON"),
        (b"\xff", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "must be an object"),
        (b"{}", "must be an object"),
        (json.dumps({KNOWN: 7}).encode(), "is no text"),
        (json.dumps({KNOWN.upper(): TEXT}).encode(), "is no SHA-256 of 64"),
        (json.dumps({f"sha256:{KNOWN}": TEXT}).encode(), "is no SHA-256 of 64"),
        (json.dumps({KNOWN: OTHER}).encode(), f"{KNOWN} is not the SHA-256 of its document"),
    ],
)
def test_a_file_that_is_no_manifest_ends_the_start(
    tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "trusted.json"
    file.write_bytes(content)
    with pytest.raises(BadSettings, match=f"^LINLI_TRUSTED_DOCUMENTS: .*{said}"):
        read_manifest(file)


def test_a_manifest_that_is_not_there_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"LINLI_TRUSTED_DOCUMENTS: cannot read .*nowhere\.json"):
        read_manifest(tmp_path / "nowhere.json")
    with pytest.raises(BadSettings, match="cannot read"):
        read_manifest(tmp_path)


def test_serve_up_and_doctor_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LINLI_DATA_DIR", str(tmp_path / "nothing"))
    monkeypatch.setenv("LINLI_TRUSTED_DOCUMENTS", "nowhere.json")
    for verb in ("serve", "up"):
        answer = CliRunner().invoke(build(verb), [verb])
        assert answer.exit_code == 2
        assert "LINLI_TRUSTED_DOCUMENTS: cannot read nowhere.json" in answer.output
    found = {finding.check: finding for finding in diagnose()}
    assert found["documents"].state == "wrong"
    (tmp_path / "nowhere.json").write_text(manifest_of([TEXT]), encoding="utf-8")
    found = {finding.check: finding for finding in diagnose()}
    assert found["documents"].found == "trusted: 1"
    assert not (tmp_path / "nothing").exists()
