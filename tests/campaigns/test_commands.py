"""Making campaigns, starting and pausing them, and their hours."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from app import campaigns, coupons
from app.campaigns import CampaignState, PauseReason
from app.kernel.db import Database
from app.kernel.errors import InvalidInput
from app.segments import Stage
from tests.conftest import TestClock
from tests.make import campaigns as make
from tests.make import coupons as make_coupons


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("name", {"name": ""}),
        ("holdoutPermille", {"holdout_permille": 1_000}),
        ("endsAt", {"ends_in": timedelta(0)}),
    ],
)
async def test_a_bad_campaign_is_refused(
    database: Database, field: str, change: dict[str, Any]
) -> None:
    async with database.begin() as tx:
        batch = await make_coupons.batch(tx)
        given = {"name": "唤醒", "segment": Stage.SILENT, "batch_id": batch.id} | change
        ends_in = given.pop("ends_in", None)
        if ends_in is not None:
            given["ends_at"] = tx.now + ends_in
        with pytest.raises(InvalidInput) as refused:
            await campaigns.create(tx, **given)
    assert refused.value.facts["field"] == field


async def test_a_campaign_needs_a_batch(database: Database) -> None:
    async with database.begin() as tx:
        with pytest.raises(coupons.BatchNotFound):
            await make.campaign(tx, batch_id=uuid4())


async def test_starting_pausing_going_on_and_cancelling(database: Database) -> None:
    async with database.begin() as tx:
        campaign = await make.campaign(tx, running=False)
        with pytest.raises(campaigns.CampaignMoveNotAllowed):
            await campaigns.pause(tx, campaign_id=campaign.id)
        assert (await campaigns.start(tx, campaign_id=campaign.id)).state is CampaignState.RUNNING
        with pytest.raises(campaigns.CampaignMoveNotAllowed):
            await campaigns.start(tx, campaign_id=campaign.id)
        paused = await campaigns.pause(tx, campaign_id=campaign.id)
        assert (paused.state, paused.pause_reason) == (
            CampaignState.PAUSED,
            PauseReason.BY_STAFF,
        )
        await campaigns.start(tx, campaign_id=campaign.id)
        assert (await campaigns.cancel(tx, campaign_id=campaign.id)).pause_reason is None
        with pytest.raises(campaigns.CampaignMoveNotAllowed):
            await campaigns.start(tx, campaign_id=campaign.id)
        with pytest.raises(campaigns.CampaignNotFound):
            await campaigns.start(tx, campaign_id=uuid4())


async def test_scheduled_campaigns_start_and_end_by_their_hours_once(
    database: Database, clock: TestClock
) -> None:
    async with database.begin() as tx:
        batch = await make_coupons.batch(tx)
        campaign = await campaigns.create(
            tx,
            name="唤醒",
            segment=Stage.SILENT,
            batch_id=batch.id,
            starts_at=clock.now + timedelta(hours=1),
            ends_at=clock.now + timedelta(hours=2),
        )
        started = await campaigns.start(tx, campaign_id=campaign.id)
        assert started.state is CampaignState.SCHEDULED

    async def advance() -> int:
        async with database.begin() as tx:
            return await campaigns.advance_due(tx)

    async def state() -> CampaignState:
        async with database.read() as read:
            return (await campaigns.by_id(read, [campaign.id]))[campaign.id].state

    assert await advance() == 0
    clock.advance(hours=1)
    assert sorted(await asyncio.gather(advance(), advance(), advance())) == [0, 0, 1]
    assert await state() is CampaignState.RUNNING
    clock.advance(hours=1)
    assert await advance() == 1
    assert await state() is CampaignState.COMPLETED


async def test_pages_of_campaigns_come_newest_first(database: Database, clock: TestClock) -> None:
    made: list[campaigns.Campaign] = []
    for running in (True, False, True):
        clock.advance(seconds=1)
        async with database.begin() as tx:
            made.append(await make.campaign(tx, running=running))
    async with database.read() as read:
        first = await campaigns.page(read, first=1)
        assert [row.id for row in first] == [made[2].id, made[1].id], "one more than asked"
        rest = await campaigns.page(read, first=5, after=made[2].id)
        assert [row.id for row in rest] == [made[1].id, made[0].id]
        drafts = await campaigns.page(read, first=5, state=CampaignState.DRAFT)
        assert [row.id for row in drafts] == [made[1].id]
