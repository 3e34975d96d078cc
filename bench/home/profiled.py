"""`linli serve` under cProfile: SIGUSR1 begins, SIGUSR2 ends and writes BENCH_PROFILE."""

import cProfile
import os
import signal
import sys

from cli.main import main


def _run() -> None:
    profile = cProfile.Profile()

    def begin(*_: object) -> None:
        profile.enable()

    def end(*_: object) -> None:
        profile.disable()
        profile.dump_stats(os.environ["BENCH_PROFILE"] + ".new")
        os.replace(os.environ["BENCH_PROFILE"] + ".new", os.environ["BENCH_PROFILE"])

    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, end)
    sys.argv = ["linli", "serve"]
    main()


if __name__ == "__main__":
    _run()
