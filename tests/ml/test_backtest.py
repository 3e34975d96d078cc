import doctest
from pathlib import Path

import numpy as np
import pytest

from ml.arrays import DAY
from ml.backtest import MODELS, Report, backtest, default_cutoffs
from ml.errors import TooLittleHistory
from ml.evaluation import roc_auc
from ml.facts import Facts
from ml.files import read
from ml.plots import roc_points
from tests.ml.small_shop import START, real_data, shop


@pytest.fixture(scope="module")
def report() -> Report:
    facts = shop(members=500, days=420)
    end = int(facts.order_at.max()) // DAY * DAY
    return backtest(facts, cutoffs=[end - 90 * DAY, end - 45 * DAY])


def test_all_models_are_compared_on_identical_members(report: Report):
    assert len(report.tests) == 2
    for test in report.tests:
        assert set(MODELS) - {"lightgbm"} <= set(test.probability) == set(test.metrics)
        assert {len(p) for p in test.probability.values()} == {len(test.outcome)}
        assert all(cutoff + 45 * DAY <= test.cutoff for cutoff in test.trained_on)
        assert all(((p > 0) & (p < 1)).all() for p in test.probability.values())
    product = [test.metrics["product"].roc_auc for test in report.tests]
    assert report.mean["product"]["roc_auc"] == pytest.approx(np.mean(product))
    assert report.mean["product"]["roc_auc"] > report.mean["recency"]["roc_auc"] - 0.02
    assert report.gain.low <= report.gain.mean <= report.gain.high


def test_default_cutoffs_close_with_the_data(report: Report):
    facts = shop(members=100, days=400)
    last = int(facts.order_at.max())
    cutoffs = default_cutoffs(facts, 45)
    assert cutoffs[-1] + 45 * DAY == last // DAY * DAY
    assert np.diff(cutoffs).tolist() == [45 * DAY] * 3
    assert len(default_cutoffs(shop(days=170), 45)) < 4


def test_open_windows_and_short_files_are_refused():
    facts = shop(members=60, days=300)
    with pytest.raises(ValueError, match="past the data"):
        backtest(facts, cutoffs=[START + 290 * DAY])
    with pytest.raises(TooLittleHistory, match="too few days"):
        backtest(shop(days=60))
    with pytest.raises(TooLittleHistory):
        backtest(Facts(member_ids=[]))


def test_roc_points_enclose_the_area_with_ties():
    outcome, score = np.array([1.0, 0, 1, 0]), np.array([0.9, 0.5, 0.5, 0.1])
    false, true = roc_points(outcome, score)
    assert list(zip(false, true, strict=True)) == [(0, 0), (0, 0.5), (0.5, 1), (1, 1)]
    assert np.trapezoid(true, false) == pytest.approx(0.875)


def test_the_page_says_what_is_so():
    """The examples of the section on evaluation give what it says they give."""
    page = (Path(__file__).parents[2] / "docs" / "churn.md").read_text(encoding="utf-8")
    section = page.partition("\n## Evaluation")[2].partition("\n## ")[0]
    found = doctest.DocTestParser().get_doctest(section, {}, "evaluation", "docs/churn.md", 0)
    assert len(found.examples) > 5
    said: list[str] = []
    doctest.DocTestRunner().run(found, out=said.append)
    assert not said, "".join(said)
    assert all(f"`{model}`" in section for model in MODELS)


@pytest.mark.real
def test_real_orders_are_ranked_as_well_as_is_honest():
    """Above 0.80 something has leaked; below the baselines something is lost."""
    facts, _ = read(real_data("online_retail_ii_orders.csv.gz"))
    cutoff = (np.datetime64("2011-04-18") - np.datetime64("1970-01-01")).astype(int) * DAY
    report = backtest(facts, cutoffs=[int(cutoff)], weekly=False)
    mean = report.mean
    assert 0.77 < mean["product"]["roc_auc"] < 0.80
    for baseline in ("bgnbd", "logistic", "rfm", "recency"):
        assert mean["product"]["roc_auc"] >= mean[baseline]["roc_auc"]
        assert mean["product"]["brier"] <= mean[baseline]["brier"]
    assert mean["product"]["ece"] < 0.05
    test = report.tests[0]
    shuffled = np.random.default_rng(0).permutation(test.outcome)
    blind = roc_auc(shuffled, test.probability["product"])
    assert blind == pytest.approx(0.5, abs=0.03)
