"""Linli's home without cached answers under cProfile: what the application's time goes to."""

import os
import pstats
import signal
import time
from dataclasses import replace
from pathlib import Path

from app.kernel.embedded import Stores
from bench.home.data import sessions
from bench.home.kinds import LINLI
from bench.home.measuring import Driver, Load, measure
from bench.home.serving import python, start

TOP = 45
WRITE_SECONDS = 30.0


def profile(found: Stores, folder: Path, load: Load) -> None:
    """Print the dearest functions by their own time and with what they call; keep the file."""
    file = folder.resolve() / "home.prof"
    file.unlink(missing_ok=True)
    env = {**LINLI.env, "BENCH_PROFILE": str(file)}
    kind = replace(LINLI, name="Linli profiled", command=python("bench.home.profiled"), env=env)
    driver = Driver(sessions(found.database_url))
    server = start(kind, found, folder)
    try:
        plain = measure(driver, server, found, load)
        os.kill(server.process.pid, signal.SIGUSR1)
        seen = driver.turn(server, load)
        os.kill(server.process.pid, signal.SIGUSR2)
        _await(file)
    finally:
        server.stop()
        driver.stop()
    for order in ("tottime", "cumulative"):
        print(f"\n== by {order}, over {seen['requests']} requests")
        pstats.Stats(str(file)).sort_stats(order).print_stats(TOP)
    print(
        f"Not profiled: {plain.application_ms:.2f} ms of the application, "
        f"{plain.postgres_ms:.2f} ms of PostgreSQL a request, {plain.rate:.0f} requests a second. "
        f"The whole profile: {file}"
    )


def _await(file: Path) -> None:
    deadline = time.monotonic() + WRITE_SECONDS
    while not file.exists():
        if time.monotonic() > deadline:
            raise RuntimeError("the profile was not written")
        time.sleep(0.1)
