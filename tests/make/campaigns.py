"""Builders of campaigns and of the audiences they need."""

from uuid import UUID

from app import campaigns, segments
from app.kernel.db import Tx
from tests.make import coupons as make_coupons
from tests.make import members as make_members


async def staged(
    tx: Tx, *, stage: segments.Stage = segments.Stage.SILENT, is_test: bool = False
) -> UUID:
    """A member in a stage; answers their id."""
    member = await make_members.member(tx, is_test=is_test)
    tx.session.add(
        segments.MemberStage(
            member_id=member.id,
            stage=stage,
            reason=segments.StageReason.NO_ORDER_FOR_30_DAYS,
            since=tx.now,
            as_of=tx.now,
            orders=1,
            orders30=0,
            net90=0,
        )
    )
    await tx.session.flush()
    return member.id


async def campaign(
    tx: Tx,
    *,
    batch_id: UUID | None = None,
    segment: segments.Stage = segments.Stage.SILENT,
    holdout_permille: int = 0,
    running: bool = True,
) -> campaigns.Campaign:
    """A running campaign for the silent, unless told otherwise."""
    made = await campaigns.create(
        tx,
        name="唤醒",
        segment=segment,
        batch_id=batch_id or (await make_coupons.batch(tx)).id,
        holdout_permille=holdout_permille,
    )
    return await campaigns.start(tx, campaign_id=made.id) if running else made
