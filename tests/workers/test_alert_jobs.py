"""The jobs of signals and alerts, run as workers run them, once and again."""

from datetime import timedelta

from sqlalchemy import func, select

from app import churn
from app.churn.rules import signal_windows
from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.outbox import OutboxRow
from app.orders import Activity, ActivityKind
from tests.conftest import TestClock
from tests.make import churn as make
from tests.make.members import community, member
from workers.alerts import look_at_signals, release_alerts
from workers.jobs import Work

HOUR = timedelta(hours=1)


async def test_a_night_opens_signals_in_every_zone_and_raises_their_alerts_once(
    database: Database, clock: TestClock, settings: Settings
) -> None:
    zones = ("Asia/Shanghai", "Asia/Urumqi")
    people = []
    async with database.begin() as tx:
        for zone in zones:
            home = await community(tx, name=zone, time_zone=zone)
            people.append((await member(tx, community_id=home.id)).id)
            _, middle, _ = signal_windows(tx.now, zone)
            # At the very edges: in the other zone they would lie in other windows.
            at = [middle - timedelta(milliseconds=1) - n * HOUR for n in range(10)]
            at += [middle + n * HOUR for n in range(3)]
            tx.session.add_all(
                Activity(
                    member_id=people[-1], event_id=str(when), kind=ActivityKind.SESSION, at=when
                )
                for when in at
            )
        await make.scores(tx, member_ids=people, probability=[0.6, 0.6])
    work = Work(database, settings)
    night = {"plan": "signals", "due_at": clock.now.isoformat()}
    for _ in range(2):
        await look_at_signals.body(work, **night)
    async with database.read() as read:
        signals = await churn.open_signals_by_member(read, people)
        alerts = await churn.open_alert_by_member(read, people)
        facts = select(func.count()).where(OutboxRow.kind == "churn.risk_raised")
        assert await read.session.scalar(facts) == 2
    figures = [(row.baseline, row.recent) for key in people for row in signals[key]]
    assert figures == [(10, 3), (10, 3)]
    assert set(alerts) == set(people)


async def test_holds_end_by_the_job(
    database: Database, clock: TestClock, settings: Settings
) -> None:
    async with database.begin() as tx:
        alert = await make.alert_in_hand(tx, member_id=(await member(tx)).id)
    work = Work(database, settings)
    for hours, held in ((71.9, True), (0.1, False), (1, False)):
        clock.advance(hours=hours)
        await release_alerts.body(work, plan="alerts held", due_at=clock.now.isoformat())
        async with database.read() as read:
            row = (await churn.alert_by_id(read, [alert.id]))[alert.id]
            assert (row.taken_by is not None) == held
            facts = select(func.count()).where(OutboxRow.kind == "churn.alert_handed_back")
            assert await read.session.scalar(facts) == (0 if held else 1)
