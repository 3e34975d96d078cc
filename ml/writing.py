"""Files that are written wholly or not at all: an old one stays until the new one is complete."""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Generator[Path]:
    """Where to write what shall stand at `path`; it takes its place when the block is left.

    After any failure, a full disk for instance, `path` is as it was. What is no regular file, a
    pipe or a terminal, is written to as it is. A link stays a link.
    """
    place = path.resolve()
    if place.exists() and not place.is_file():
        yield place
        return
    draft = place.with_name(f".{place.name[:100]}.{os.getpid()}.part")
    try:
        yield draft
        if place.exists():
            shutil.copymode(place, draft)
        draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)


def refuse_unwritable(path: Path) -> None:
    """Raise OSError before long work whose end could not be written there.

    The folder has to be there; it is not made.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a file.")
    if not path.resolve().parent.is_dir():
        raise NotADirectoryError(f"there is no folder {path.resolve().parent}.")
