"""Builders of tiers and standings, and the way through a monthly run."""

from datetime import date, datetime, timedelta
from uuid import UUID

from app import tiers
from app.kernel.clock import DEFAULT_ZONE
from app.kernel.db import Database, Tx


async def standing(
    tx: Tx,
    *,
    member_id: UUID,
    tier_code: str = "NORMAL",
    growth: int = 0,
    since: datetime | None = None,
    last_upgrade_at: datetime | None = None,
) -> tiers.Standing:
    """A member's standing, steady in this tier."""
    row = tiers.Standing(
        member_id=member_id,
        tier_code=tier_code,
        since=since or tx.now,
        growth=growth,
        growth_at=since or tx.now,
        last_upgrade_at=last_upgrade_at,
        state=tiers.StandingState.STEADY,
    )
    tx.session.add(row)
    await tx.session.flush()
    return row


async def run(
    database: Database,
    month: date,
    *,
    preview_only: bool = False,
    batch: int = 2,
    zone: str = DEFAULT_ZONE,
) -> tiers.Progress:
    """Run a month of a zone to its end, a transaction a batch."""
    while True:
        async with database.begin() as tx:
            progress = await tiers.advance(
                tx,
                month=month,
                preview_only=preview_only,
                preview_batch=batch,
                publish_batch=batch,
                zone=zone,
            )
        if progress.finished:
            return progress


async def tier_of(database: Database, member_id: UUID) -> str:
    """The code of a member's tier."""
    async with database.read() as read:
        return (await tiers.by_member(read, [member_id]))[member_id].tier.code


async def slot(
    tx: Tx,
    *,
    benefit_code: str = "after-school-care",
    capacity: int = 5,
    starts_in: timedelta = timedelta(days=2),
    community_id: UUID | None = None,
) -> tiers.BenefitSlot:
    """A time to book, two hours long."""
    return await tiers.open_slot(
        tx,
        benefit_code=benefit_code,
        starts_at=tx.now + starts_in,
        ends_at=tx.now + starts_in + timedelta(hours=2),
        capacity=capacity,
        community_id=community_id,
    )


async def booking(tx: Tx, *, member_id: UUID) -> tiers.BenefitUse:
    """A booking of a fresh slot, by a member whose tier has it."""
    made = await slot(tx)
    return await tiers.book_benefit(tx, member_id=member_id, slot_id=made.id)


async def preview(tx: Tx, month: date) -> None:
    """A month's preview, in the transaction."""
    while not (await tiers.advance(tx, month=month, preview_only=True)).finished:
        pass
