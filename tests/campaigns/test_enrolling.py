"""A campaign reaches everyone in its audience once, whatever runs twice, dies or runs dry."""

import asyncio
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from app import campaigns, coupons
from app.campaigns import CampaignState, Outcome, PauseReason
from app.campaigns.rules import BUCKETS, bucket, is_held_out
from app.kernel.db import Database
from app.members import Member, MemberStatus
from app.segments import Stage
from tests.conftest import TestClock
from tests.make import campaigns as make
from tests.make import coupons as make_coupons


async def audience(database: Database, count: int) -> list[UUID]:
    async with database.begin() as tx:
        return [await make.staged(tx) for _ in range(count)]


async def running(database: Database, quantity: int = 100, holdout: int = 0) -> campaigns.Campaign:
    async with database.begin() as tx:
        batch = await make_coupons.batch(tx, quantity=quantity)
        return await make.campaign(tx, batch_id=batch.id, holdout_permille=holdout)


async def enrol(database: Database, at_most: int = 5_000) -> campaigns.Progress:
    async with database.begin() as tx:
        return await campaigns.enrol_due(tx, at_most=at_most)


async def stats(database: Database, campaign_id: UUID) -> campaigns.Stats:
    async with database.read() as read:
        return (await campaigns.stats_by_campaign(read, [campaign_id]))[campaign_id]


async def now(database: Database, campaign_id: UUID) -> campaigns.Campaign:
    async with database.read() as read:
        return (await campaigns.by_id(read, [campaign_id]))[campaign_id]


async def outcomes(database: Database) -> dict[UUID, Outcome]:
    async with database.read() as read:
        rows = await read.session.scalars(select(campaigns.Enrollment))
        return {row.member_id: row.outcome for row in rows}


async def test_everyone_in_the_segment_gets_one_coupon_once_ever(database: Database) -> None:
    ids = await audience(database, 5)
    async with database.begin() as tx:
        await make.staged(tx, stage=Stage.VIP)
        await make.staged(tx, is_test=True)
        gone = await make.staged(tx)
        await tx.session.execute(
            update(Member).where(Member.id == gone).values(status=MemberStatus.CLOSED)
        )
    campaign = await running(database)
    assert await enrol(database) == campaigns.Progress(enrolled=5, more=False)
    assert await enrol(database) == campaigns.Progress(enrolled=0, more=False)
    assert set(await outcomes(database)) == set(ids)
    (late,) = await audience(database, 1)
    assert (await enrol(database)).enrolled == 1
    assert (await outcomes(database))[late] is Outcome.GRANTED
    assert await stats(database, campaign.id) == campaigns.Stats(enrolled=6, granted=6)


async def test_many_at_once_in_small_steps_give_each_member_one(database: Database) -> None:
    ids = await audience(database, 40)
    campaign = await running(database)

    async def sweep() -> None:
        while (await enrol(database, at_most=3)).more:
            pass

    await asyncio.gather(*(sweep() for _ in range(6)))
    await sweep()
    async with database.read() as read:
        rows = (await read.session.scalars(select(coupons.Coupon.member_id))).all()
    assert sorted(rows) == sorted(ids)
    assert (await stats(database, campaign.id)).granted == 40


async def test_a_run_that_dies_half_way_is_taken_up_where_it_was(database: Database) -> None:
    await audience(database, 7)
    campaign = await running(database)
    assert await enrol(database, at_most=3) == campaigns.Progress(enrolled=3, more=True)

    async def die() -> None:
        async with database.begin() as tx:
            await campaigns.enrol_due(tx, at_most=3)
            await tx.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(DBAPIError):
        await die()
    assert (await stats(database, campaign.id)).granted == 3
    assert (await enrol(database, at_most=3)).more
    assert await enrol(database, at_most=3) == campaigns.Progress(enrolled=1, more=False)
    assert (await now(database, campaign.id)).swept_to is None


async def test_the_holdout_is_enrolled_without_a_coupon_and_stays_so(database: Database) -> None:
    ids = await audience(database, 30)
    campaign = await running(database, holdout=400)
    await enrol(database)
    await enrol(database)
    expected = {
        key: Outcome.HOLDOUT if bucket(campaign.id, key) < 400 else Outcome.GRANTED for key in ids
    }
    assert await outcomes(database) == expected
    held = list(expected.values()).count(Outcome.HOLDOUT)
    assert await stats(database, campaign.id) == campaigns.Stats(
        enrolled=30, granted=30 - held, holdout=held
    )


@given(st.uuids(), st.uuids())
def test_buckets_are_stable_and_within_range(campaign_id: UUID, member_id: UUID) -> None:
    place = bucket(campaign_id, member_id)
    assert 0 <= place < BUCKETS
    assert place == bucket(UUID(str(campaign_id)), UUID(str(member_id)))
    assert is_held_out(place, place + 1)
    assert not is_held_out(place, place)


async def test_a_batch_that_runs_dry_pauses_the_campaign_which_goes_on_with_more(
    database: Database,
) -> None:
    await audience(database, 5)
    campaign = await running(database, quantity=3)
    assert await enrol(database) == campaigns.Progress(enrolled=3, more=False)
    paused = await now(database, campaign.id)
    assert (paused.state, paused.pause_reason) == (CampaignState.PAUSED, PauseReason.COUPONS_GONE)
    assert await enrol(database) == campaigns.Progress(enrolled=0, more=False)
    async with database.begin() as tx:
        batch = await tx.session.get_one(coupons.Batch, campaign.batch_id)
        batch.quantity, batch.budget_fen = 10, 5_000
        batch.state = coupons.BatchState.ACTIVE
        again = await campaigns.start(tx, campaign_id=campaign.id)
        assert again.pause_reason is None
    assert (await enrol(database)).enrolled == 2


async def test_a_spent_budget_and_a_paused_batch_say_so(database: Database) -> None:
    await audience(database, 3)
    async with database.begin() as tx:
        poor = await make_coupons.batch(tx, quantity=10, budget_fen=1_000)
        short = await make.campaign(tx, batch_id=poor.id)
        asleep = await make_coupons.batch(tx, state=coupons.BatchState.PAUSED)
        idle = await make.campaign(tx, batch_id=asleep.id)
    await enrol(database)
    assert (await now(database, short.id)).pause_reason is PauseReason.BUDGET_GONE
    assert (await now(database, idle.id)).pause_reason is PauseReason.BATCH_NOT_ACTIVE


async def test_a_member_at_the_coupon_s_limit_is_enrolled_without_another(
    database: Database,
) -> None:
    first, second = await audience(database, 2)
    async with database.begin() as tx:
        template = await make_coupons.template(tx)
        held = await make_coupons.batch(tx, template_id=template.id)
        await make_coupons.coupon(tx, member_id=first, batch_id=held.id)
        batch = await make_coupons.batch(tx, template_id=template.id)
        await make.campaign(tx, batch_id=batch.id)
    await enrol(database)
    assert await outcomes(database) == {first: Outcome.AT_LIMIT, second: Outcome.GRANTED}


async def test_stats_count_what_was_redeemed(database: Database) -> None:
    (one,) = await audience(database, 1)
    campaign = await running(database)
    await enrol(database)
    async with database.begin() as tx:
        row = await tx.session.get_one(campaigns.Enrollment, (one, campaign.id))
        assert row.coupon_id is not None
        await coupons.redeem(
            tx,
            coupon_id=row.coupon_id,
            member_id=one,
            order_ref="A-1",
            basket=coupons.Basket([coupons.Line("apple", "fruit", 3, 333)]),
        )
    assert await stats(database, campaign.id) == campaigns.Stats(enrolled=1, granted=1, redeemed=1)


async def test_only_a_running_campaign_within_its_time_enrols(
    database: Database, clock: TestClock
) -> None:
    await audience(database, 1)
    async with database.begin() as tx:
        campaign = await make.campaign(tx, running=False)
    assert (await enrol(database)).enrolled == 0
    async with database.begin() as tx:
        row = await tx.session.get_one(campaigns.Campaign, campaign.id)
        row.ends_at = clock.now.replace(hour=5)
        await campaigns.start(tx, campaign_id=campaign.id)
    clock.advance(hours=1)
    assert (await enrol(database)).enrolled == 0
