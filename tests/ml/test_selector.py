"""What the ladder deploys on shops of other kinds than those it was measured on."""

import numpy as np
import pytest

from ml.arrays import DAY
from ml.contenders import Contenders
from ml.evaluation import brier, roc_auc
from ml.facts import Facts
from ml.samples import Past, Plan
from tests.ml.small_shop import START

SIMPLE = ("bgnbd", "cnbd", "logistic", "recency_frequency", "rfm", "recency")


def regulars(
    members: int, *, k: int, seed: int, gap: tuple[float, float], stay: float, days: int = 560
) -> Facts:
    """Members who order at Erlang-k waits of their own mean length, and leave at random."""
    random = np.random.default_rng(seed)
    owner: list[int] = []
    at: list[float] = []
    for member in range(members):
        mean = random.gamma(*gap) + 2
        day = random.uniform(0, days * 0.6)
        end = min(day + random.exponential(stay), days)
        while day < end:
            owner.append(member)
            at.append(day)
            day += random.gamma(k, mean / k)
    return Facts(
        member_ids=np.arange(members),
        order_member=np.array(owner, dtype=np.int32),
        order_at=START + (np.array(at) * DAY).astype(np.int64),
        order_fen=random.integers(500, 20_000, len(owner)),
    )


def judged(facts: Facts, day: int) -> tuple[str, dict[str, float], dict[str, float]]:
    """What was chosen as of a day, and everybody's ROC AUC and Brier score after it."""
    past, cutoff = Past(facts, Plan()), START + day * DAY
    contenders, sample = Contenders(past, cutoff, 1), past.whole(cutoff)
    said = contenders.said(sample.matrix)
    area = {name: roc_auc(sample.outcome, p) for name, p in said.items()}
    loss = {name: brier(sample.outcome, p) for name, p in said.items()}
    return contenders.choice, area, loss


def test_a_grocery_of_steady_members_is_told_by_their_rhythm():
    facts = regulars(500, k=3, seed=1, gap=(2.0, 6.0), stay=400)
    choice, area, loss = judged(facts, 480)
    assert choice in ("simple_mean", "cnbd", "mean")
    assert area["product"] > area["bgnbd"]
    assert loss["product"] < loss["bgnbd"] - 0.005
    assert area["product"] >= max(area[name] for name in SIMPLE) - 0.005


def test_a_few_hundred_members_get_a_model_of_buying_as_good_as_any_baseline():
    choices: list[str] = []
    areas: list[dict[str, float]] = []
    for seed in range(4):
        facts = regulars(300, k=1, seed=seed, gap=(2.0, 25.0), stay=500)
        choice, area, _ = judged(facts, 470)
        choices.append(choice)
        areas.append(area)
    mean = {name: float(np.mean([area[name] for area in areas])) for name in areas[0]}
    assert sum(choice in ("simple_mean", "bgnbd", "cnbd") for choice in choices) >= 3
    assert mean["product"] >= max(mean[name] for name in SIMPLE) - 0.01
    assert mean["product"] > 0.65


@pytest.mark.parametrize("days", [30, 90])
def test_other_horizons_rank_as_well_as_the_simple_models(days: int):
    facts = regulars(400, k=2, seed=7, gap=(2.0, 12.0), stay=400)
    past, cutoff = Past(facts, Plan(horizon_days=days)), START + 460 * DAY
    contenders, sample = Contenders(past, cutoff, 1), past.whole(cutoff)
    said = contenders.said(sample.matrix)
    area = {name: roc_auc(sample.outcome, p) for name, p in said.items()}
    assert area["product"] >= max(area[name] for name in SIMPLE) - 0.01
    assert abs(said["product"].mean() - sample.outcome.mean()) < 0.1
