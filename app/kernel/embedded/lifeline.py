"""The small program that outlives its starter just long enough to end what that left behind.

It is run by file name with an isolated interpreter and reads from standard input `+ PID SIGNAL`,
`- PID` and `.` (all is well, go). When that closes because its starter died, however it died, it
signals every process group still listed, waits, and kills the rest. It imports nothing of Linli's,
so that it starts in milliseconds.
"""

import contextlib
import os
import signal
import sys
import time

PATIENCE_SECONDS = 12.0


def _gone(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    try:
        with open(f"/proc/{pid}/stat") as stat:
            # A dead process that nobody has waited for still answers to signals.
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _read_until_closed() -> dict[int, int]:
    listed: dict[int, int] = {}
    for line in sys.stdin:
        words = line.split()
        if words[0] == ".":
            return {}
        if words[0] == "+":
            listed[int(words[1])] = int(words[2])
        else:
            listed.pop(int(words[1]), None)
    return listed


def main() -> None:
    """Wait for the end of input, then end what is still listed."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    listed = _read_until_closed()
    for pid, number in listed.items():
        _signal(pid, number)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and not all(_gone(pid) for pid in listed):
        time.sleep(0.05)
    for pid in listed:
        if not _gone(pid):
            _signal(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
