"""As whom PostgreSQL runs when we are root: it refuses to be root itself."""

import functools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from app.kernel.embedded.errors import NotWritable, RootUnsupported

NAMESPACE = ("--user", "--map-user=1000", "--map-group=1000")
NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Identity:
    """A command prefix, or a user id to switch to; neither when we are an ordinary user."""

    prefix: tuple[str, ...] = ()
    user: int | None = None

    def own(self, *folders: Path) -> None:
        """Give the folders to whom PostgreSQL runs as; only ever from root and `nobody`.

        Raises NotWritable when they are somebody else's: taking them would lock that user out.
        """
        if os.getuid() != 0:
            return
        wanted = self.user or 0
        for folder in folders:
            owner = folder.stat().st_uid
            if owner == wanted:
                continue
            if owner not in (0, NOBODY):
                raise NotWritable(
                    path=folder, reason=f"it belongs to user {owner}; run as that one"
                )
            os.chown(folder, wanted, wanted)
            for path in folder.rglob("*"):
                os.lchown(path, wanted, wanted)


@functools.cache
def unprivileged(programs: Path, root: Path) -> Identity:
    """Ourselves, or when we are root a user namespace, or where there are none `nobody`.

    Containers forbid namespaces often, and run as root often. Raises RootUnsupported when nobody
    else could even enter `root` (the data) or run the `programs`.
    """
    if os.getuid() != 0:
        return Identity()
    probe = ("/bin/sh", "-c", 'cd "$1" && exec "$2" --version', "sh", root, programs / "postgres")
    command = [str(word) for word in probe]
    unshare = shutil.which("unshare") if sys.platform == "linux" else None
    if unshare and _can([unshare, *NAMESPACE, *command], None):
        return Identity(prefix=(unshare, *NAMESPACE))
    root.chmod(root.stat().st_mode | 0o011)
    if _can(command, NOBODY):
        return Identity(user=NOBODY)
    raise RootUnsupported(path=f"{root}, {programs}")


def _can(command: list[str], user: int | None) -> bool:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=60,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
