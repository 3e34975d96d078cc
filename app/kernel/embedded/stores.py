"""PostgreSQL and Valkey for one command: those of a running Linli, or own ones meanwhile."""

import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.kernel.embedded import database, valkey
from app.kernel.embedded.errors import DataHeld
from app.kernel.embedded.lock import Hold, attached, held, hold, holder, last_user
from app.kernel.embedded.places import prepare
from app.kernel.embedded.postgres import PostgresServer, start_postgres
from app.kernel.embedded.valkey import ValkeyServer, start_valkey

ATTACH_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Stores:
    """Addresses of both stores; `owned` when this process started them."""

    database_url: str
    redis_url: str
    owned: bool
    postgres: PostgresServer | None = None
    valkey: ValkeyServer | None = None


@contextmanager
def stores(
    data_dir: Path,
    *,
    what: str = "linli",
    database_url: str | None = None,
    redis_url: str | None = None,
) -> Generator[Stores]:
    """Both stores for the duration of the block.

    A store whose URL is given is used as it is. Otherwise, when a running Linli (`linli up` or
    another command) serves this data, its stores are used and it waits for us before ending them;
    else they are started here under the directory's lock and ended after the block. `what` is the
    name other commands are shown as the holder's. Call it in the main thread.

    Raises DataHeld when a holder does not make its stores known, or what starting them raises.
    """
    if database_url and redis_url:
        yield Stores(database_url, redis_url, owned=False)
        return
    root = prepare(data_dir).root
    deadline = time.monotonic() + ATTACH_PATIENCE_SECONDS
    with ExitStack() as stack:
        while True:
            try:
                mine = stack.enter_context(hold(root, what=what))
            except DataHeld:
                found = _attach(root, stack, database_url, redis_url)
            else:
                found = stack.enter_context(run_stores(mine, database_url, redis_url))
            if found:
                break
            if time.monotonic() > deadline:
                raise held(root)
            time.sleep(0.2)
        yield found


@contextmanager
def run_stores(
    mine: Hold,
    database_url: str | None = None,
    redis_url: str | None = None,
    *,
    wait_for_users: bool = True,
) -> Generator[Stores]:
    """Start what is not given, tell other commands, and end it after the block.

    Commands that have attached meanwhile are waited for, unless told not to.
    """
    with ExitStack() as stack:
        postgres = None if database_url else start_postgres(mine.data_dir)
        if postgres:
            stack.callback(postgres.stop)
        server = None if redis_url else start_valkey(mine.data_dir)
        if server:
            stack.callback(server.stop)
        mine.announce(postgres and postgres.url, server and server.url)
        try:
            yield Stores(
                database_url or (postgres.url if postgres else ""),
                redis_url or (server.url if server else ""),
                owned=True,
                postgres=postgres,
                valkey=server,
            )
        finally:
            with last_user(mine.data_dir, wait=wait_for_users):
                mine.announce(None, None)
                stack.close()


def _attach(
    root: Path, stack: ExitStack, database_url: str | None, redis_url: str | None
) -> Stores | None:
    """The holder's stores, or None as long as they do not answer."""
    present = holder(root)
    if present is None:
        return None
    theirs = database_url or present.database_url, redis_url or present.redis_url
    if not (theirs[0] and theirs[1]):
        return None
    with ExitStack() as counted:
        if not counted.enter_context(attached(root)):
            return None
        if not (database_url or database.is_answering(theirs[0])):
            return None
        if not (redis_url or valkey.is_answering(theirs[1])):
            return None
        stack.push(counted.pop_all())
        return Stores(theirs[0], theirs[1], owned=False)
