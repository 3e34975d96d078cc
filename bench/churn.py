"""Features, training and scoring of synthetic members, beside the bare booster.

Run: python bench/churn.py [--members 100000] [--months 14] [--threads 1]

Every part runs once in one process; the peak is that of the process so far. The floor for
scoring is xgboost's `inplace_predict` on the finished matrix, in the same run.
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from ml import facts as kinds
from ml import features, labels
from ml.arrays import DAY
from ml.facts import Facts
from ml.scoring import score
from ml.training import train

T = TypeVar("T")
START = 1_700_000_000 // DAY * DAY


def synthetic(members: int, months: int, seed: int = 0) -> Facts:
    """Members who join over the months, order at their own rate, browse around it, and leave."""
    random = np.random.default_rng(seed)
    days = months * 30
    joined = random.uniform(0, days * 0.8, members)
    left = np.minimum(joined + random.exponential(240, members), days)
    rate = random.gamma(0.8, 1 / 30, members)
    orders = random.poisson(rate * (left - joined)) + 1
    owner = np.repeat(np.arange(members, dtype=np.int32), orders)
    at = joined[owner] + random.uniform(0, 1, len(owner)) * (left - joined)[owner]
    order = np.repeat(np.arange(len(owner)), random.poisson(2.0, len(owner)))
    browsing = owner[order]
    seen = np.maximum(at[order] - random.exponential(3, len(order)), 0)
    return Facts(
        member_ids=np.arange(members),
        order_member=owner,
        order_at=START + (at * DAY).astype(np.int64),
        order_fen=random.gamma(2, 3000, len(owner)).astype(np.int64),
        order_items=random.poisson(3, len(owner)).astype(np.int32) + 1,
        event_member=browsing,
        event_at=START + (seen * DAY).astype(np.int64),
        event_kind=random.choice([kinds.SESSION, kinds.BROWSE], len(browsing)).astype(np.int16),
        event_seconds=random.poisson(60, len(browsing)).astype(np.int32),
    ).in_order()


def timed(name: str, run: Callable[[], T]) -> tuple[T, float]:
    """Run once and print the seconds and the peak memory of the process so far."""
    began = time.perf_counter()
    answer = run()
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name:<34} {seconds:8.2f} s   peak so far {peak:7.0f} MiB", flush=True)
    return answer, seconds


def main() -> None:
    """Print one line a part and the ratio of scoring to its floor."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument("--months", type=int, default=14)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    facts, _ = timed("synthetic facts", lambda: synthetic(arguments.members, arguments.months))
    as_of = START + arguments.months * 30 * DAY
    population = labels.population(facts, as_of)
    print(
        f"  {len(facts.member_ids):,} members, {len(facts.order_at):,} orders, "
        f"{len(facts.event_at):,} events, {len(population):,} to score"
    )
    model, _ = timed("train", lambda: train(facts, as_of=as_of, threads=arguments.threads))
    print(f"  chosen: {model.choice}, correction: {model.about.correction}")
    matrix, _ = timed(
        "features",
        lambda: features.build(facts, as_of, population, purchases=model.purchases),
    )
    threads = arguments.threads
    timed("score, no reasons", lambda: score(model, facts, as_of=as_of, reasons_for=0))
    timed("score, reasons for a fifth", lambda: score(model, facts, as_of=as_of, threads=threads))
    _, all_kinds = timed("models on the matrix", lambda: model.models.log_odds(matrix))
    values = matrix.only(model.models.names)
    _, floor = timed("bare inplace_predict", lambda: model.models.booster.log_odds(values))
    print(f"models on the matrix / bare inplace_predict: {all_kinds / floor:.2f}")


if __name__ == "__main__":
    main()
