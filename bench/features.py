"""How long the features take: `python -m bench.features --members 1000000 --lines 30000000`.

First from columns in memory: orders, order lines and events of so many members, in the order of
time as databases keep them, beside DuckDB and Polars computing the same from their own tables.
Each contender runs in a process of its own with one thread (`--threads` gives more). DuckDB and
Polars are no requirements of the product: `pip install duckdb polars` beside it; what is not
installed is skipped, and the output says so.

Then out of PostgreSQL, in an own server that is thrown away: reading the facts beside the bare
COPY of the same columns, a whole night of features, and the next night's reading where only a few
members had anything new. `--no-database` leaves this part out: filling takes longer than measuring.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.peaks import peak_mib

DAY = 86_400
START = 1_700_000_000 // DAY * DAY
DAYS = 700
AS_OF = START + DAYS * DAY
OFFSET = 8 * 3600
ORDER_LINES = 3
CONTENDERS = ("ours", "duckdb", "polars")


def synthetic(members: int, lines: int, events: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Columns of `ml.facts.Facts`: rates differ by member, a third have stopped buying."""
    random = np.random.default_rng(seed)
    orders = lines // ORDER_LINES
    weight = np.cumsum(random.gamma(1.0, 1.0, members))
    at = np.sort(START + random.integers(0, DAYS * DAY, orders))
    owner = np.searchsorted(weight, random.uniform(0, weight[-1], orders)).astype(np.int32)
    back = random.uniform(size=orders) < 0.05
    never = np.iinfo(np.int64).max
    left = START + random.integers(DAYS * DAY // 3, DAYS * DAY * 2, members)
    kept = at < left[owner]
    return {
        "order_member": owner,
        "order_at": np.where(kept, at, at % (200 * DAY) + START),
        "order_fen": random.integers(500, 9_000, orders),
        "order_items": random.integers(3, 9, orders).astype(np.int32),
        "order_discount_fen": random.integers(0, 300, orders),
        "order_refund_fen": np.where(back, 400, 0),
        "order_refund_at": np.where(back, at + 3 * DAY, never),
        "order_products": random.integers(1, 4, orders).astype(np.int32),
        "order_gone_at": np.where(random.uniform(size=orders) < 0.01, at + DAY, never),
        "line_order": np.repeat(np.arange(orders, dtype=np.int32), ORDER_LINES),
        "line_product": random.integers(0, 2_000, orders * ORDER_LINES).astype(np.int32),
        "line_category": random.integers(-1, 12, orders * ORDER_LINES).astype(np.int32),
        "event_member": random.integers(0, members, events).astype(np.int32),
        "event_at": np.sort(AS_OF - random.integers(0, 90 * DAY, events)),
        "event_kind": random.integers(1, 17, events).astype(np.int16),
        "event_seconds": random.integers(0, 300, events).astype(np.int32),
    }


class Ours:
    """The product's code, from the sorting of the columns on."""

    def __init__(self, folder: Path, threads: int) -> None:
        from ml.facts import Facts

        columns: dict[str, Any] = {file.stem: np.load(file) for file in folder.glob("*.npy")}
        members = int(max(columns["order_member"].max(), columns["event_member"].max())) + 1
        self.facts = Facts(member_ids=np.arange(members), utc_offset=OFFSET, **columns)
        self.threads = threads

    def run(self, as_of: int, offset: int) -> int:
        """All columns for everybody with an order; BG/NBD and CNBD-k, fitted before, included."""
        from ml import features
        from ml.bgnbd import BgNbd
        from ml.cnbd import Cnbd
        from ml.expectations import Expectations

        fitted = Expectations(BgNbd(0.6, 12.0, 0.8, 2.3), Cnbd(2, 0.7, 9.0, 0.4, 2.1))
        everyone = np.unique(self.facts.order_member)
        matrix = features.build(self.facts, as_of, everyone, purchases=fitted, threads=self.threads)
        print(f"{matrix.values.shape[1]} columns", file=sys.stderr)
        return len(matrix.members)


def contend(name: str, folder: Path, threads: int) -> None:
    """One contender's figures as a line of JSON."""
    if name == "ours":
        contender: Any = Ours(folder, threads)
    else:
        from bench import features_peers

        peer = features_peers.DuckDb if name == "duckdb" else features_peers.Polars
        contender = peer(folder, threads)
    loaded = peak_mib()
    wall, processor = time.perf_counter(), time.process_time()
    rows = contender.run(AS_OF, OFFSET)
    figures = {
        "members": rows,
        "seconds": time.perf_counter() - wall,
        "processor": time.process_time() - processor,
        "loaded_mib": loaded,
        "peak_mib": peak_mib(),
    }
    print(json.dumps(figures))


def from_memory(members: int, lines: int, events: int, threads: int) -> None:
    """Every contender from the same columns, and our ratio to the best of the others."""
    took: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, column in synthetic(members, lines, events).items():
            np.save(Path(folder) / f"{name}.npy", column)
        print(f"{'from columns in memory':<26}{'wall':>9}{'CPU':>9}{'loaded':>12}{'peak':>12}")
        for name in CONTENDERS:
            if name != "ours" and importlib.util.find_spec(name) is None:
                print(f"  {name:<24} skipped: not installed (pip install {name})")
                continue
            command = [sys.executable, "-m", "bench.features", "--contend", name]
            done = subprocess.run(
                [*command, "--folder", folder, "--threads", str(threads)],
                stdout=subprocess.PIPE, check=True, text=True,
            )  # fmt: skip
            found = json.loads(done.stdout)
            took[name] = found["processor"]
            print(
                f"  {name:<24}{found['seconds']:>7.1f} s{found['processor']:>7.1f} s"
                f"{found['loaded_mib']:>8,.0f} MiB{found['peak_mib']:>8,.0f} MiB",
                flush=True,
            )
    best = min((value for name, value in took.items() if name != "ours"), default=None)
    if best is not None:
        print(f"  ours / the best of the others, CPU: {took['ours'] / best:.2f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument("--lines", type=int, default=3_000_000)
    parser.add_argument("--events", type=int, help="by default a third of the lines")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-database", action="store_true")
    parser.add_argument("--database-only", action="store_true")
    parser.add_argument("--contend", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.contend:
        contend(given.contend, given.folder, given.threads)
        return
    events = given.lines // 3 if given.events is None else given.events
    if given.database_only:
        from bench.features_database import from_database

        with tempfile.TemporaryDirectory() as folder:
            from_database(given.members, given.lines, events, given.threads, Path(folder))
        return
    print(f"{given.members:,} members, {given.lines:,} order lines, {events:,} events", flush=True)
    from_memory(given.members, given.lines, events, given.threads)
    if not given.no_database:  # in a process of its own, so that its memory is seen alone
        subprocess.run([sys.executable, *sys.orig_argv[1:], "--database-only"], check=True)


if __name__ == "__main__":
    main()
