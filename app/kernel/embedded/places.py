"""Where the embedded stores keep their files, and the checks before they are touched."""

import errno
import hashlib
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from app.kernel.embedded.errors import DiskFull, NotWritable

# A Unix socket's path ends at 107 bytes on Linux and 103 on macOS; PostgreSQL adds 15 of its own.
LONGEST_RUN_DIR = 80

MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Places:
    """The folders below one data directory."""

    root: Path
    run: Path

    @property
    def postgres(self) -> Path:
        """The cluster's files."""
        return self.root / "postgres"

    @property
    def valkey(self) -> Path:
        """The append-only file."""
        return self.root / "valkey"

    @property
    def postgres_log(self) -> Path:
        """What the server said since it was started last."""
        return self.root / "log" / "postgres.log"

    @property
    def valkey_log(self) -> Path:
        """What the server said since it was started last."""
        return self.root / "log" / "valkey.log"

    @property
    def valkey_socket(self) -> Path:
        """The socket clients connect to."""
        return self.run / "valkey.sock"


def prepare(data_dir: Path) -> Places:
    """Make the folders, the socket folder readable by their owner alone.

    Raises NotWritable.
    """
    root = data_dir.expanduser().resolve()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        places = Places(root, _run_dir(root))
        for folder in (places.valkey, places.postgres_log.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        probe = root / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise disk_full(root, 1) from error
        raise NotWritable(path=error.filename or root, reason=error.strerror) from error
    return places


def require_space(root: Path, needed_mb: int) -> None:
    """Raise DiskFull unless that much is free; a store that fills the disk dies half-way."""
    if shutil.disk_usage(root).free < needed_mb * MEGABYTE:
        raise disk_full(root, needed_mb)


def disk_full(root: Path, needed_mb: int) -> DiskFull:
    """The refusal with the present figures."""
    free_mb = shutil.disk_usage(root).free // MEGABYTE
    return DiskFull(data_dir=root, free_mb=free_mb, needed_mb=needed_mb)


def _run_dir(root: Path) -> Path:
    wanted = root / "run"
    if len(os.fsencode(wanted)) > LONGEST_RUN_DIR:
        name = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
        wanted = Path(tempfile.gettempdir()).resolve() / f"linli-{os.getuid()}-{name}"
    wanted.mkdir(mode=0o700, exist_ok=True)
    found = wanted.lstat()
    # Whoever reaches the socket is the database's owner: a folder that somebody else made in the
    # shared temporary directory must not be trusted.
    if not stat.S_ISDIR(found.st_mode) or (found.st_uid != os.getuid() and os.getuid() != 0):
        raise PermissionError(errno.EPERM, "it belongs to somebody else", str(wanted))
    wanted.chmod(0o700)
    return wanted
