import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml import evaluation
from ml.arrays import F64

PAIRS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8)), min_size=2, max_size=40).filter(
    lambda rows: 0 < sum(outcome for outcome, _ in rows) < len(rows)
)


def split(rows: list[tuple[int, int]]) -> tuple[F64, F64]:
    return (
        np.array([outcome for outcome, _ in rows], dtype=np.float64),
        np.array([score / 8 for _, score in rows]),
    )


@given(PAIRS)
def test_roc_auc_equals_all_pairs(rows: list[tuple[int, int]]):
    outcome, score = split(rows)
    wins = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a in score[outcome == 1]
        for b in score[outcome == 0]
    ]
    assert evaluation.roc_auc(outcome, score) == pytest.approx(np.mean(wins))


@given(PAIRS)
def test_pr_auc_equals_precision_at_each_threshold(rows: list[tuple[int, int]]):
    outcome, score = split(rows)
    total, before = 0.0, 0.0
    for threshold in sorted(set(score.tolist()), reverse=True):
        flagged = outcome[score >= threshold]
        recall = flagged.sum() / outcome.sum()
        total += (recall - before) * flagged.mean()
        before = recall
    assert evaluation.pr_auc(outcome, score) == pytest.approx(total)


@given(PAIRS, st.randoms())
def test_lift_is_the_mean_over_all_orders_of_ties(rows: list[tuple[int, int]], random):
    outcome, score = split(rows)
    room = max(len(rows) * 0.1, 1.0)
    threshold_hits, left = 0.0, room
    for value in sorted(set(score.tolist()), reverse=True):
        run = outcome[score == value]
        taken = min(left, len(run))
        threshold_hits += run.mean() * taken
        left -= taken
    expected = threshold_hits / room / outcome.mean()
    assert evaluation.lift(outcome, score) == pytest.approx(expected)
    order = list(range(len(rows)))
    random.shuffle(order)
    assert evaluation.lift(outcome[order], score[order]) == pytest.approx(expected)


@given(PAIRS, st.randoms())
def test_no_figure_depends_on_the_order_of_rows(rows: list[tuple[int, int]], random):
    outcome, score = split(rows)
    order = list(range(len(rows)))
    random.shuffle(order)
    ours = evaluation.measure(outcome, score)
    theirs = evaluation.measure(outcome[order], score[order])
    assert np.allclose(list(vars(ours).values()), list(vars(theirs).values()))


def test_calibration_error_by_hand():
    probability = np.repeat([0.2, 0.8], 50)
    outcome = np.concatenate([np.ones(20), np.zeros(30), np.ones(40), np.zeros(10)])
    # The lower half says 0.2 where 0.4 fell silent; the upper half is right.
    assert evaluation.ece(outcome, probability) == pytest.approx(0.1)
    assert evaluation.brier(outcome, probability) == pytest.approx(0.5 * 0.28 + 0.5 * 0.16)


def test_bins_hold_a_tenth_each_where_scores_differ():
    group = evaluation.bins(np.random.default_rng(0).permutation(200) / 200)
    assert np.bincount(group).tolist() == [20] * 10


def test_rankings_of_one_outcome_mean_nothing():
    assert np.isnan(evaluation.roc_auc(np.ones(3), np.array([0.1, 0.2, 0.3])))
    assert np.isnan(evaluation.pr_auc(np.zeros(3), np.array([0.1, 0.2, 0.3])))
    assert np.isnan(evaluation.lift(np.zeros(3), np.array([0.1, 0.2, 0.3])))


@given(PAIRS)
def test_weights_count_as_repeated_rows(rows: list[tuple[int, int]]):
    outcome, score = split(rows)
    weight = np.arange(len(rows)) % 3
    repeated = np.repeat(np.arange(len(rows)), weight)
    expected = evaluation.roc_auc(outcome[repeated], score[repeated])
    got = evaluation.roc_auc(outcome, score, weight.astype(np.float64))
    assert got == pytest.approx(expected, nan_ok=True)


def test_paired_gain_finds_a_better_score_and_no_gain_over_itself():
    random = np.random.default_rng(1)
    members = np.arange(800)
    outcome = (random.uniform(size=800) < 0.6).astype(np.float64)
    good, bad = outcome + random.normal(0, 1, 800), outcome + random.normal(0, 3, 800)
    gain = evaluation.paired_gain([(members, outcome, good, bad)], draws=60)
    assert gain.low > 0
    assert gain.low <= gain.mean <= gain.high
    none = evaluation.paired_gain([(members, outcome, good, good)], draws=20)
    assert (none.mean, none.low, none.high) == (0, 0, 0)
