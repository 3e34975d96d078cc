"""Each level of each alert is answered once, whatever runs twice, dies, ends or runs dry."""

import asyncio
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import DBAPIError

from app import churn, coupons, playbooks, points
from app.churn import AlertState
from app.kernel.db import Database, Tx
from app.members import Member, MemberStatus
from app.playbooks import (
    ActionOutcome,
    Arm,
    Audience,
    Level,
    MeasureDraft,
    MeasureKind,
    TaskState,
)
from app.playbooks.rules import sql_bucket
from app.segments import Stage
from app.staff import StaffNotice
from tests.conftest import TestClock
from tests.make import coupons as make_coupons
from tests.make import members as make_members
from tests.make import orders as make_orders
from tests.make import playbooks as make


async def answer(database: Database, **given: object) -> playbooks.Answered:
    async with database.begin() as tx:
        return await playbooks.answer_alerts(tx, **given)  # pyright: ignore[reportArgumentType]


async def actions(database: Database) -> dict[UUID, playbooks.PlaybookAction]:
    """The newest action of each member."""
    async with database.read() as read:
        rows = await read.session.scalars(
            select(playbooks.PlaybookAction).order_by(playbooks.PlaybookAction.at)
        )
        return {row.member_id: row for row in rows}


async def coupon_owners(database: Database) -> list[UUID]:
    async with database.read() as read:
        return sorted(await read.session.scalars(select(coupons.Coupon.member_id)))


async def test_a_level_is_answered_once_by_its_measure(database: Database) -> None:
    async with database.begin() as tx:
        batch = await make_coupons.batch(tx)
        await make.playbook(tx, [make.coupon(batch.id, Level.L2), make.message(Level.L1)])
        (first,) = await make.alerts(tx, 1)
        (second,) = await make.alerts(tx, 1, level=AlertState.L2)
        await make.alerts(tx, 1, level=AlertState.L3)
        await make.alerts(tx, 1, level=AlertState.OPEN)
        await make.alerts(tx, 1, is_test=True)
    assert await answer(database) == playbooks.Answered(looked_at=3, done=2)
    assert await answer(database) == playbooks.Answered()
    found = await actions(database)
    assert found[first].kind is MeasureKind.MESSAGE
    assert found[second].kind is MeasureKind.COUPON
    assert found[second].coupon_id is not None
    nothing = [row for row in found.values() if row.level is Level.L3]
    assert [row.outcome for row in nothing] == [ActionOutcome.NOTHING]
    assert await coupon_owners(database) == [second]


async def test_nothing_is_answered_without_an_active_playbook(database: Database) -> None:
    async with database.begin() as tx:
        await make.playbook(tx, [make.message()], active=False)
        await make.alerts(tx, 1)
    assert await answer(database) == playbooks.Answered()


async def test_a_community_s_own_playbook_comes_before_everybody_s(database: Database) -> None:
    async with database.begin() as tx:
        home = await make_members.community(tx, name="桂花园")
        general = await make.playbook(tx, [make.message()])
        own = await make.playbook(tx, [make.task(Level.L1)], community_id=home.id)
        (here,) = await make.alerts(tx, 1, community_id=home.id)
        (there,) = await make.alerts(tx, 1)
    await answer(database)
    found = await actions(database)
    assert (found[here].playbook_id, found[there].playbook_id) == (own.id, general.id)


async def test_each_audience_gets_its_own_and_the_rest_what_is_for_others(
    database: Database,
) -> None:
    async with database.begin() as tx:
        own = MeasureDraft(Level.L1, Audience.NEWCOMER, MeasureKind.POINTS, points=50)
        await make.playbook(tx, [own, make.message()])
        (newcomer,) = await make.alerts(tx, 1, stage=Stage.ONBOARDING)
        (potential,) = await make.alerts(tx, 1, stage=Stage.POTENTIAL)
        (unknown,) = await make.alerts(tx, 1, stage=None)
    assert (await answer(database)).done == 3
    found = await actions(database)
    assert (found[newcomer].audience, found[newcomer].kind) == (
        Audience.NEWCOMER,
        MeasureKind.POINTS,
    )
    assert found[newcomer].cost_fen == 50
    assert (found[potential].audience, found[potential].kind) == (
        Audience.POTENTIAL,
        MeasureKind.MESSAGE,
    )
    assert found[unknown].audience is Audience.OTHERS
    async with database.read() as read:
        accounts = (await read.session.scalars(select(points.Account))).all()
        balances = {account.member_id: account.active for account in accounts}
    assert balances == {newcomer: 50}


async def test_a_message_holds_the_member_s_name_and_favourite_category(
    database: Database,
) -> None:
    async with database.begin() as tx:
        await make.playbook(tx, [make.message()])
        (fruit,) = await make.alerts(tx, 1)
        (fresh,) = await make.alerts(tx, 1)
        await make_orders.order(tx, member_id=fruit, category="水果", quantity=3)
    await answer(database)
    async with database.read() as read:
        found = await playbooks.messages_by_member(read, [fruit, fresh])
        facts = await read.session.scalars(
            text("SELECT topics[1] FROM outbox WHERE kind = 'playbook.message_sent'")
        )
    assert found[fruit][0].text_zh == "李阿姨，水果到货了"
    assert found[fresh][0].text_en == "李阿姨, fresh: what is in season"
    assert set(facts) == {f"member:{fruit}", f"member:{fresh}"}


async def test_a_task_is_for_somebody_and_ends_with_its_alert(database: Database) -> None:
    async with database.begin() as tx:
        await make.playbook(tx, [make.task()])
        (member,) = (found := await make.alerts(tx, 1, level=AlertState.L3))
    await answer(database)
    async with database.read() as read:
        (row,) = await playbooks.tasks_page(read, state=TaskState.OPEN, first=10)
    assert (row.member_id, row.script_zh) == (member, "问候李阿姨")
    assert row.reasons[0]["zh"] == "近30天下单减少60%"
    async with database.begin() as tx:
        await make_orders.order(tx, member_id=member, at=tx.now)
        assert await churn.recover_by_order(tx, member_id=member)
        assert await playbooks.cancel_tasks(tx, alert_id=found[member]) == 1
        assert await playbooks.cancel_tasks(tx) == 0
    async with database.begin() as tx:
        with pytest.raises(playbooks.TaskClosed):
            await playbooks.complete_task(
                tx, task_id=row.id, result=playbooks.TaskResult.REACHED, by=uuid4()
            )


@pytest.mark.parametrize("state", [AlertState.MUTED, AlertState.RECOVERED])
async def test_an_alert_that_ended_meanwhile_gets_nothing(
    database: Database, state: AlertState
) -> None:
    async with database.begin() as tx:
        batch = await make_coupons.batch(tx)
        await make.playbook(tx, [make.coupon(batch.id)])
        ((_, alert_id),) = (await make.alerts(tx, 1)).items()
        await tx.session.execute(
            update(churn.ChurnAlert)
            .where(churn.ChurnAlert.id == alert_id)
            .values(state=state, closed_at=tx.now, escalates_at=None)
        )
    assert await answer(database, alert_id=alert_id) == playbooks.Answered()
    assert not await actions(database)


async def test_a_member_who_is_frozen_gets_nothing(database: Database) -> None:
    async with database.begin() as tx:
        await make.playbook(tx, [make.message()])
        (member,) = await make.alerts(tx, 1)
        await tx.session.execute(
            update(Member).where(Member.id == member).values(status=MemberStatus.FROZEN)
        )
    assert await answer(database) == playbooks.Answered()


async def test_whoever_is_held_out_gets_a_row_and_nothing_else(database: Database) -> None:
    async with database.begin() as tx:
        batch = await make_coupons.batch(tx)
        row = await make.playbook(
            tx, [make.coupon(batch.id)], holdout_permille=300, level_holdout_permille=300
        )
        members = list(await make.alerts(tx, 60))
    answered = await answer(database)
    found = await actions(database)
    for member in members:
        arm = playbooks.arm_of(
            playbooks.bucket(row.experiment_id, member),
            playbooks.bucket(row.experiment_id, member, Level.L1),
            300,
            300,
        )
        assert found[member].arm is arm
        held = arm is not Arm.TREATED
        assert (found[member].outcome is ActionOutcome.HELD_OUT) == held
        assert (found[member].coupon_id is None) == held
    arms = [row.arm for row in found.values()]
    assert {Arm.TREATED, Arm.CONTROL, Arm.LEVEL_CONTROL} == set(arms)
    treated = sorted(member for member, row in found.items() if row.arm is Arm.TREATED)
    assert await coupon_owners(database) == treated
    assert (answered.done, answered.held_out) == (len(treated), 60 - len(treated))


@given(st.uuids(), st.uuids(), st.sampled_from([None, *Level]))
def test_places_are_stable_and_within_range(
    experiment: UUID, member: UUID, level: Level | None
) -> None:
    place = playbooks.bucket(experiment, member, level)
    assert 0 <= place < 1_000
    assert place == playbooks.bucket(UUID(str(experiment)), UUID(str(member)), level)


async def test_the_database_draws_as_the_rules_do(database: Database) -> None:
    pairs = [(uuid4(), uuid4()) for _ in range(200)]
    whole = text(f"SELECT {sql_bucket('CAST(:one AS uuid)', 'CAST(:two AS uuid)')}")
    own = text(f"SELECT {sql_bucket('CAST(:one AS uuid)', 'CAST(:two AS uuid)', ':level')}")
    async with database.read() as read:
        for one, two in pairs:
            given = {"one": one, "two": two}
            assert await read.session.scalar(whole, given) == playbooks.bucket(one, two)
            found = await read.session.scalar(own, {**given, "level": "L2"})
            assert found == playbooks.bucket(one, two, Level.L2)


async def test_a_batch_that_runs_dry_is_written_down_and_staff_are_told(
    database: Database, clock: TestClock
) -> None:
    async with database.begin() as tx:
        batch = await make_coupons.batch(tx, quantity=2)
        await make.playbook(tx, [make.coupon(batch.id)])
        await make.alerts(tx, 5)
    assert await answer(database) == playbooks.Answered(looked_at=5, done=2)
    outcomes = [row.outcome for row in (await actions(database)).values()]
    assert outcomes.count(ActionOutcome.DONE) == 2
    assert outcomes.count(ActionOutcome.OUT_OF_STOCK) == 3
    # Exhausted by now: the next are refused as well, and the day's notice stands.
    async with database.begin() as tx:
        await make.alerts(tx, 1)
    clock.advance(minutes=5)
    assert await answer(database) == playbooks.Answered(looked_at=1, done=0)
    async with database.read() as read:
        notices = (await read.session.scalars(select(StaffNotice))).all()
    assert [(one.kind, one.facts["members"]) for one in notices] == [(playbooks.SHORTAGE_NOTICE, 3)]


async def test_a_paused_batch_and_a_limit_are_told_apart(database: Database) -> None:
    async with database.begin() as tx:
        limited = await make_coupons.batch(tx)
        paused = await make_coupons.batch(tx)
        await make.playbook(
            tx, [make.coupon(limited.id), make.coupon(paused.id, audience=Audience.VIP)]
        )
        (had,) = await make.alerts(tx, 1)
        (vip,) = await make.alerts(tx, 1, stage=Stage.VIP)
        await make_coupons.coupon(tx, member_id=had, batch_id=limited.id)
        await tx.session.execute(
            update(coupons.Batch)
            .where(coupons.Batch.id == paused.id)
            .values(state=coupons.BatchState.PAUSED)
        )
    assert (await answer(database)).done == 0
    found = await actions(database)
    assert found[had].outcome is ActionOutcome.AT_LIMIT
    assert found[vip].outcome is ActionOutcome.BATCH_NOT_ACTIVE
    async with database.read() as read:
        assert await read.session.scalar(select(func.count(StaffNotice.id))) == 1


async def test_many_at_once_answer_each_alert_once(database: Database) -> None:
    async with database.begin() as tx:
        batch = await make_coupons.batch(tx, quantity=40)
        await make.playbook(tx, [make.coupon(batch.id)])
        members = await make.alerts(tx, 50)

    async def sweep() -> None:
        while (await answer(database, at_most=7)).looked_at:
            pass

    one = [answer(database, alert_id=alert_id) for alert_id in members.values()]
    again = [answer(database, alert_id=alert_id) for alert_id in members.values()]
    await asyncio.gather(*one, *again, *(sweep() for _ in range(4)))
    await sweep()
    found = await actions(database)
    assert set(found) == set(members)
    owners = await coupon_owners(database)
    assert len(owners) == len(set(owners)) == 40
    done = [row.member_id for row in found.values() if row.outcome is ActionOutcome.DONE]
    assert sorted(done) == owners
    async with database.read() as read:
        batch_now = (await coupons.batches_by_id(read, [batch.id]))[batch.id]
    assert batch_now.granted == 40


async def test_a_process_that_dies_has_done_nothing(database: Database) -> None:
    async with database.begin() as tx:
        batch = await make_coupons.batch(tx)
        await make.playbook(tx, [make.coupon(batch.id)])
        members = await make.alerts(tx, 5)

    async def die() -> None:
        async with database.begin() as tx:
            assert (await playbooks.answer_alerts(tx)).done == 5
            await tx.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(DBAPIError):
        await die()
    assert not await actions(database)
    assert not await coupon_owners(database)
    assert (await answer(database)).done == 5
    assert await coupon_owners(database) == sorted(members)


async def test_an_order_that_comes_while_the_alert_is_answered(database: Database) -> None:
    """Either the measure came first, or the order did: never a measure for a closed alert."""
    for _ in range(10):
        async with database.begin() as tx:
            await make.alerts(tx, 1)
    async with database.begin() as tx:
        await make.playbook(tx, [make.message()])
        found = await tx.session.execute(select(churn.ChurnAlert.member_id, churn.ChurnAlert.id))
        pairs = [(member_id, alert_id) for member_id, alert_id in found]

    async def order(member_id: UUID) -> None:
        async with database.begin() as tx:
            await make_orders.order(tx, member_id=member_id, at=tx.now)
            await churn.recover_by_order(tx, member_id=member_id)

    await asyncio.gather(
        *(order(member_id) for member_id, _ in pairs),
        *(answer(database, alert_id=alert_id) for _, alert_id in pairs),
    )
    assert await answer(database) == playbooks.Answered()
    async with database.read() as read:
        still_open = await churn.open_alert_by_member(read, [member for member, _ in pairs])
    assert not still_open


async def test_a_version_that_leaves_the_unpersuaded_alone(database: Database) -> None:
    """With a place by uplift, whoever is worth less than the measure costs gets none."""
    async with database.begin() as tx:
        row = await make.playbook(tx, [make.task(Level.L1)], persuadable_only=True)
        worth = await make.alerts(tx, 1, net90=100_000)
        not_worth = await make.alerts(tx, 1, net90=100_000)
        unranked = await make.alerts(tx, 1)
        model = await playbooks.register_uplift(tx, a_model(row.experiment_id, low=0.01))
        places = await playbooks.open_alerts(tx, at_most=10)
        effects = {next(iter(worth)): 0.02, next(iter(not_worth)): 0.005}
        await playbooks.store_ranks(
            tx,
            [
                playbooks.Ranked(one, effects[one.member_id], model.id)
                for one in places
                if one.member_id in effects
            ],
        )
    assert (await answer(database)).looked_at == 3
    found = await actions(database)
    # Worth 50,000 fen: 0.02 of it pays for a call of 500 fen, 0.005 does not.
    assert found[next(iter(worth))].outcome is ActionOutcome.DONE
    assert found[next(iter(not_worth))].outcome is ActionOutcome.LEFT_ALONE
    assert found[next(iter(not_worth))].left_alone
    assert found[next(iter(unranked))].outcome is ActionOutcome.DONE


def a_model(experiment_id: UUID, *, low: float) -> playbooks.NewModel:
    return playbooks.NewModel(
        experiment_id=experiment_id,
        treated=500,
        control=300,
        mean_effect=0.1,
        qini=0.1,
        qini_low=low,
        qini_high=0.2,
        manifest={},
        artifact=b"{}",
    )


async def test_what_was_known_is_kept_with_the_action(database: Database) -> None:
    async with database.begin() as tx:
        await make.playbook(tx, [make.message()])
        (member,) = await make.alerts(tx, 1, net90=18_000)
        await make_orders.order(tx, member_id=member, at=tx.now)
        await make_orders.order(tx, member_id=member, at=tx.now.replace(year=2025))
    await answer(database)
    kept = (await actions(database))[member].features
    assert set(kept) == set(playbooks.FEATURES)
    assert kept["value_fen"] == 9_000
    assert kept["probability"] == pytest.approx(0.9)
    # An order at this very instant is not before it; one of a year ago is too old.
    assert kept["orders_180"] == 0


async def test_points_of_two_amounts_wait_for_nobody_who_goes_by_member(
    database: Database,
) -> None:
    """Whoever locks the same accounts in the order of members is never locked against."""
    async with database.begin() as tx:
        first, last = sorted(await make.alerts(tx, 2))
        # The smaller amount is the last member's: amount by amount it would be locked first.
        await tx.session.execute(
            text("UPDATE member_stage SET stage = 'VIP' WHERE member_id = :id"), {"id": first}
        )
        few = MeasureDraft(Level.L1, Audience.OTHERS, MeasureKind.POINTS, points=5)
        many = MeasureDraft(Level.L1, Audience.VIP, MeasureKind.POINTS, points=50)
        await make.playbook(tx, [few, many])
    waits = select(func.count()).select_from(text("pg_locks")).where(text("NOT granted"))

    async def gift(tx: Tx, member_id: UUID) -> None:
        await points.earn_alike(
            tx,
            member_ids=[member_id],
            amount=1,
            source=points.Source.CAMPAIGN,
            rule="other",
            subject="1",
        )

    async with database.begin() as tx:
        await gift(tx, first)
        answering = asyncio.create_task(answer(database))
        while not await tx.session.scalar(waits):
            await asyncio.sleep(0.02)
        await gift(tx, last)
    assert (await answering).done == 2
    async with database.read() as read:
        found = await points.balances_by_member(read, [first, last])
    assert [found[key].points.balance for key in (first, last)] == [51, 6]
