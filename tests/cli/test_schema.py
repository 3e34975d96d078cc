"""`linli schema`: places that cannot be written, and manifests of trusted documents."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.kernel.manifest import digest_of
from cli.schema import schema_app
from schema.engine.trusted import Trusted
from tests.make.examples import FOLDER


@pytest.mark.parametrize("place", ["missing/schema.graphql", "."])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    answer = CliRunner().invoke(schema_app, ["export", "-o", str(tmp_path / place)])
    assert answer.exit_code == 1
    assert isinstance(answer.exception, SystemExit)
    assert "Cannot write" in answer.output


def trust(*arguments: object) -> Any:
    return CliRunner().invoke(schema_app, ["trust", *map(str, arguments)])


def test_the_examples_become_a_manifest_that_loads(tmp_path: Path) -> None:
    files = sorted(FOLDER.glob("*.graphql"))
    manifest = tmp_path / "trusted.json"
    answer = trust(*files, "--output", manifest)
    assert answer.exit_code == 0, answer.output
    trusted = Trusted.load(manifest)
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert trusted.asked_text({"documentId": f"sha256:{digest_of(text)}"}) == text
    again = trust(*reversed(files))
    assert again.stdout == manifest.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{ nothing }", "nothing"),
        (b"{", "Syntax Error"),
        (b"{ " + b"serverInfo { version } " * 30 + b"}", "at most 20 are allowed"),
        (b"\xff", "is not UTF-8"),
        (None, "Cannot read"),
    ],
)
def test_a_document_that_would_be_refused_is_named(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    good, bad = tmp_path / "good.graphql", tmp_path / "bad.graphql"
    good.write_text("{ serverInfo { version } }", encoding="utf-8")
    if content is not None:
        bad.write_bytes(content)
    answer = trust(good, bad, "-o", tmp_path / "trusted.json")
    assert answer.exit_code == 1
    said_plainly = "".join(answer.output.split())
    assert "".join(said.split()) in said_plainly
    assert "bad.graphql" in said_plainly
    assert "good.graphql" not in said_plainly
    assert not (tmp_path / "trusted.json").exists()
