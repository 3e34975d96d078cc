"""Scoring and its parts: `python -m bench.churn --members 1000000`.

First in memory, in processor seconds of one thread: features of made-up members who do all that
features can be made of, the bare `inplace_predict` of the booster on a matrix that is ready, our
whole score of the same members (every kind of model in the mean, calibration, the days until the
next order), and reasons with their words in both languages for the riskiest fifth. The model has
learned from 20,000 others. Bare call and score are taken in turn, five times; the least counts.

Then on an own PostgreSQL server that is thrown away: storing as many scores, and the nightly job
for 100,000 members with orders, lines and activities. `--no-database` leaves that out.
"""

import argparse
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from ml import explain, features, labels, ladder
from ml import facts as kinds
from ml.arrays import DAY, sigmoid
from ml.artifact import Artifact
from ml.facts import Facts
from ml.scorer import scorer
from ml.training import train

T = TypeVar("T")
START = 1_700_000_000 // DAY * DAY
LEARNED_FROM = 20_000
ROUNDS = 5


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
    seconds = START + (at * DAY).astype(np.int64)
    back = random.uniform(size=len(owner)) < 0.05
    about = np.repeat(np.arange(len(owner)), random.poisson(2.0, len(owner)))
    around = np.maximum(at[about] - random.exponential(3, len(about)), 0)
    of = np.repeat(np.arange(len(owner), dtype=np.int32), 2)
    return Facts(
        member_ids=np.arange(members),
        order_member=owner,
        order_at=seconds,
        order_fen=random.gamma(2, 3000, len(owner)).astype(np.int64),
        order_items=random.poisson(3, len(owner)).astype(np.int32) + 1,
        order_products=random.integers(1, 3, len(owner)).astype(np.int32),
        order_discount_fen=random.integers(0, 300, len(owner)),
        order_refund_fen=np.where(back, 400, 0),
        order_refund_at=np.where(back, seconds + 3 * DAY, kinds.NEVER),
        line_order=of,
        line_product=random.integers(0, 2_000, len(of)).astype(np.int32),
        line_category=random.integers(0, 12, len(of)).astype(np.int32),
        event_member=owner[about],
        event_at=START + (around * DAY).astype(np.int64),
        event_kind=random.integers(1, kinds.KINDS, len(about)).astype(np.int16),
        event_seconds=random.poisson(60, len(about)).astype(np.int32),
    ).in_order()


def peak() -> float:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(name: str, run: Callable[[], T]) -> T:
    """Run once and print processor and wall seconds, and the peak memory so far."""
    wall, spent = time.perf_counter(), time.process_time()
    answer = run()
    wall, spent = time.perf_counter() - wall, time.process_time() - spent
    print(f"{name:<44}{spent:>8.2f} s{wall:>8.2f} s{peak():>9,.0f} MiB", flush=True)
    return answer


def least(runs: tuple[Callable[[], object], ...]) -> list[float]:
    """The least processor seconds of each, taken in turn so that a busy machine harms all alike."""
    found = [math.inf] * len(runs)
    for _ in range(ROUNDS):
        for place, run in enumerate(runs):
            began = time.process_time()
            run()
            found[place] = min(found[place], time.process_time() - began)
    return found


def in_memory(members: int, months: int) -> None:
    """Print what each part costs, and the ratio of scoring to its floor."""
    as_of = START + months * 30 * DAY
    print(f"{'':<44}{'CPU':>10}{'wall':>10}{'peak so far':>13}")
    few = synthetic(LEARNED_FROM, months, seed=1)
    trained = timed(f"train on {LEARNED_FROM:,} others", lambda: train(few, as_of=as_of, threads=1))
    # Everything that a score can be made of, whatever this made-up past prefers.
    model: Artifact = replace(trained, choice="mean", models=trained.models.weighing(ladder.EVEN))
    facts = timed("made-up facts", lambda: synthetic(members, months))
    population = labels.population(facts, as_of)
    print(
        f"  {members:,} members, {len(facts.order_at):,} orders, {len(facts.line_order):,} lines, "
        f"{len(facts.event_at):,} events, {len(population):,} to score"
    )
    matrix = timed(
        "features", lambda: features.build(facts, as_of, population, purchases=model.purchases)
    )
    print(f"  {len(matrix.names)} columns, {len(model.models.names)} of them learned from")
    values = matrix.only(model.models.names)
    booster, ready = model.models.booster.model, scorer(model)
    booster.set_param({"nthread": 1})
    floor, ours = least(
        (
            lambda: booster.inplace_predict(values, predict_type="margin", missing=np.nan),
            lambda: sigmoid(ready.say(matrix).log_odds + model.shift),
        )
    )
    print(f"bare inplace_predict{floor:>34.2f} s")
    print(f"the whole score{ours:>39.2f} s   {ours / floor:.2f} x the bare call", flush=True)
    riskiest = np.argsort(-ready.say(matrix).log_odds, kind="stable")[: -(-len(population) // 5)]
    told = timed(
        f"reasons for {len(riskiest):,}",
        lambda: explain.reasons(model, facts, matrix, riskiest, as_of=as_of, threads=1),
    )
    print(f"  {sum(map(len, told)):,} reasons, such as {told[0][0].zh} / {told[0][0].en}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument("--months", type=int, default=14)
    parser.add_argument("--no-database", action="store_true")
    given = parser.parse_args()
    in_memory(given.members, given.months)
    if not given.no_database:  # in a process of its own, so that its memory is seen alone
        command = [sys.executable, "-m", "bench.churn_night", "--scores", str(given.members)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
