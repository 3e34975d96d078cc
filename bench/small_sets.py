"""The product beside every baseline on many small sets of customers.

Run: python -m bench.small_sets [FILE …] [--draws 10] [--sizes 200,400,1000] [--cutoffs 3]

Each set is a random draw of a file's customers, or a made-up shop of so many members; each is
tested at the same cutoffs, 45 days ahead, by the one default configuration. A line gives the mean
ROC AUC over draws and cutoffs, and the product's less the best baseline's and less each other's,
with the standard error over draws. The best baseline is the one with the greatest mean of the
line: nobody could have known it beforehand. Without files only made-up shops are drawn.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from ml.arrays import DAY, F64, I32
from ml.contenders import BASELINES, Contenders
from ml.errors import TooLittleHistory
from ml.evaluation import roc_auc
from ml.facts import Facts
from ml.files import read
from ml.samples import Past, Plan

HORIZON: Final = 45
APART: Final = 45
START: Final = 1_600_000_000 // DAY * DAY
SHOPS: Final[dict[str, tuple[int, tuple[float, float], float, float]]] = {
    "weekly, steady": (3, (3.0, 2.0), 300.0, 0.0),
    "weekly, slowing": (3, (3.0, 2.0), 200.0, 3.0),
    "monthly, at random": (1, (2.0, 25.0), 500.0, 0.0),
    "monthly, slowing": (2, (2.0, 12.0), 300.0, 2.0),
}
"""Regularity of waits, gamma of their means in days, mean days until they leave, and slowing."""


def shop(kind: str, members: int, seed: int, days: int = 560) -> Facts:
    """Members who order at Erlang waits of their own mean length, slow down, and leave."""
    regularity, gap, stay, slowing = SHOPS[kind]
    random = np.random.default_rng(seed)
    owner: list[int] = []
    at: list[float] = []
    fen: list[float] = []
    for member in range(members):
        mean, money = random.gamma(*gap) + 2, random.lognormal(7.5, 0.6)
        day = random.uniform(0, days * 0.6)
        end = day + random.exponential(stay)
        while day < min(end, days):
            owner.append(member)
            at.append(day)
            fen.append(money * random.lognormal(0, 0.4))
            wait = mean * (1 + slowing * max(0.0, 1 - (end - day) / 60))
            day += random.gamma(regularity, wait / regularity)
    return Facts(
        member_ids=np.arange(members),
        order_member=np.array(owner, dtype=np.int32),
        order_at=START + (np.array(at) * DAY).astype(np.int64),
        order_fen=np.array(fen).astype(np.int64),
    )


def some(facts: Facts, members: I32) -> Facts:
    """The orders of these members alone, with codes of their own."""
    kept = np.isin(facts.order_member, members)
    code = np.full(len(facts.member_ids), -1, dtype=np.int32)
    code[members] = np.arange(len(members), dtype=np.int32)
    return Facts(
        member_ids=[facts.member_ids[member] for member in members],
        order_member=code[facts.order_member[kept]],
        order_at=facts.order_at[kept],
        order_fen=facts.order_fen[kept],
        order_items=facts.order_items[kept],
        order_products=facts.order_products[kept],
    )


def last_cutoffs(facts: Facts, number: int) -> list[int]:
    """Cutoffs whose windows close with the data, the latest first."""
    end = int(facts.order_at.max()) // DAY * DAY
    return [end - (HORIZON + APART * place) * DAY for place in range(number)]


def judged(facts: Facts, cutoffs: list[int]) -> dict[str, float]:
    """Everybody's ROC AUC, the mean over the cutoffs that can be tested; empty if none can."""
    past, found = Past(facts, Plan(horizon_days=HORIZON)), list[dict[str, float]]()
    for cutoff in cutoffs:
        if not past.cutoffs(cutoff) or not len(past.members(cutoff)):
            continue
        sample = past.whole(cutoff)
        if not 0 < sample.outcome.mean() < 1:
            continue
        try:
            said = Contenders(past, cutoff, 1).said(sample.matrix)
        except TooLittleHistory:
            continue
        found.append({model: roc_auc(sample.outcome, p) for model, p in said.items()})
    return (
        {model: float(np.mean([one[model] for one in found])) for model in found[0]}
        if found
        else {}
    )


def sets(
    files: list[Path], sizes: list[int], draws: int, cutoffs: int
) -> Iterator[tuple[str, int, list[dict[str, float]]]]:
    """Every set with its size and what was reached in each draw."""
    for file in files:
        whole = read(file)[0]
        at = last_cutoffs(whole, cutoffs)
        for size in sizes:
            if size >= len(whole.member_ids):
                continue
            random = np.random.default_rng(size)
            drawn = [
                np.sort(random.choice(len(whole.member_ids), size, replace=False)).astype(np.int32)
                for _ in range(draws)
            ]
            yield file.name, size, [judged(some(whole, members), at) for members in drawn]
    for kind in SHOPS:
        size = min(sizes)
        shops = [shop(kind, size, seed) for seed in range(draws)]
        yield kind, size, [judged(one, last_cutoffs(one, cutoffs)) for one in shops]


def told(name: str, size: int, found: list[dict[str, float]]) -> None:
    """One line: the product, the best baseline, and the product less each of them."""
    usable = [one for one in found if one]
    if len(usable) < 2:
        print(f"{name:<34} {size:>6,}  too few draws can be tested")
        return
    each: dict[str, F64] = {
        model: np.array([one[model] for one in usable]) for model in ("product", *BASELINES)
    }
    best = max(BASELINES, key=lambda model: float(each[model].mean()))

    def over(model: str) -> str:
        gain = each["product"] - each[model]
        return f"{gain.mean():+.4f} ± {gain.std(ddof=1) / len(gain) ** 0.5:.4f}"

    others = ", ".join(f"{model} {over(model)}" for model in BASELINES)
    print(
        f"{name:<34} {size:>6,} {each['product'].mean():.4f}  {over(best)} ({best})  | {others}",
        flush=True,
    )


def main() -> None:
    """Print one line a set and size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--sizes", default="200,400,1000")
    parser.add_argument("--cutoffs", type=int, default=3)
    given = parser.parse_args()
    sizes = [int(size) for size in given.sizes.split(",")]
    began = time.process_time()
    for name, size, found in sets(given.files, sizes, given.draws, given.cutoffs):
        told(name, size, found)
    print(f"{time.process_time() - began:.0f} s of processor")


if __name__ == "__main__":
    main()
