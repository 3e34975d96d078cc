"""Scores in force, and the alerts that follow from them."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from app import churn
from app.churn.tables import ChurnAlertStep, ChurnScoreHistory
from app.kernel.db import Database
from app.kernel.outbox import OutboxRow
from app.members import Community, MemberStatus
from app.segments import MemberStage, Stage, StageReason
from tests.conftest import TestClock
from tests.make.churn import model, score, scores
from tests.make.members import community, member
from tests.make.orders import order


async def member_ids(database: Database, count: int = 1) -> list[UUID]:
    async with database.begin() as tx:
        home = (await community(tx)).id
        return [(await member(tx, community_id=home)).id for _ in range(count)]


async def put_in_stage(database: Database, member_id: UUID, stage: Stage) -> None:
    async with database.begin() as tx:
        tx.session.add(
            MemberStage(
                member_id=member_id,
                stage=stage,
                reason=StageReason.TOP_SPEND,
                since=tx.now,
                as_of=tx.now,
                orders=3,
                orders30=1,
                net90=100,
            )
        )


async def give(database: Database, member_id: UUID, probability: float) -> churn.Stored:
    async with database.begin() as tx:
        return await score(tx, member_id=member_id, probability=probability)


async def alerts(database: Database, member_id: UUID) -> list[str]:
    async with database.read() as read:
        query = select(churn.ChurnAlert.state).where(churn.ChurnAlert.member_id == member_id)
        return [state.value for state in await read.session.scalars(query.order_by("raised_at"))]


async def facts_out(database: Database) -> list[str]:
    async with database.read() as read:
        return sorted(await read.session.scalars(select(OutboxRow.kind)))


async def test_a_rise_is_told_once_and_again_only_after_calm(
    database: Database, clock: TestClock
) -> None:
    (one,) = await member_ids(database)
    raised: list[int] = []
    # below, rise, higher, hovering around the trigger, calm, rise
    for probability in (0.6, 0.7, 0.9, 0.69, 0.75, 0.5, 0.48, 0.8):
        raised.append((await give(database, one, probability)).raised)
        clock.advance(days=1)
    assert raised == [0, 1, 0, 0, 0, 0, 0, 1]
    assert await alerts(database, one) == ["RECOVERED", "OPEN"]
    told = await facts_out(database)
    assert told.count("churn.risk_raised") == 2
    assert told.count("churn.alert_closed") == 1


async def test_the_fact_reaches_staff_and_not_the_member(database: Database) -> None:
    (one,) = await member_ids(database)
    await give(database, one, 0.9)
    async with database.read() as read:
        fact = await read.session.scalar(
            select(OutboxRow).where(OutboxRow.kind == "churn.risk_raised")
        )
    assert fact is not None
    assert fact.topics == [churn.ALERTS_TOPIC]
    assert fact.payload["member_id"] == str(one)
    assert fact.payload["probability"] == 0.9


async def test_scores_that_come_late_are_ignored(database: Database, clock: TestClock) -> None:
    (one,) = await member_ids(database)
    yesterday = clock.now - timedelta(days=1)
    await give(database, one, 0.2)
    async with database.begin() as tx:
        late = await score(tx, member_id=one, probability=0.99, as_of=yesterday)
    assert late == churn.Stored(stored=0, ignored=1)
    again = await give(database, one, 0.2)
    assert again == churn.Stored(stored=0, ignored=1), "the same run repeated changes nothing"
    async with database.read() as read:
        newest = (await churn.score_by_member(read, [one]))[one]
        kept = await read.session.scalar(select(func.count()).select_from(ChurnScoreHistory))
    assert (newest.probability, newest.as_of, kept) == (0.2, clock.now, 1)


async def test_a_new_model_may_score_the_same_instant_anew(database: Database) -> None:
    (one,) = await member_ids(database)
    await give(database, one, 0.2)
    async with database.begin() as tx:
        other = await model(tx, version="test-2", artifact=b"other")
        batch = churn.NewScores(other.id, tx.now, 45, [one], [0.3], [[]])
        assert (await churn.store_scores(tx, batch)).stored == 1


async def test_days_until_the_next_order_are_kept_and_those_of_an_older_model_end(
    database: Database, clock: TestClock
) -> None:
    ids = await member_ids(database, 3)
    said: list[list[float | None] | None] = [[12.5, None, 0.5], None, [90.0, 1_825.0, None]]
    kept: list[list[float | None]] = []
    for days in said:
        async with database.begin() as tx:
            await scores(tx, member_ids=ids, probability=[0.2] * 3, next_order_days=days)
        async with database.read() as read:
            found = await churn.score_by_member(read, ids)
        kept.append([found[one].next_order_days for one in ids])
        clock.advance(days=1)
    assert kept == [said[0], [None] * 3, said[2]]


@pytest.mark.parametrize("days", [0.0, -1.0])
async def test_no_order_is_due_before_the_score(database: Database, days: float) -> None:
    ids = await member_ids(database)
    with pytest.raises(IntegrityError, match="ck_churn_score_next_order_days"):
        async with database.begin() as tx:
            await scores(tx, member_ids=ids, probability=[0.2], next_order_days=[days])


async def test_only_members_of_ours_who_have_not_left_are_scored(database: Database) -> None:
    async with database.begin() as tx:
        gone = await member(tx, status=MemberStatus.CLOSED)
        answer = await scores(tx, member_ids=[gone.id, uuid4()], probability=[0.9, 0.9])
    assert answer == churn.Stored(stored=0, ignored=2)


async def test_vips_begin_at_the_second_level_and_churned_members_are_left(
    database: Database,
) -> None:
    vip, churned, plain = await member_ids(database, 3)
    await put_in_stage(database, vip, Stage.VIP)
    await put_in_stage(database, churned, Stage.CHURNED)
    async with database.begin() as tx:
        answer = await scores(tx, member_ids=[vip, churned, plain], probability=[0.8, 0.99, 0.8])
    assert answer.raised == 2
    assert await alerts(database, vip) == ["L2"]
    assert await alerts(database, churned) == []
    assert await alerts(database, plain) == ["OPEN"]


async def test_a_community_may_set_its_own_trigger(database: Database) -> None:
    async with database.begin() as tx:
        strict = await community(tx, name="东风里")
        broken = await community(tx, name="西风里")
        strict.settings = {"churn_trigger": 0.4}
        broken.settings = {"churn_trigger": "often"}
        one = await member(tx, community_id=strict.id)
        two = await member(tx, community_id=broken.id)
        answer = await scores(tx, member_ids=[one.id, two.id], probability=[0.5, 0.5])
    assert answer.raised == 1
    assert await alerts(database, one.id) == ["OPEN"]
    async with database.read() as read:
        row = await read.session.get_one(Community, strict.id)
        assert row.settings["churn_trigger"] == 0.4
        assert (await churn.open_alert_by_member(read, [one.id]))[one.id].trigger == 0.4


async def test_an_open_alert_follows_the_newest_score(database: Database, clock: TestClock) -> None:
    (one,) = await member_ids(database)
    await give(database, one, 0.8)
    clock.advance(days=1)
    await give(database, one, 0.95)
    async with database.read() as read:
        alert = (await churn.open_alert_by_member(read, [one]))[one]
    assert alert.probability == 0.95
    assert alert.raised_at == clock.now - timedelta(days=1)


async def test_levels_follow_each_other_after_72_hours(
    database: Database, clock: TestClock
) -> None:
    (one,) = await member_ids(database)
    await give(database, one, 0.8)
    seen: list[str] = []
    for hours in (0, 71.9, 0.1, 72, 200):
        clock.advance(hours=hours)
        async with database.begin() as tx:
            await churn.escalate_due(tx)
        seen += await alerts(database, one)
    assert seen == ["L1", "L1", "L2", "L3", "L3"]
    async with database.read() as read:
        alert = (await churn.open_alert_by_member(read, [one]))[one]
        steps = (await churn.steps_by_alert(read, [alert.id]))[alert.id]
    assert {step.state.value for step in steps} == {"OPEN", "L1", "L2", "L3"}
    assert alert.escalates_at is None


async def test_an_order_recovers_a_member_at_once(database: Database, clock: TestClock) -> None:
    one, two = await member_ids(database, 2)
    async with database.begin() as tx:
        await order(tx, member_id=one, at=tx.now - timedelta(days=3))
        await scores(tx, member_ids=[one, two], probability=[0.8, 0.8])
    clock.advance(hours=1)
    async with database.begin() as tx:
        assert not await churn.recover_by_order(tx, member_id=one), "the order came before"
        await order(tx, member_id=one)
        await order(tx, member_id=two, cancelled=True)
        assert await churn.recover_by_order(tx, member_id=one)
        assert not await churn.recover_by_order(tx, member_id=one), "only once"
        assert not await churn.recover_by_order(tx, member_id=two), "a cancelled order"
    assert await alerts(database, one) == ["RECOVERED"]


async def test_alerts_are_settled_when_their_outcome_is_known(
    database: Database, clock: TestClock
) -> None:
    came_back, left, waiting = await member_ids(database, 3)
    async with database.begin() as tx:
        await scores(tx, member_ids=[came_back, left], probability=[0.8, 0.8])
    clock.advance(days=1)
    async with database.begin() as tx:
        await scores(tx, member_ids=[waiting], probability=[0.8])
        await order(tx, member_id=came_back)
    clock.advance(days=44)
    async with database.begin() as tx:
        assert await churn.settle_alerts(tx) == (1, 1)
        assert await churn.settle_alerts(tx) == (0, 0)
    assert await alerts(database, came_back) == ["RECOVERED"]
    assert await alerts(database, left) == ["CHURNED"]
    assert await alerts(database, waiting) == ["OPEN"]


async def test_staff_close_an_alert_with_a_reason(database: Database, clock: TestClock) -> None:
    (one,) = await member_ids(database)
    await give(database, one, 0.8)
    actor = uuid4()
    async with database.begin() as tx:
        (alert,) = (await churn.open_alert_by_member(tx, [one])).values()
        muted = churn.AlertState.MUTED
        refused: list[str] = []
        for key, reason in (
            (alert.id, " "),
            (uuid4(), "moved"),
            (alert.id, "moved"),
            (alert.id, "x"),
        ):
            try:
                await churn.close_by_staff(
                    tx, alert_id=key, actor_id=actor, state=muted, reason=reason
                )
            except churn.ReasonRequired:
                refused.append("reason")
            except churn.AlertNotFound:
                refused.append("unknown")
            except churn.AlertClosed:
                refused.append("closed")
        steps = (await churn.steps_by_alert(tx, [alert.id]))[alert.id]
    assert refused == ["reason", "unknown", "closed"]
    last = next(step for step in steps if step.state is churn.AlertState.MUTED)
    assert (last.actor_id, last.reason) == (actor, "moved")
    clock.advance(days=1)
    assert (await give(database, one, 0.95)).raised == 0, "muted until calm"


async def test_every_alert_has_a_step_for_its_beginning(database: Database) -> None:
    ids = await member_ids(database, 5)
    async with database.begin() as tx:
        await scores(tx, member_ids=ids, probability=[0.8] * 5)
    async with database.read() as read:
        assert await read.session.scalar(select(func.count()).select_from(ChurnAlertStep)) == 5
