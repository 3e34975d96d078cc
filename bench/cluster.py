"""Training and scoring by workers of a cluster: `python -m bench.cluster --members 200000`.

Made-up members, ten orders of three lines and ten events each, in parts of 25,000 that whoever
needs them makes for itself, as workers read theirs from the database. The whole is trained on and
scored, with reasons for the riskiest fifth, by one process without Dask, then by clusters of one
and of two worker processes on this machine, each in a process of its own. Processor seconds say
what it costs; how long it takes depends on what else the machine does. Needs the extra `dask`.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.features import AS_OF, synthetic
from bench.peaks import peak_mib

PART = 25_000
ORDERS = 10


@dataclass(frozen=True)
class Made:
    """Makes the facts of a part, the same ones each time."""

    def __call__(self, part: tuple[int, int]) -> Any:
        """The facts of so many members, made from a number."""
        from ml.facts import Facts

        number, members = part
        columns = synthetic(members, 3 * ORDERS * members, 10 * members, seed=number)
        return Facts(member_ids=np.arange(members), utc_offset=8 * 3600, **columns)


def bounds(members: int) -> list[tuple[int, int]]:
    """The parts of so many members."""
    starts = range(0, members, PART)
    return [(number, min(PART, members - start)) for number, start in enumerate(starts)]


def joined(parts: list[Any]) -> Any:
    """The facts of all parts as one."""
    from ml.facts import Facts

    sizes = [len(part.member_ids) for part in parts]
    members = np.cumsum(sizes) - sizes
    orders = [len(part.order_member) for part in parts]
    begins = {"order_member": members, "event_member": members}
    begins["line_order"] = np.cumsum(orders) - orders
    names = [name for name in vars(parts[0]) if name.split("_")[0] in {"order", "line", "event"}]
    columns = {
        name: np.concatenate(
            [
                getattr(part, name) + (begins[name][place] if name in begins else 0)
                for place, part in enumerate(parts)
            ]
        )
        for name in names
    }
    return Facts(member_ids=np.arange(sum(sizes)), utc_offset=8 * 3600, **columns)


class Watch:
    """Wall and processor seconds of this process since the last time it was asked."""

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def told(self) -> dict[str, float]:
        """The seconds, rounded, and the clock starts anew."""
        wall, processor = time.perf_counter(), time.process_time()
        answer = {
            "wall": round(wall - self._wall, 1),
            "client": round(processor - self._processor, 1),
        }
        self._wall, self._processor = wall, processor
        return answer


def alone(members: int) -> dict[str, Any]:
    """Figures of one process with one thread."""
    from ml.scoring import score
    from ml.training import train

    facts = joined([Made()(part) for part in bounds(members)])
    watch = Watch()
    artifact = train(facts, as_of=AS_OF)
    trained = watch.told()
    score(artifact, facts, as_of=AS_OF, threads=1)
    return {"train": trained, "score": watch.told(), "client_mib": peak_mib()}


def spread(members: int, workers: int) -> dict[str, Any]:
    """Figures of so many worker processes with one thread each, and of who asks them."""
    from distributed import LocalCluster

    from ml import cluster

    local: Any = LocalCluster
    with local(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
    ) as machines:
        watch = Watch()
        with cluster.opened(
            machines.scheduler_address, Made(), bounds(members), as_of=AS_OF
        ) as parts:
            read = watch.told() | workers_of(parts.client)
            artifact = cluster.train(parts)
            trained = watch.told() | workers_of(parts.client)
            number = sum(len(part.probability) for part in cluster.score(parts, artifact))
            scored = watch.told() | workers_of(parts.client)
            peaks: Any = parts.client.run(peak_mib)
    return {
        "scored": number,
        "read": read,
        "train": trained,
        "score": scored,
        "client_mib": peak_mib(),
        "worker_mib": sorted(peaks.values()),
    }


def workers_of(client: Any) -> dict[str, Any]:
    """Processor seconds of each worker since it started."""
    return {"workers_so_far": [round(used, 1) for used in client.run(time.process_time).values()]}


def main() -> None:
    """Print a line of JSON for each way."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--members", type=int, default=200_000)
    arguments.add_argument("--workers", type=int, help="only this many; 0 is one process alone")
    given = arguments.parse_args()
    if given.workers is None:
        for workers in ("0", "1", "2"):
            command = [sys.executable, "-m", "bench.cluster", "--workers", workers]
            subprocess.run([*command, "--members", str(given.members)], check=True)
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    found = spread(given.members, given.workers) if given.workers else alone(given.members)
    print(json.dumps({"workers": given.workers, "members": given.members} | found), flush=True)


if __name__ == "__main__":
    main()
