"""A part of Linli as a child process whose lines are shown and whose end is noticed."""

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.kernel.embedded import processes
from cli.up.console import Console

KEPT_LINES = 20
LONGEST_LINE = 64 * 1024
# uvicorn ends with -15 after a clean SIGTERM; a shell in between makes it 143.
CLEAN_CODES = frozenset({0, -signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM})


@dataclass(frozen=True, slots=True)
class Child:
    """A command to run under a name, with additions to the environment."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict[str, str])


class Part:
    """A running child."""

    def __init__(self, child: Child, env: Mapping[str, str], console: Console) -> None:
        """Start it in a process group of its own; call in the main thread."""
        self.name = child.name
        self._console = console
        self._kept: deque[str] = deque(maxlen=KEPT_LINES)
        self._process = processes.spawn(
            child.command,
            on_parent_death=signal.SIGTERM,
            output=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **env, **child.env},
        )
        self._reader = threading.Thread(target=self._read, name=f"log-{child.name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Of the group's leader."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def last_lines(self) -> str:
        """What it said last, once it has ended."""
        self._reader.join(timeout=1.0)
        return "\n".join(f"  {line}" for line in self._kept)

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the leader, which knows how to end its own children."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the whole group without asking."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return

    def wait(self, patience: float) -> bool:
        """Wait until it has ended and its group with it; False when it had to be killed."""
        in_time = True
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            in_time = False
        # Also after a clean end: a grandchild that stayed behind would keep ports and connections.
        self.kill()
        self._process.wait()
        self._reader.join(timeout=1.0)
        processes.forget(self._process)
        return in_time

    def _read(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        with stream:
            while line := stream.readline(LONGEST_LINE):
                text = line.decode(errors="replace").rstrip("\r\n")
                self._kept.append(text)
                self._console.line(self.name, text)


def describe(code: int | None) -> str:
    """An exit code in words.

    >>> describe(3), describe(-9)
    ('exit code 3', 'killed by SIGKILL')
    """
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


def stop_all(parts: Sequence[Part], patience: float) -> list[str]:
    """Stop the parts at once, each group killed when the patience (seconds) is over.

    Returns a line for each part that did not end cleanly.
    """
    for part in parts:
        part.ask_to_stop()
    deadline = time.monotonic() + patience
    unclean: list[str] = []
    for part in parts:
        in_time = part.wait(max(0.0, deadline - time.monotonic()))
        code = part.exit_code()
        if not in_time:
            unclean.append(f"{part.name} did not stop in {patience:.0f} s and was killed")
        elif code not in CLEAN_CODES:
            unclean.append(f"{part.name} stopped with {describe(code)}")
    return unclean
