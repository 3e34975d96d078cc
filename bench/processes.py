"""Running our own commands as processes and reading the kernel's account of them."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Ran:
    """One finished process: its output and what it took."""

    output: str
    seconds: float
    processor_seconds: float
    peak_mib: float


def environment(**settings: str) -> dict[str, str]:
    """This process's environment with only the given LINLI_* settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LINLI_")}
    return kept | {f"LINLI_{name.upper()}": value for name, value in settings.items()}


def linli(*words: str, env: Mapping[str, str]) -> Ran:
    """Run `linli …` to its end.

    Raises RuntimeError with its output when it fails.
    """
    with tempfile.TemporaryFile() as said:
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", *words], env=dict(env), stdout=said, stderr=said
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        output = said.read().decode(errors="replace")
    if process.returncode:
        raise RuntimeError(f"linli {' '.join(words)}\n{output[-2000:]}")
    peak = usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)
    return Ran(output, seconds, usage.ru_utime + usage.ru_stime, peak)


def seconds_of(pid: int) -> float:
    """Processor seconds of a running process and all that it started, the ended ones included."""
    root, spent = psutil.Process(pid), 0.0
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.Error):
            times = process.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
    return spent
