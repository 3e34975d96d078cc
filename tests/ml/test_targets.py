"""Figures on public files that one default configuration has to keep."""

import numpy as np
import pytest

from bench.small_sets import some
from ml import evaluation
from ml.arrays import DAY, sigmoid
from ml.contenders import BASELINES, Contenders
from ml.evaluation import Metrics
from ml.files import read
from ml.samples import Past, Plan
from ml.training import train_on
from tests.ml.small_shop import real_data


def deployed(name: str, days: list[str]) -> list[Metrics]:
    """The product's figures on the whole population of each day, as it was trained by then."""
    past = Past(read(real_data(name))[0], Plan())
    found: list[Metrics] = []
    for day in days:
        cutoff = int(np.datetime64(day, "D").astype(int)) * DAY
        model, sample = train_on(past, as_of=cutoff), past.whole(cutoff)
        odds = model.models.log_odds(sample.matrix, threads=1)[model.choice]
        found.append(evaluation.measure(sample.outcome, sigmoid(odds + model.shift)))
    return found


def mean(metrics: list[Metrics], figure: str) -> float:
    return float(np.mean([getattr(one, figure) for one in metrics]))


@pytest.mark.real
def test_online_retail_is_told_45_days_ahead():
    days = ["2011-03-04", "2011-04-18", "2011-06-02", "2011-07-17"]
    found = deployed("online_retail_ii_orders.csv.gz", days)
    assert 0.778 < mean(found, "roc_auc") < 0.80
    assert mean(found, "pr_auc") > 0.858
    assert mean(found, "brier") < 0.1665
    assert mean(found, "ece") < 0.030
    assert mean(found, "lift") > 1.36


@pytest.mark.real
def test_cdnow_is_told_45_days_ahead():
    found = deployed("cdnow_orders.csv.gz", ["1998-02-15", "1998-04-01", "1998-05-16"])
    assert mean(found, "roc_auc") > 0.7155
    assert mean(found, "pr_auc") > 0.852
    assert mean(found, "brier") < 0.1715


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "day"),
    [("cdnow_orders.csv.gz", "1998-04-01"), ("online_retail_ii_orders.csv.gz", "2011-06-02")],
)
def test_few_customers_are_ranked_about_as_well_as_by_the_best_baseline(name: str, day: str):
    whole = read(real_data(name))[0]
    cutoff = int(np.datetime64(day, "D").astype(int)) * DAY
    areas: list[dict[str, float]] = []
    for seed in range(8):
        drawn = np.random.default_rng(seed).choice(len(whole.member_ids), 400, replace=False)
        past = Past(some(whole, np.sort(drawn).astype(np.int32)), Plan())
        sample = past.whole(cutoff)
        said = Contenders(past, cutoff, 1).said(sample.matrix)
        areas.append({model: evaluation.roc_auc(sample.outcome, p) for model, p in said.items()})
    reached = {model: float(np.mean([area[model] for area in areas])) for model in areas[0]}
    assert reached["product"] > max(reached[model] for model in BASELINES) - 0.005
    # Nobody can know beforehand which baseline will be the best one.
    assert reached["product"] > float(np.mean([reached[model] for model in BASELINES[:4]])) + 0.002
