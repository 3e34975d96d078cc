"""Alerts when everything happens at once, and when the process that moves them up is killed."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from random import Random
from uuid import UUID, uuid4

from sqlalchemy import func, select

from app import churn
from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.errors import Refusal
from app.kernel.outbox import OutboxRow
from tests.conftest import NOON, TestClock
from tests.make import churn as make
from tests.make.members import community, member
from tests.make.orders import order
from tests.workers.children import child, until

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


async def people(database: Database, count: int = 1) -> list[UUID]:
    async with database.begin() as tx:
        home = (await community(tx)).id
        found = [(await member(tx, community_id=home)).id for _ in range(count)]
        await make.model(tx)
    return found


async def give(
    database: Database, members: Sequence[UUID], probability: float, minutes: int = 0
) -> churn.Stored:
    async with database.begin() as tx:
        return await make.scores(
            tx,
            member_ids=members,
            probability=[probability] * len(members),
            as_of=tx.now - DAY + minutes * MINUTE,
        )


async def alerts_of(database: Database, members: Sequence[UUID]) -> Counter[str]:
    async with database.read() as read:
        query = select(churn.ChurnAlert.state).where(churn.ChurnAlert.member_id.in_(members))
        return Counter(state.value for state in await read.session.scalars(query))


async def told(database: Database, kind: str) -> int:
    async with database.read() as read:
        query = select(func.count()).select_from(OutboxRow).where(OutboxRow.kind == kind)
        return await read.session.scalar(query) or 0


async def test_fifty_scores_twice_each_raise_one_alert_a_member(database: Database) -> None:
    members = await people(database, 3)
    answers = await asyncio.gather(
        *(give(database, members, 0.9, minutes) for minutes in [*range(50)] * 2)
    )
    assert await alerts_of(database, members) == {"OPEN": 3}
    assert await told(database, "churn.risk_raised") == 3
    assert sum(answer.raised for answer in answers) == 3
    async with database.read() as read:
        newest = await churn.score_by_member(read, members)
    assert {row.as_of for row in newest.values()} == {NOON - DAY + 49 * MINUTE}


async def test_scores_and_signals_at_once_raise_one_alert(database: Database) -> None:
    members = await people(database, 5)
    await give(database, members, 0.5)
    async with database.begin() as tx:
        for key in members:
            await make.signal(tx, member_id=key)

    async def by_signal() -> int:
        async with database.begin() as tx:
            return (await churn.raise_signalled(tx, after=None))[0]

    async def by_score(minutes: int) -> int:
        return (await give(database, members, 0.6, minutes)).raised

    raised = await asyncio.gather(
        *(by_signal() if number % 2 else by_score(number) for number in range(100))
    )
    assert sum(raised) == 0 + 5
    assert await alerts_of(database, members) == {"OPEN": 5}
    assert await told(database, "churn.risk_raised") == 5


async def test_a_mute_and_scores_at_once_leave_no_alert_before_the_mutes_end(
    database: Database,
) -> None:
    dice = Random(3)
    for number in range(15):
        (one,) = await people(database)
        await give(database, [one], 0.9)
        async with database.read() as read:
            alert = (await churn.open_alert_by_member(read, [one]))[one]

        async def mute(alert_id: UUID = alert.id) -> None:
            await asyncio.sleep(dice.random() / 50)
            async with database.begin() as tx:
                await churn.mute(
                    tx, alert_id=alert_id, actor_id=uuid4(), until=tx.now + DAY, reason="travels"
                )

        later = [give(database, [one], 0.95, minutes) for minutes in range(1, 9)]
        await asyncio.gather(mute(), *later)
        assert await alerts_of(database, [one]) == {"MUTED": 1}, number


async def test_an_order_recovers_a_member_however_alerts_move_meanwhile(
    database: Database, clock: TestClock
) -> None:
    members = await people(database, 12)
    await give(database, members, 0.9)
    async with database.begin() as tx:
        await churn.escalate_due(tx)
    clock.advance(hours=72)

    async def ordered(key: UUID) -> None:
        async with database.begin() as tx:
            await order(tx, member_id=key)
        async with database.begin() as tx:
            await churn.recover_by_order(tx, member_id=key)

    async def escalated() -> None:
        async with database.begin() as tx:
            await churn.escalate_due(tx)

    async def settled() -> None:
        async with database.begin() as tx:
            await churn.settle_alerts(tx)

    buyers = members[:6]
    await asyncio.gather(
        *(ordered(key) for key in buyers * 2),
        *(escalated() for _ in range(25)),
        *(settled() for _ in range(5)),
    )
    assert await alerts_of(database, buyers) == {"RECOVERED": 6}
    assert await alerts_of(database, members[6:]) == {"L2": 6}
    assert await told(database, "churn.alert_closed") == 6
    await escalated()
    assert await alerts_of(database, members) == {"RECOVERED": 6, "L2": 6}


async def test_taking_over_and_moving_up_come_one_after_the_other(
    database: Database, clock: TestClock
) -> None:
    for _ in range(10):
        (one,) = await people(database)
        await give(database, [one], 0.9)
        async with database.read() as read:
            alert = (await churn.open_alert_by_member(read, [one]))[one]

        async def taken(who: UUID, alert_id: UUID = alert.id) -> str | None:
            try:
                async with database.begin() as tx:
                    row = await churn.take_over(tx, alert_id=alert_id, actor_id=who)
                    return row.state.value
            except Refusal:
                return None

        async def escalated() -> None:
            async with database.begin() as tx:
                await churn.escalate_due(tx)

        colleagues = [uuid4() for _ in range(5)]
        answers = await asyncio.gather(
            *(taken(who) for who in colleagues), escalated(), escalated(), escalated()
        )
        (state,) = [answer for answer in answers if answer is not None]
        assert await alerts_of(database, [one]) == {state: 1}, "what is held stays where it was"


# It moves up a thousand, commits, moves up more, says so, and idles without committing.
RUNNER = f"""
import asyncio
from datetime import datetime
from app import churn
from app.kernel.config import load_settings
from app.kernel.db import Database

NOW = datetime.fromisoformat("{NOON.isoformat()}")

async def main():
    database = Database(load_settings().database_url, clock=lambda: NOW)
    async with database.begin() as tx:
        await churn.escalate_due(tx)
    async with database.begin() as tx:
        moved = await churn.escalate_due(tx)
        print("in the second batch of", moved, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_a_killed_escalation_is_followed_by_one_that_moves_nobody_twice(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    members = await people(database, 1_200)
    await give(database, members, 0.9)
    async with child(settings, tmp_path / "run.log", "-c", RUNNER) as runner:

        async def in_the_second() -> bool:
            assert runner.process.returncode is None, runner.said()
            return "in the second batch of 200" in runner.said()

        await until(in_the_second)
        runner.kill()
        await runner.process.wait()
    assert await alerts_of(database, members) == {"L1": 1_000, "OPEN": 200}
    for _ in range(2):
        async with database.begin() as tx:
            await churn.escalate_due(tx)
    assert await alerts_of(database, members) == {"L1": 1_200}
    assert await told(database, "churn.alert_escalated") == 1_200


async def test_holds_that_end_are_ended_once(database: Database, clock: TestClock) -> None:
    members = await people(database, 8)
    await give(database, members, 0.9)
    async with database.begin() as tx:
        found = await churn.open_alert_by_member(tx, members)
        for alert in found.values():
            await churn.take_over(tx, alert_id=alert.id, actor_id=uuid4())
    clock.advance(hours=72)

    async def released() -> int:
        async with database.begin() as tx:
            return await churn.release_due(tx)

    assert sum(await asyncio.gather(*(released() for _ in range(20)))) == 8
    assert await told(database, "churn.alert_handed_back") == 8
    async with database.read() as read:
        actions = await churn.actions_by_alert(read, [alert.id for alert in found.values()])
    ended = [row.kind.value for rows in actions.values() for row in rows]
    assert Counter(ended) == {"TAKEN_OVER": 8, "HOLD_ENDED": 8}
