"""Lead time: silences counted as a loop over people and weeks would count them."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pytest

from ml.arrays import DAY
from ml.backtest import backtest
from ml.facts import Facts
from ml.lead import report as report_of
from ml.silences import WEEK, Silences, weeks_of
from ml.thresholds import _Early, following  # pyright: ignore[reportPrivateUsage]
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


@dataclass
class Slow:
    """A silence as a loop sees it: its weekly scores, and whether it came to churn."""

    begun: float
    churned: bool
    scores: list[tuple[int, float]]

    def risk(self, until: float) -> float:
        """The highest score so many days into the silence."""
        return max((p for week, p in self.scores if week <= self.begun + until), default=-1.0)


def slow(orders: dict[int, list[int]], said: dict[int, dict[int, float]], end: float) -> list[Slow]:
    """Every silence that counts."""
    weeks = sorted(said)
    found: list[Slow] = []
    for member, days in orders.items():
        each = sorted(set(days))
        for place, day in enumerate(each):
            begun = day + 0.5
            after = each[place + 1] + 0.5 if place + 1 < len(each) else 10**6
            scores = [
                (week, said[week][member])
                for week in weeks
                if begun < week < begun + 90 and after >= week and member in said[week]
            ]
            whole = begun >= weeks[0] - 7 and begun + 90 <= min(end, weeks[-1] + 7)
            if whole and any(week <= begun + 45 for week, _ in scores):
                found.append(Slow(begun, after - begun >= 90, scores))
    return found


def lowest(found: list[Slow], until: float, precision: float) -> float:
    """The lowest score at which so many of those warned of are right."""
    for level in sorted({silence.risk(until) for silence in found}):
        warned = [silence.churned for silence in found if silence.risk(until) >= level]
        if np.mean(warned) >= precision:
            return level
    return float("inf")


@pytest.mark.parametrize("seed", range(12))
def test_silences_are_what_a_loop_counts(seed: int) -> None:
    random = np.random.default_rng(seed)
    orders = {
        member: sorted(int(day) for day in random.integers(0, 400, random.integers(1, 9)))
        for member in range(150)
    }
    facts = facts_of(orders)
    end = (int(facts.order_at.max()) - START) / DAY
    said: dict[int, dict[int, float]] = {}
    silences = Silences(facts)
    for week in range(60, 300, 7):
        members = [m for m, days in orders.items() if any(week - 180 <= d < week for d in days)]
        scores = np.round(random.random(len(members)), 2)
        said[week] = dict(zip(members, scores.tolist(), strict=True))
        silences.score(START + week * DAY, np.array(members), {"model": scores})
    report = report_of(silences, precisions=[0.6], draws=50)
    expected = slow(orders, said, end)
    churners = [silence for silence in expected if silence.churned]
    assert report is not None
    assert report.silences == len(expected)
    assert report.churned_share == pytest.approx(len(churners) / len(expected))
    level = report.models["model"].level(0.6)
    assert level.threshold == lowest(expected, 45, 0.6)
    recall = np.mean([silence.risk(45) >= level.threshold for silence in churners])
    assert level.rules[0].kind == "hindsight"
    assert level.rules[0].recall.value == pytest.approx(recall)
    # Any warning counts, late ones too.
    assert level.any_threshold == lowest(expected, 90, 0.6)
    days = [
        silence.begun + 90 - min(week for week, p in silence.scores if p >= level.any_threshold)
        for silence in churners
        if silence.risk(90) >= level.any_threshold
    ]
    assert level.days.tolist() == pytest.approx(sorted(days))
    assert level.any_recall.value == pytest.approx(len(days) / len(churners))
    assert level.any_early.value == pytest.approx(sum(day >= 45 for day in days) / len(churners))


def a_year(seed: int, until: int = 400) -> tuple[dict[int, list[int]], Silences]:
    """Members who all but stop at some day and are scored by how long they were silent, with noise.

    Orders and noise before `until` are the same whatever happens from then on.
    """
    random = np.random.default_rng(seed)
    orders: dict[int, list[int]] = {}
    for member in range(220):
        gap, slows = random.uniform(8, 40), random.uniform(50, 500)
        day, days = random.uniform(0, 30), list[int]()
        while day < 400:
            days.append(int(day))
            day += random.exponential(gap if day < slows else gap * 30)
        orders[member] = [day for day in days if day < until] or [0]
    orders[220] = [399]
    noise = np.random.default_rng(seed + 1)
    silences = Silences(facts_of(orders))
    for week in range(40, 396, 7):
        last = np.array(
            [max((d for d in days if d < week), default=-99) for days in orders.values()]
        )
        score = np.clip((week - last) / 100 + noise.normal(0, 0.1, len(last)), 0, 1)
        known = np.flatnonzero(last > -99)
        silences.score(START + week * DAY, known, {"model": np.round(score[known], 2)})
    return orders, silences


def believed(orders: dict[int, list[int]], silences: Silences, level: float, at: int) -> float:
    """The life table by hand: each silence lived through hour by hour, four weeks of calendar."""
    lived, ended = np.zeros(13), np.zeros(13)
    ages: list[int] = []
    for place, (member, begun) in enumerate(zip(silences.member, silences.begun, strict=True)):
        begun_day = (int(begun) - START) / DAY
        later = [d + 0.5 for d in orders[int(member)] if d + 0.5 > begun_day]
        end = min(min(later, default=10**6), begun_day + 90)
        warned = next(
            (
                (week.at - START) / DAY
                for week in silences.weeks
                if place in week.places
                and week.at - begun <= 45 * DAY
                and week.scores["model"][np.flatnonzero(week.places == place)[0]] >= level
            ),
            None,
        )
        if warned is None or warned >= at:
            continue
        if warned >= at - 28:
            ages.append(int(warned - begun_day))
        for half in range(int(2 * max(warned, at - 28)), int(2 * min(end, at))):
            lived[min(int(half / 2 - begun_day) // 7, 12)] += 0.5
        if later and min(later) == end and max(warned, at - 28) < end < at:
            ended[min(int(end - begun_day) // 7, 12)] += 1
    daily = np.repeat(ended / np.maximum(lived, 1), 7)[:90]
    share = float(np.mean([np.exp(-daily[age:].sum()) for age in ages]))
    return share - float(np.sqrt(share * (1 - share) / len(ages)))


@pytest.mark.parametrize("level", [0.2, 0.3])
def test_what_four_weeks_show_is_what_a_life_table_by_hand_shows(level: float) -> None:
    orders, silences = a_year(1)
    known = _Early(silences, "model").known(START + 300 * DAY)
    assert known.trusted(level) == pytest.approx(believed(orders, silences, level, 300), abs=1e-9)


def test_thresholds_that_follow_know_nothing_of_later_weeks() -> None:
    _, whole = a_year(2)
    _, cut = a_year(2, until=240)
    since, until = START + 180 * DAY, START + 240 * DAY
    first = following(whole, "model", [0.1, 0.2], since=since)
    second = following(cut, "model", [0.1, 0.2], since=since)
    assert first is not None
    assert second is not None
    weeks = [place for place, week in enumerate(whole.weeks) if week.at <= until]
    for precision in (0.1, 0.2):
        known = [first[precision][place] for place in weeks]
        assert known == [second[precision][place] for place in weeks]
        assert sum(np.isfinite(known)) > 3
    assert first != second


def test_fixed_thresholds_are_those_of_silences_that_had_ended() -> None:
    orders, silences = a_year(3)
    said = {
        (week.at - START) // DAY: dict(
            zip(silences.member[week.places].tolist(), week.scores["model"].tolist(), strict=True)
        )
        for week in silences.weeks
    }
    since = 40 + 25 * 7
    report = report_of(silences, precisions=[0.2], since=START + since * DAY, draws=50)
    assert report is not None
    every = slow(orders, said, 399.5)
    counted = [silence for silence in every if silence.begun >= since - 7]
    assert report.silences == len(counted)
    threshold = lowest([one for one in every if one.begun + 90 <= since], 45, 0.2)
    warned = [
        any(p >= threshold for week, p in one.scores if since <= week <= one.begun + 45)
        for one in counted
    ]
    right = [one and silence.churned for one, silence in zip(warned, counted, strict=True)]
    rules = {rule.kind: rule for rule in report.models["model"].level(0.2).rules}
    assert set(rules) == {"hindsight", "fixed", "following"}
    assert rules["fixed"].precision.value == pytest.approx(sum(right) / sum(warned))
    churned = sum(silence.churned for silence in counted)
    assert rules["fixed"].recall.value == pytest.approx(sum(right) / churned)


def test_a_warning_is_counted_from_its_first_week() -> None:
    orders = {member: [100] if member % 2 else list(range(100, 400, 30)) for member in range(120)}
    orders |= {200: [399]}
    facts = facts_of(orders)
    silences = Silences(facts)
    for week in range(95, 240, 7):
        members = np.arange(120)
        certain = np.where(members % 2, 0.9 if week > 110 else 0.2, 0.1)
        silences.score(START + week * DAY, members, {"model": certain})
    report = report_of(silences)
    assert report is not None
    level = report.models["model"].level(0.8)
    assert level.any_recall.value == 1
    assert level.any_early.value == 1
    # The order came at noon of day 100, the first high score on day 116: 74.5 days before 190.5.
    assert level.quartiles == pytest.approx((74.5,) * 3)


def test_too_few_silences_say_nothing() -> None:
    silences = Silences(facts_of({0: [1, 30], 1: [5, 200]}))
    assert report_of(silences) is None
    silences.score(START + 40 * DAY, np.array([0, 1]), {"model": np.array([0.1, 0.2])})
    assert report_of(silences) is None


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
    asked = {"product_horizon", "cnbd_lasting", "bgnbd_lasting"}
    assert set(report.lead.models) == set(report.mean) | asked
    assert set(report.lead.gains) == set(report.lead.models) - {"product"}
    assert report.lead.models["product"].average_precision.value > report.lead.churned_share
