"""Child processes that never outlive the process that started them."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def spawn(
    command: Sequence[str],
    *,
    on_parent_death: signal.Signals,
    output: int | IO[bytes],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own, standard error joined to its output.

    When this process dies, by whatever means, the group gets `on_parent_death`. Linux's own
    parent-death signal is bound to the *thread* that started the child, so it is asked for in the
    main thread only; the lifeline process serves every thread and macOS.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=env,
        cwd=cwd,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        start_new_session=True,
        # Nothing else can ask for a parent-death signal; what runs there is one system call.
        preexec_fn=_death_signal(on_parent_death),  # noqa: PLW1509
    )
    _lifeline.add(process.pid, on_parent_death)
    return process


def finish(
    process: subprocess.Popen[bytes], steps: Sequence[tuple[signal.Signals, float]]
) -> int | None:
    """Signal the process step by step until it ends, each step with its patience in seconds.

    Returns the exit code, or None when even the last step did not end it.
    """
    for number, patience in steps:
        if process.poll() is not None:
            break
        process.send_signal(number)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    code = process.poll()
    if code is not None:
        forget(process)
    return code


def forget(process: subprocess.Popen[bytes]) -> None:
    """Say that the process has ended and was waited for, so that its pid is never signalled."""
    _lifeline.drop(process.pid)


Match = Callable[[psutil.Process], bool]


def given_argument(program: str, argument: str) -> Match:
    """Processes of that program name which were started with exactly that argument."""

    def match(process: psutil.Process) -> bool:
        words = process.cmdline()
        # Valkey rewrites its command line into one string, PostgreSQL's postmaster does not.
        flat = " ".join(words).strip()
        names = {Path(word).name for word in (*words[:1], *flat.split()[:1])}
        return program in names and (argument in words or flat.endswith(argument))

    return match


def given_variable(name: str, value: str) -> Match:
    """Processes which were started with that environment variable, and so their children."""
    return lambda process: process.environ().get(name) == value


def end_leftovers(match: Match, *steps: tuple[signal.Signals, float]) -> bool:
    """Signal what a killed holder left behind, each step with its patience; True when none is left.

    The caller holds the data's lock, so whatever still runs on it belongs to nobody.
    """
    for number, patience in steps:
        deadline = time.monotonic() + patience
        signalled: set[int] = set()
        while found := _leftovers(match):
            for process in found:
                if process.pid not in signalled:
                    signalled.add(process.pid)
                    _send(process, number)
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            return True
    return not _leftovers(match)


def _leftovers(match: Match) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        # Other people's processes do not tell, and any may end while we look.
        with contextlib.suppress(psutil.Error, OSError):
            if match(process):
                found.append(process)
    return found


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _death_signal(number: signal.Signals) -> Callable[[], None] | None:
    libc = _libc
    if libc is None or threading.current_thread() is not threading.main_thread():
        return None
    parent = os.getpid()

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:
            os.kill(os.getpid(), number)

    return ask


class _Lifeline:
    """This process's line to the lifeline program; cut by our death, however it comes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listed: dict[int, signal.Signals] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, pid: int, number: signal.Signals) -> None:
        with self._lock:
            self._listed[pid] = number
            self._tell(f"+ {pid} {int(number)}\n")

    def drop(self, pid: int) -> None:
        with self._lock:
            if self._listed.pop(pid, None) is not None:
                self._tell(f"- {pid}\n")
            if not self._listed:
                self._close()

    def _tell(self, line: str) -> None:
        if self._process is None or self._process.poll() is not None:
            self._close()
            self._open()
            line = "".join(f"+ {pid} {int(number)}\n" for pid, number in self._listed.items())
        pipe = self._process.stdin if self._process else None
        if pipe is not None:
            try:
                pipe.write(line.encode())
                pipe.flush()
            except BrokenPipeError:
                self._close()

    def _open(self) -> None:
        script = Path(__file__).with_name("lifeline.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    def _close(self) -> None:
        if self._process is None:
            return
        try:
            # Said rather than left to the closing: a forked copy of us may hold the pipe open.
            self._process.communicate(b".\n", timeout=5)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._process = None


_lifeline = _Lifeline()
