"""Lead time: silences counted as a loop over people and weeks would count them."""

from datetime import UTC, datetime

import numpy as np
import pytest

from ml.arrays import DAY
from ml.backtest import backtest
from ml.facts import Facts
from ml.lead import WEEK, Silences, weeks_of
from tests.ml.small_shop import shop

START = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp())


def facts_of(orders: dict[int, list[int]]) -> Facts:
    """Members' orders by day; at noon."""
    rows = [(member, day) for member, days in orders.items() for day in days]
    return Facts(
        member_ids=[str(member).encode() for member in range(max(orders) + 1)],
        order_member=np.array([member for member, _ in rows], dtype=np.int32),
        order_at=np.array([START + day * DAY + DAY // 2 for _, day in rows], dtype=np.int64),
        order_fen=np.full(len(rows), 100, dtype=np.int64),
    ).in_order()


def slow(
    orders: dict[int, list[int]], said: dict[int, dict[int, float]], end: float
) -> list[tuple[float, bool, list[tuple[float, int]]]]:
    """Each counted silence: its highest early score, whether it churned, and its early scores."""
    weeks = sorted(said)
    found: list[tuple[float, bool, list[tuple[float, int]]]] = []
    for member, days in orders.items():
        each = sorted(set(days))
        for place, day in enumerate(each):
            begun = day + 0.5
            after = each[place + 1] if place + 1 < len(each) else 10**6
            early = [
                (said[week][member], week)
                for week in weeks
                if begun < week <= begun + 45 and after + 0.5 >= week and member in said[week]
            ]
            whole = begun >= weeks[0] - 7 and begun + 45 <= weeks[-1] + 7 and begun + 90 <= end
            if early and whole:
                found.append((max(score for score, _ in early), after - day >= 90, early))
    return found


@pytest.mark.parametrize("seed", range(12))
def test_silences_are_what_a_loop_counts(seed: int) -> None:
    random = np.random.default_rng(seed)
    orders = {
        member: sorted(int(day) for day in random.integers(0, 400, random.integers(1, 9)))
        for member in range(150)
    }
    facts = facts_of(orders)
    end = (int(facts.order_at.max()) - START) / DAY
    weeks = range(60, 300, 7)
    said: dict[int, dict[int, float]] = {}
    silences = Silences(facts)
    for week in weeks:
        members = [m for m, days in orders.items() if any(week - 180 <= d < week for d in days)]
        scores = np.round(random.random(len(members)), 2)
        said[week] = dict(zip(members, scores.tolist(), strict=True))
        silences.score(START + week * DAY, np.array(members), {"model": scores})
    report = silences.report(precision=0.6)
    expected = slow(orders, said, end)
    assert report is not None
    assert report.silences == len(expected)
    assert report.churned_share == pytest.approx(np.mean([churned for _, churned, _ in expected]))
    lead = report.models["model"]
    over = [item for item in expected if item[0] >= lead.threshold]
    if over:
        assert np.mean([churned for _, churned, _ in over]) >= 0.6
        right = [early for _, churned, early in over if churned]
        everyone = sum(churned for _, churned, _ in expected)
        assert lead.recall == pytest.approx(len(right) / everyone)
    for level in {score for score, _, _ in expected}:
        chosen = [churned for score, churned, _ in expected if score >= level]
        if np.mean(chosen) >= 0.6:
            assert level >= lead.threshold


def test_a_warning_is_counted_from_its_first_week() -> None:
    orders = {member: [100] if member % 2 else list(range(100, 400, 30)) for member in range(120)}
    orders |= {200: [399]}
    facts = facts_of(orders)
    silences = Silences(facts)
    for week in range(95, 240, 7):
        members = np.arange(120)
        certain = np.where(members % 2, 0.9 if week > 110 else 0.2, 0.1)
        silences.score(START + week * DAY, members, {"model": certain})
    report = silences.report()
    assert report is not None
    assert report.models["model"].recall == 1
    # The order came at noon of day 100, the first high score on day 116: 74.5 days before 190.5.
    assert report.models["model"].median_days == pytest.approx(74.5)


def test_too_few_silences_say_nothing() -> None:
    silences = Silences(facts_of({0: [1, 30], 1: [5, 200]}))
    assert silences.report() is None
    silences.score(START + 40 * DAY, np.array([0, 1]), {"model": np.array([0.1, 0.2])})
    assert silences.report() is None


def test_weeks_go_on_across_cutoffs_without_a_gap() -> None:
    cutoffs = [START, START + 45 * DAY, START + 90 * DAY]
    planned = weeks_of(cutoffs, START + 120 * DAY)
    assert [cutoff for cutoff, _ in planned] == cutoffs
    instants = [week for _, weeks in planned for week in weeks]
    assert np.diff(instants).tolist() == [WEEK] * (len(instants) - 1)
    assert instants[-1] <= START + 120 * DAY < instants[-1] + WEEK
    assert all(cutoff <= week for cutoff, weeks in planned for week in weeks)


def test_a_back_test_reports_the_lead_of_every_model() -> None:
    facts = shop(members=500, days=420)
    end = int(facts.order_at.max()) // DAY * DAY
    report = backtest(facts, cutoffs=[end - 180 * DAY, end - 135 * DAY, end - 90 * DAY])
    assert report.lead is not None
    assert set(report.lead.models) == set(report.mean)
    assert report.lead.models["product"].average_precision > report.lead.churned_share
