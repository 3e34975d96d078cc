"""One part of a claimed pack becomes a coupon, points or a kept gift."""

from uuid import UUID

from app import coupons, points
from app.gifts.offers import keep_promised
from app.gifts.tables import PackItem, PackPart, PartState
from app.kernel.db import Tx

POINTS_RULE = "pack"


async def give(tx: Tx, item: PackItem, part: PackPart) -> bool:
    """Give a part what was set aside for it; True if the member cannot have it (their limit).

    Raises coupons.BatchNotActive, coupons.ValidityOver.
    """
    if item.batch_id is not None:
        coupon_id = await _coupon(tx, item.batch_id, part)
        if coupon_id is None:
            return True
        part.coupon_id = coupon_id
    elif item.offer_id is not None:
        # A cycle of its own: the pack's gift is beside the one that the member may hold by hand.
        cycle = f"pack:{part.claim_id}:{part.position}"
        hold = await keep_promised(
            tx, offer_id=item.offer_id, member_id=part.member_id, cycle=cycle
        )
        part.hold_id = hold.id
    elif item.points is not None:
        await points.earn(
            tx,
            member_id=part.member_id,
            amount=item.points,
            source=points.Source.CAMPAIGN,
            rule=POINTS_RULE,
            subject=f"{part.claim_id}:{part.position}",
        )
    part.state, part.ended_at = PartState.GIVEN, tx.now
    await tx.session.flush()
    return False


async def _coupon(tx: Tx, batch_id: UUID, part: PackPart) -> UUID | None:
    grants = await coupons.grant_set_aside(
        tx,
        batch_id=batch_id,
        member_ids=[part.member_id],
        at_most=1,
        source=coupons.Source.PACK,
        source_id=part.pack_id,
    )
    coupon_id = grants.granted.get(part.member_id)
    if coupon_id is not None:
        await coupons.settle_aside(tx, batch_id=batch_id, taken=1, returned=0)
    return coupon_id
