"""Triggers that follow what came of the scores: what is read, what is kept, what is in force."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app import churn, playbooks
from app.churn import following
from app.kernel.db import Database
from ml.facts import NEVER
from tests.conftest import TestClock
from tests.make import churn as make
from tests.make import playbooks as make_playbooks
from tests.make.members import community, member
from tests.make.orders import order
from workers.triggers import answered, effect_by, follow_triggers

WEEK = timedelta(days=7)
DAY = timedelta(days=1)


async def people(
    database: Database, count: int = 1, name: str = "home", **settings: object
) -> list[UUID]:
    async with database.begin() as tx:
        home = await community(tx, name=name)
        home.settings = settings
        found = [(await member(tx, community_id=home.id)).id for _ in range(count)]
        for key in found:
            await order(tx, member_id=key, at=tx.now - 20 * DAY)
    return found


async def night(
    database: Database, said: dict[UUID, float], *, at: datetime, horizon: int = 45
) -> None:
    async with database.begin() as tx:
        row = await make.model(tx)
        await make.scores(tx, member_ids=list(said), probability=list(said.values()), as_of=at)
        await churn.record_night(
            tx, churn.NewNight(at, row.id, horizon, len(said)), zone="Asia/Shanghai"
        )


async def rises(database: Database, at: datetime) -> set[tuple[float, float, int, bool]]:
    async with database.read() as read:
        found = await churn.read_rises(read, as_of=at, horizon_days=45)
    rows = zip(
        found.before.tolist(), found.score.tolist(), found.at.tolist(), found.woken.tolist(),
        strict=True,
    )  # fmt: skip
    return {(b, s, at, woken < NEVER) for b, s, at, woken in rows}


async def kept(database: Database, at: datetime, *found: churn.NewTrigger) -> None:
    async with database.begin() as tx:
        await churn.record_triggers(tx, as_of=at, nights=9, found=found)


def finding(trigger: float | None, precision: float = 0.7) -> churn.NewTrigger:
    if trigger is None:
        return churn.NewTrigger(precision)
    return churn.NewTrigger(precision, trigger, precision, 0.02, 300, 28)


async def in_force(database: Database) -> float:
    async with database.read() as read:
        return await churn.lowest_trigger(read)


async def test_scores_rise_above_the_highest_since_the_last_order(
    database: Database, clock: TestClock
) -> None:
    steady, riser, buyer, gone = await people(database, 4)
    first = clock.now
    said = {
        steady: (0.6, 0.6, 0.5, 0.6),
        riser: (0.3, 0.5, 0.4, 0.8),
        buyer: (0.8, 0.9, 0.4, 0.5),
        gone: (0.1, 0.2, 0.2, 0.2),
    }
    for number in range(4):
        at = first + number * WEEK
        clock.now = at
        await night(database, {key: p[number] for key, p in said.items()}, at=at)
        if number == 1:
            async with database.begin() as tx:
                await order(tx, member_id=buyer, at=at + DAY)
    clock.now = first + 4 * WEEK
    second, third, last = (int((first + n * WEEK).timestamp()) for n in (1, 2, 3))
    assert await rises(database, clock.now) == {
        # What was there on the first night did not rise in what is looked at.
        (0.3, 0.5, second, False),
        (0.5, 0.8, last, False),
        (0.8, 0.9, second, True),
        # After the order the count begins anew.
        (0.0, 0.4, third, False),
        (0.4, 0.5, last, False),
    }
    before = await rises(database, first + 3 * WEEK)
    assert all(at < last for _, _, at, _ in before), "the night itself and later ones are not seen"


async def test_whoever_has_churned_already_cannot_be_alerted_and_does_not_count(
    database: Database, clock: TestClock
) -> None:
    (key,) = await people(database)
    first = clock.now
    for days, p in ((0, 0.5), (54, 0.8), (61, 0.9)):  # the order was 20 days before
        await night(database, {key: p}, at=first + days * DAY)
    clock.now = first + 90 * DAY
    ((before, score, _, _),) = await rises(database, clock.now)
    assert (before, score) == (0.5, 0.8)


async def test_nights_of_another_horizon_and_orders_to_come_are_left_out(
    database: Database, clock: TestClock
) -> None:
    (key,) = await people(database)
    first = clock.now
    await night(database, {key: 0.3}, at=first)
    await night(database, {key: 0.6}, at=first + WEEK)
    await night(database, {key: 0.9}, at=first + 2 * WEEK, horizon=90)
    async with database.begin() as tx:
        await order(tx, member_id=key, at=first + 3 * WEEK)
    now = first + 3 * WEEK
    assert {(b, s, woken) for b, s, _, woken in await rises(database, now)} == {(0.3, 0.6, False)}
    later = await rises(database, now + timedelta(seconds=1))
    assert {(b, s, woken) for b, s, _, woken in later} == {(0.3, 0.6, True)}


@pytest.mark.parametrize(
    ("settings", "found", "expected"),
    [
        ({}, 0.58, 0.58),
        ({}, 0.31, 0.5),
        ({"churn_trigger": 0.6}, 0.95, 0.8),
        ({}, None, 0.7),
        ({"churn_trigger_by": "FIXED"}, 0.58, 0.7),
        ({"churn_trigger_by": "whatever"}, 0.58, 0.58),
        ({"churn_precision": 0.8}, 0.58, 0.7),
        ({"churn_trigger": 0.9}, 1.0, 1.0),
    ],
)
async def test_what_was_found_is_in_force_within_a_band_of_the_setting(
    database: Database,
    clock: TestClock,
    settings: dict[str, Any],
    found: float | None,
    expected: float,
) -> None:
    keys = await people(database, 2, churn_signal_effect="NONE", **settings)
    await kept(database, clock.now, finding(found))
    # The lowest anywhere is never above the one that communities without a setting have.
    assert await in_force(database) == pytest.approx(min(expected, churn.TRIGGER))
    if found is not None and settings.get("churn_trigger_by") != "FIXED":
        own = float(settings.get("churn_trigger", churn.TRIGGER))
        if settings.get("churn_precision", churn.PRECISION) == churn.PRECISION:
            assert churn.bounded_trigger(own, found) == pytest.approx(expected)
    async with database.begin() as tx:
        stored = await make.scores(
            tx,
            member_ids=keys,
            probability=[min(expected + 0.001, 1.0), expected - 0.001],
            as_of=tx.now - DAY,
        )
    assert stored.raised == 1
    async with database.read() as read:
        alert = (await churn.open_alert_by_member(read, keys))[keys[0]]
    assert alert.trigger == pytest.approx(expected)


async def test_the_newest_night_counts_and_one_that_found_nothing_gives_the_setting_back(
    database: Database, clock: TestClock
) -> None:
    await people(database, churn_signal_effect="NONE")
    await kept(database, clock.now, finding(0.55))
    await kept(database, clock.now - DAY, finding(0.65))
    assert await in_force(database) == pytest.approx(0.55)
    await kept(database, clock.now, finding(0.6))
    assert await in_force(database) == pytest.approx(0.6), "the same night again"
    await kept(database, clock.now + DAY, finding(None))
    assert await in_force(database) == pytest.approx(0.7)


async def test_an_alert_closes_at_seven_tenths_of_the_trigger_it_rose_through(
    database: Database, clock: TestClock
) -> None:
    (key,) = await people(database)
    await kept(database, clock.now, finding(0.6))
    for minutes, p, is_open in ((0, 0.6, True), (1, 0.43, True), (2, 0.42, False)):
        async with database.begin() as tx:
            at = tx.now - DAY + timedelta(minutes=minutes)
            await make.score(tx, member_id=key, probability=p, as_of=at)
        async with database.read() as read:
            assert bool(await churn.open_alert_by_member(read, [key])) is is_open


async def test_each_precision_that_is_asked_for_gets_its_own_trigger(
    database: Database, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Chances of .3 to .9, which come true; 120 new members a week.
    await people(database, name="strict", churn_precision=0.8)
    await people(database, name="fixed", churn_trigger_by="FIXED", churn_precision=0.9)
    start = clock.now
    for number in range(11):
        clock.now = at = start + number * WEEK
        keys = await people(database, 120)
        said = {key: 0.3 + 0.6 * place / 119 for place, key in enumerate(keys)}
        await night(database, dict.fromkeys(said, 0.1), at=at - WEEK + DAY)
        await night(database, said, at=at)
        async with database.begin() as tx:
            for place, (key, p) in enumerate(said.items()):
                if (place * 37) % 100 >= 100 * p:
                    await order(tx, member_id=key, at=at + (1 + place % 40) * DAY)
    clock.now = now = start + 11 * WEEK
    # Several runs of one night find and keep the same.
    runs = [follow_triggers(database, as_of=now, horizon_days=45) for _ in range(4)]
    await asyncio.gather(*runs)
    async with database.read() as read:
        asked = await churn.precisions_asked(read)
        rows = await churn.triggers(read, first=9)
    assert asked == [0.7, 0.8]
    low, high = rows
    assert (low.precision, high.precision) == (0.7, 0.8)
    assert low.trigger is not None
    assert high.trigger is not None
    assert low.trigger == pytest.approx(0.5, abs=0.1)
    assert high.trigger == pytest.approx(0.7, abs=0.1)
    assert (low.days, low.nights) == (28, 11)
    # Of many members some are drawn, always the same.
    monkeypatch.setattr(following, "MEMBERS", 40)
    async with database.read() as read:
        drawn = await churn.read_rises(read, as_of=now, horizon_days=45)
        monkeypatch.undo()
        whole = await churn.read_rises(read, as_of=now, horizon_days=45)
    assert 0.25 < len(drawn.at) / len(whole.at) < 0.42, "a third of the members"


async def test_whoever_was_answered_counts_as_if_left_alone(
    database: Database, clock: TestClock
) -> None:
    """Of four who were answered three came back, and one of four held out by lot did."""
    arms = playbooks.Arm.TREATED, playbooks.Arm.CONTROL
    keys = await people(database, 200)
    first = clock.now
    async with database.begin() as tx:
        measures = [make_playbooks.message()]
        plan = await make_playbooks.playbook(tx, measures, holdout_permille=500)
    await night(database, dict.fromkeys(keys, 0.2), at=first)
    clock.now = first + WEEK
    await night(database, dict.fromkeys(keys, 0.8), at=clock.now)
    async with database.begin() as tx:
        for place, key in enumerate(keys):
            held = place % 2
            await make_playbooks.acted(tx, playbook=plan, member_id=key, arm=arms[held])
            if (place // 2) % 4 < (1 if held else 3):
                at = tx.now + (1 + place % 20) * DAY
                await order(tx, member_id=key, at=at)
        # An action of another silence says nothing of this one.
        late = first + 40 * DAY
        await order(tx, member_id=keys[0], at=late - DAY)
        await make_playbooks.acted(tx, playbook=plan, member_id=keys[0], at=late)
    now = first + 60 * DAY
    async with database.read() as read:
        seen = await churn.read_rises(read, as_of=now, horizon_days=45)
        acts = await playbooks.first_actions(read, since=first, until=now, drawn=seen.drawn)
        before = await playbooks.first_actions(
            read, since=first, until=first + 8 * DAY, drawn=seen.drawn
        )
        drawn = await playbooks.first_actions(read, since=first, until=now, drawn=0)
    assert (len(acts), len(drawn)) == (201, 0)
    assert {one.woken for one in before} == {None}, "orders to come are not seen"
    since = answered(seen, acts)
    treated = {one.member_id for one in acts if not one.held_out}
    assert {key for key, at in zip(seen.members, since, strict=True) if at < NEVER} == treated
    assert set(since[since < NEVER].tolist()) == {int((first + WEEK).timestamp())}
    effect = effect_by(acts, int(now.timestamp()), 45)
    assert 2.5 < effect.times < 6
    # Three in four of those left alone stay away: a trigger that asks for so many is found.
    clock.now = now
    await follow_triggers(database, as_of=now, horizon_days=45)
    async with database.read() as read:
        (row,) = await churn.triggers(read, first=1)
    assert row.share == pytest.approx(0.75, abs=0.06)


async def test_a_young_platform_keeps_its_setting(database: Database, clock: TestClock) -> None:
    (key,) = await people(database)
    await follow_triggers(database, as_of=clock.now, horizon_days=45)
    await night(database, {key: 0.9}, at=clock.now - DAY)
    await follow_triggers(database, as_of=clock.now + DAY, horizon_days=45)
    async with database.read() as read:
        rows = await churn.triggers(read, first=9)
    assert [(row.trigger, row.nights) for row in rows] == [(None, 1), (None, 0)]
