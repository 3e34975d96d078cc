"""What the parts say, line by line under their names, and what the supervisor says itself."""

import os
import sys
import threading
from typing import TextIO

COLOURS = ("36", "35", "32", "33", "34", "96", "95", "92")
OWN_NAME = "linli"
WIDTH = 9


class Console:
    """Whole lines from many threads, coloured where a person looks."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Write to the stream, or to standard output."""
        self._stream = stream or sys.stdout
        self._lock = threading.Lock()
        self._colours: dict[str, str] = {}
        self._coloured = self._stream.isatty() and "NO_COLOR" not in os.environ

    def say(self, text: str) -> None:
        """The supervisor's own words."""
        for line in text.splitlines() or [""]:
            self.line(OWN_NAME, line)

    def line(self, name: str, text: str) -> None:
        """One line of a part."""
        with self._lock:
            self._write(f"{self._prefix(name)} {text}\n")

    def plain(self, text: str) -> None:
        """A block without a name before it, such as the banner."""
        with self._lock:
            self._write(text.rstrip("\n") + "\n")

    def _prefix(self, name: str) -> str:
        padded = f"{name:<{WIDTH}}|"
        if not self._coloured:
            return padded
        colour = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
        return f"\x1b[{colour}m{padded}\x1b[0m"

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            # The reader has gone (a closed terminal, `| head`): the parts must not suffer for it.
            return
