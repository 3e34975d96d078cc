"""As whom PostgreSQL runs when we are root: it refuses to be root itself."""

import functools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from app.kernel.embedded.errors import RootUnsupported

NAMESPACE = ("--user", "--map-user=1000", "--map-group=1000")
NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Identity:
    """A command prefix, or a user id to switch to; neither when we are an ordinary user."""

    prefix: tuple[str, ...] = ()
    user: int | None = None

    def hand_over(self, *folders: Path) -> None:
        """Give the folders to the user switched to; a namespace needs no such thing."""
        if self.user is None:
            return
        for folder in folders:
            if folder.stat().st_uid == self.user:
                continue
            os.chown(folder, self.user, self.user)
            for path in folder.rglob("*"):
                os.lchown(path, self.user, self.user)


@functools.cache
def unprivileged(programs: Path) -> Identity:
    """Ourselves, or when we are root a user namespace, or where there are none `nobody`.

    Containers forbid namespaces often, and run as root often. Raises RootUnsupported when nobody
    could not even read the programs.
    """
    if os.getuid() != 0:
        return Identity()
    unshare = shutil.which("unshare") if sys.platform == "linux" else None
    if unshare and _can([unshare, *NAMESPACE, str(programs / "postgres"), "--version"], None):
        return Identity(prefix=(unshare, *NAMESPACE))
    if _can([str(programs / "postgres"), "--version"], NOBODY):
        return Identity(user=NOBODY)
    raise RootUnsupported(path=programs)


def _can(command: list[str], user: int | None) -> bool:
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=10, user=user, group=user, check=False
        )
    except OSError:
        return False
    return done.returncode == 0
