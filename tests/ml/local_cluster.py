"""A scheduler and workers, each a process of its own, as a cluster has them.

xgboost's tracker lives in the scheduler's process, and complains there about workers that died:
in the process of the tests those complaints would fall upon whichever test runs later.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE_SECONDS = 120


@contextmanager
def started(folder: Path, *, workers: int = 2) -> Iterator[str]:
    """The address of a scheduler with so many workers of one thread, in this environment."""
    import distributed  # of the extra `dask`

    where = folder / "scheduler.json"
    common = ("--no-dashboard", "--scheduler-file", str(where))
    each = ("--nworkers", str(workers), "--nthreads", "1", "--local-directory", str(folder))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [
        subprocess.Popen([sys.executable, "-m", f"distributed.cli.{what}", *words], **quiet)
        for what, words in (
            ("dask_scheduler", (*common, "--port", "0")),
            ("dask_worker", (*common, *each)),
        )
    ]
    try:
        address = address_in(where)
        with distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=PATIENCE_SECONDS)
        yield address
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in reversed(processes):
            _ended(process)


def address_in(file: Path) -> str:
    """The address that a scheduler writes down, once it has written all of it."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return json.loads(file.read_text())["address"]
        except (FileNotFoundError, json.JSONDecodeError):
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _ended(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(20)
