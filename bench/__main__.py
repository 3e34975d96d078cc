"""`make bench`: every benchmark in turn, each in a process of its own."""

import subprocess
import sys

# The commands that docs/benchmarks.md quotes, in its order.
PROGRAMS = (
    ("bench.startup",),
    ("bench.main_job",),
    ("bench.import_orders",),
    ("bench.segments",),
    ("bench.churn",),
    ("bench.cluster",),
    ("bench.small_sets", "--draws", "10"),
    ("bench.alerts",),
    ("bench.features",),
    ("bench.versions", "--members", "50000"),
    ("bench.home",),
    ("bench.fanout",),
    ("bench.claims",),
    ("bench.stampede",),
    ("bench.tier_run",),
    ("bench.expiry",),
    ("bench.occasions",),
    ("bench.year",),
)


def main() -> int:
    """Run those named on the command line, or all; the exit code is the worst one's."""
    wanted = set(sys.argv[1:])
    worst = 0
    for module, *arguments in PROGRAMS:
        if wanted and module.removeprefix("bench.") not in wanted:
            continue
        print(f"\n== python -m {' '.join((module, *arguments))}", flush=True)
        done = subprocess.run([sys.executable, "-m", module, *arguments], check=False)
        worst = max(worst, abs(done.returncode))
    return worst


if __name__ == "__main__":
    sys.exit(main())
