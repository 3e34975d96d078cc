"""The jobs of playbooks, run as workers run them: facts set them off, a sweep finds the rest."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import select

from app import churn, playbooks
from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.outbox import OutboxRow
from app.playbooks import Level, TaskState
from tests.conftest import TestClock
from tests.make import churn as make_churn
from tests.make import members as make_members
from tests.make import orders as make_orders
from tests.make import playbooks as make
from workers.churn import escalate_alerts, recover_member
from workers.jobs import Work
from workers.playbooks import answer_alert, answer_alerts, learn_effects
from workers.roster import JOBS, REACTIONS


async def react(database: Database, work: Work) -> list[str]:
    """Take what waits in the outbox as the relay does, and run each job it sets off, twice."""
    async with database.begin() as tx:
        facts = (await tx.session.scalars(select(OutboxRow).order_by(OutboxRow.id))).all()
        for fact in facts:
            await tx.session.delete(fact)
    ran: list[str] = []
    for fact in facts:
        for message in REACTIONS(fact.kind, fact.payload):
            job = JOBS[message.actor_name]
            if job not in (answer_alert, recover_member):
                continue
            given: dict[str, Any] = orjson.loads(orjson.dumps(message.kwargs))
            for _ in range(2):
                await job.body(work, **given)
            ran.append(job.name)
    return ran


async def levels(database: Database, member_id: UUID) -> list[Level]:
    async with database.read() as read:
        rows = await read.session.scalars(
            select(playbooks.PlaybookAction.level)
            .where(playbooks.PlaybookAction.member_id == member_id)
            .order_by(playbooks.PlaybookAction.level)
        )
        return list(rows)


async def test_an_alert_is_answered_level_by_level_until_the_member_orders(
    database: Database, clock: TestClock, settings: Settings
) -> None:
    work = Work(database, settings)
    async with database.begin() as tx:
        await make.playbook(tx, [make.message(Level.L1), make.task(Level.L2), make.task(Level.L3)])
        member = (await make_members.member(tx)).id
        await make_churn.score(tx, member_id=member)
    for expected in ([Level.L1], [Level.L1, Level.L2]):
        await escalate_alerts.body(work, plan="alerts", due_at=clock.now.isoformat())
        assert "answer_alert" in await react(database, work)
        assert await levels(database, member) == expected
        clock.advance(hours=72)
    async with database.read() as read:
        (task,) = await playbooks.tasks_page(read, state=TaskState.OPEN, first=5)
        assert (await playbooks.rank_by_member(read, [member]))[member].alert_id == task.alert_id
    async with database.begin() as tx:
        await make_orders.order(tx, member_id=member, at=tx.now)
    await recover_member.body(work, member_id=str(member))
    assert "answer_alert" in await react(database, work)
    async with database.read() as read:
        ended = await playbooks.tasks_page(read, state=TaskState.CANCELLED, first=5)
    assert [row.id for row in ended] == [task.id]
    await escalate_alerts.body(work, plan="alerts", due_at=clock.now.isoformat())
    assert await levels(database, member) == [Level.L1, Level.L2]


async def test_the_sweep_finds_what_no_fact_has_set_off_and_forgets_what_is_over(
    database: Database, clock: TestClock, settings: Settings
) -> None:
    work = Work(database, settings)
    async with database.begin() as tx:
        await make.playbook(tx, [make.message()])
        members = list(await make.alerts(tx, 3))
    sweep = {"plan": "playbooks", "due_at": clock.now.isoformat()}
    for _ in range(2):
        await answer_alerts.body(work, **sweep)
    assert [await levels(database, member) for member in members] == [[Level.L1]] * 3
    async with database.begin() as tx:
        await make_orders.order(tx, member_id=members[0], at=tx.now + timedelta(seconds=1))
        assert await churn.recover_by_order(tx, member_id=members[0])
    await answer_alerts.body(work, **sweep)
    await learn_effects.body(work, plan="effects", due_at=clock.now.isoformat())
    async with database.read() as read:
        assert set(await playbooks.rank_by_member(read, members)) == set(members[1:])
