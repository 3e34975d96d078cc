"""From `linli up` to ready: the first time with the demo, and the second time."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2

from bench.processes import environment, seconds_of

PATIENCE_SECONDS = 300
BANNER = "Linli is ready"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(data: Path, log: Path) -> tuple[float, float, float]:
    """Seconds until it says that all is ready, of the clock and of processors, and from Ctrl-C
    until all has ended.
    """
    port = _free_port()
    env = environment(data_dir=str(data), port=str(port))
    with log.open("wb") as said:
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up"],
            env=env,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        while not _ready(log, port):
            if process.poll() is not None or time.perf_counter() - begun > PATIENCE_SECONDS:
                raise RuntimeError(log.read_text(errors="replace")[-3000:])
            time.sleep(0.05)
        ready = time.perf_counter() - begun
        spent = seconds_of(process.pid)
        time.sleep(1)
        stopping = time.perf_counter()
        os.kill(process.pid, signal.SIGINT)
        process.wait(60)
        return ready, spent, time.perf_counter() - stopping


def _ready(log: Path, port: int) -> bool:
    if BANNER not in log.read_text(errors="replace"):
        return False
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200
    except httpx2.HTTPError:
        return False


def main() -> int:
    """Print seconds to ready and to stop, twice on the same data."""
    with tempfile.TemporaryDirectory() as place:
        for name in ("first, with the demo", "second"):
            ready, spent, stopped = start(Path(place) / "data", Path(place) / "log")
            print(
                f"{name:<22} ready after {ready:5.1f} s ({spent:.1f} of processors), "
                f"stopped in {stopped:4.1f} s",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
