"""Who holds a data directory: one process at a time, known by name, however it ends."""

import fcntl
import json
import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from app.kernel.embedded.errors import DataHeld
from app.kernel.embedded.places import prepare

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Holder:
    """What the holder says of itself; the URLs once its stores answer."""

    pid: int
    since: datetime
    what: str
    database_url: str | None = None
    redis_url: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """The lock while it is ours."""

    data_dir: Path
    what: str
    since: datetime = field(default_factory=lambda: datetime.now(UTC))

    def announce(self, database_url: str | None, redis_url: str | None) -> None:
        """Tell other commands on this data where the stores answer."""
        facts = {
            "pid": os.getpid(),
            "since": self.since.isoformat(),
            "what": self.what,
            "database_url": database_url,
            "redis_url": redis_url,
        }
        path = _card(self.data_dir)
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(facts))
        draft.replace(path)


@contextmanager
def hold(data_dir: Path, *, what: str) -> Generator[Hold]:
    """Hold the data directory for the block; the system lets go of it even after `kill -9`.

    Raises DataHeld naming the holder, or NotWritable.
    """
    root = prepare(data_dir).root
    with (root / "lock").open("a") as lock:
        if not _take(lock, fcntl.LOCK_EX):
            raise held(root)
        mine = Hold(root, what)
        mine.announce(None, None)
        try:
            yield mine
        finally:
            _card(root).unlink(missing_ok=True)


@contextmanager
def attached(root: Path) -> Generator[bool]:
    """Be counted as a user of another process's stores; False when they are just being ended."""
    with (root / "users").open("a") as users:
        yield _take(users, fcntl.LOCK_SH)


@contextmanager
def last_user(root: Path, *, wait: bool) -> Generator[None]:
    """Keep other commands from attaching, after waiting for those that have (when `wait`)."""
    with (root / "users").open("a") as users:
        if not _take(users, fcntl.LOCK_EX) and wait:
            _log.warning("other commands still use this data's stores; ending when they have")
            fcntl.flock(users, fcntl.LOCK_EX)
        yield


def holder(root: Path) -> Holder | None:
    """What the present holder last said, or None when it has said nothing yet."""
    try:
        facts: dict[str, Any] = json.loads(_card(root).read_text())
        return Holder(
            pid=int(facts["pid"]),
            since=datetime.fromisoformat(facts["since"]),
            what=str(facts["what"]),
            database_url=facts["database_url"],
            redis_url=facts["redis_url"],
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None


def held(root: Path) -> DataHeld:
    """The refusal that names the present holder."""
    found = holder(root)
    if found is None:
        return DataHeld(pid=0, since=None, what="another process", data_dir=root)
    return DataHeld(pid=found.pid, since=found.since, what=found.what, data_dir=root)


def _take(lock: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _card(root: Path) -> Path:
    return root / "holder.json"
