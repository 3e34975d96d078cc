"""The most memory that a benchmark has held."""

import resource
from pathlib import Path


def peak_mib() -> float:
    """The most memory this program has held, in MiB.

    `ru_maxrss` would be wrong: it counts what the process was before this program began, which is
    a copy of the one that started it, columns included.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
