"""One holder of a data directory at a time; other commands use its stores meanwhile."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from app.kernel.embedded import DataHeld, hold, run_stores, stores
from app.kernel.embedded.database import is_answering
from app.kernel.embedded.lock import holder
from app.kernel.embedded.valkey import is_answering as valkey_is_answering

HOLDER = """
import sys
from pathlib import Path
from app.kernel.embedded import hold
with hold(Path(sys.argv[1]), what="linli import"):
    print("held", flush=True)
    sys.stdin.read()
"""

USER = """
import sys
from pathlib import Path
from app.kernel.embedded import stores
with stores(Path(sys.argv[1]), what="linli train") as found:
    print(found.owned, found.database_url, found.redis_url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="linli-") as folder:
        yield Path(folder).resolve() / "data"


def begin(script: str, data_dir: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def answers(check: Callable[[str], bool], url: str) -> bool:
    """A server that is there answers, though on a busy machine not at once."""
    deadline = time.monotonic() + 60
    while not (said := check(url)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return said


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_second_holder_learns_who_the_first_is(data_dir: Path) -> None:
    with begin(HOLDER, data_dir) as first:
        assert first_line(first) == "held"
        with (
            pytest.raises(DataHeld, match=rf"linli import \(pid {first.pid}, since") as refusal,
            hold(data_dir, what="linli up"),
        ):
            pass
        assert (refusal.value.pid, refusal.value.what) == (first.pid, "linli import")
        assert "正被 linli import 使用" in refusal.value.chinese
        first.kill()
    with hold(data_dir, what="linli up"):
        present = holder(data_dir)
        assert present is not None
        assert present.what == "linli up"
    assert holder(data_dir) is None


def test_given_servers_are_used_and_nothing_is_touched(data_dir: Path) -> None:
    database, cache = "postgresql://a@b/c", "redis://d"
    with stores(data_dir, database_url=database, redis_url=cache) as found:
        assert (found.database_url, found.redis_url, found.owned) == (database, cache, False)
    assert not data_dir.exists()


def test_one_given_server_leaves_the_other_embedded(data_dir: Path) -> None:
    with stores(data_dir, database_url="postgresql://a@b/c") as found:
        assert found.postgres is None
        assert found.valkey is not None
        assert answers(valkey_is_answering, found.redis_url)
    assert not (data_dir / "postgres").exists()


def test_owner_waits_for_a_command_that_uses_its_stores(data_dir: Path) -> None:
    with begin(USER, data_dir) as owner:
        owned, database_url, redis_url = first_line(owner).split()
        assert owned == "True"
        with stores(data_dir, what="linli score") as found:
            assert not found.owned
            assert (found.database_url, found.redis_url) == (database_url, redis_url)
            assert owner.stdin is not None
            owner.stdin.close()
            with pytest.raises(subprocess.TimeoutExpired):
                owner.wait(1.0)
            assert answers(is_answering, found.database_url)
        assert owner.wait(120) == 0
    assert not is_answering(database_url)


def test_supervised_stores_end_without_waiting(data_dir: Path) -> None:
    with hold(data_dir, what="linli up") as mine:
        with run_stores(mine, wait_for_users=False) as running:
            assert running.postgres is not None
            with begin(USER, data_dir) as user:
                owned, _, redis_url = first_line(user).split()
                assert (owned, redis_url) == ("False", running.redis_url)
                user.kill()
        assert not psutil.pid_exists(running.postgres.pid)
        present = holder(data_dir)
        assert present is not None
        assert present.database_url is None


def test_killed_owner_is_followed_by_the_next(data_dir: Path) -> None:
    with begin(USER, data_dir) as owner:
        assert first_line(owner).startswith("True")
        owner.kill()
    with stores(data_dir) as found:
        assert found.owned
        assert answers(is_answering, found.database_url)
