"""Using a coupon on an order, and letting unused ones go."""

from collections import Counter
from uuid import UUID

from sqlalchemy import select, text, update

from app.coupons.batches import release_budget
from app.coupons.errors import CannotCombine, CouponNotFound, CouponNotUsable
from app.coupons.events import CouponRedeemed
from app.coupons.rules import LONGEST_KEY, Basket, Discount, Terms, discount
from app.coupons.tables import (
    Batch,
    BatchState,
    Coupon,
    CouponState,
    Redemption,
    Template,
)
from app.kernel.db import Tx
from app.kernel.sets import lock_name
from app.kernel.text import checked_text
from app.members import MemberNotActive, MemberStatus, by_id

USABLE = frozenset({CouponState.WAITING, CouponState.ACTIVE, CouponState.RETURNED})


async def redeem(
    tx: Tx, *, coupon_id: UUID, member_id: UUID, order_ref: str, basket: Basket
) -> Redemption:
    """Use a member's coupon on an order: it is redeemed once, however often this runs at once.

    `order_ref` is the shop's number of the order, `basket` its lines at prices before coupons. The
    redemption keeps the discount in fen and how it was reckoned. Raises CouponNotFound,
    CouponNotUsable, CannotCombine, NothingInScope, BelowThreshold, MemberNotActive, InvalidInput.
    """
    order_ref = checked_text(order_ref, field="orderRef", longest=LONGEST_KEY)
    member = (await by_id(tx, [member_id])).get(member_id)
    if member is None:
        raise CouponNotFound()
    if member.status is not MemberStatus.ACTIVE:
        raise MemberNotActive()
    # Two coupons for one order at once must see each other to be judged for stacking.
    await lock_name(tx, f"coupons of order {member_id} {order_ref}")
    coupon = await _usable(tx, member_id, coupon_id)
    template = await tx.session.get_one(Template, coupon.template_id)
    await _check_stacking(tx, template, member_id, order_ref)
    terms = Terms.of(template)
    result = discount(terms, basket)
    coupon.state = CouponState.REDEEMED
    redemption = Redemption(
        member_id=member_id,
        coupon_id=coupon_id,
        order_ref=order_ref,
        discount_fen=result.fen,
        explanation=result.explain(terms, basket),
        at=tx.now,
    )
    tx.session.add(redemption)
    await tx.session.flush()
    await _spend(tx, coupon, template, result)
    tx.emit(
        CouponRedeemed(
            member_id=member_id,
            coupon_id=coupon_id,
            batch_id=coupon.batch_id,
            order_ref=order_ref,
            discount_fen=result.fen,
        )
    )
    return redemption


async def _usable(tx: Tx, member_id: UUID, coupon_id: UUID) -> Coupon:
    coupon = await tx.session.get(
        Coupon, (member_id, coupon_id), with_for_update=True, populate_existing=True
    )
    if coupon is None:
        raise CouponNotFound()
    if coupon.state not in USABLE:
        raise CouponNotUsable(state=coupon.state)
    # The instants decide, whatever state a late scheduler has left behind.
    if tx.now < coupon.usable_from:
        raise CouponNotUsable(state=CouponState.WAITING)
    if tx.now >= coupon.expires_at:
        raise CouponNotUsable(state=CouponState.EXPIRED)
    return coupon


async def _check_stacking(tx: Tx, template: Template, member_id: UUID, order_ref: str) -> None:
    """Raise CannotCombine if a coupon on the order, or this one, does not suffer the other."""
    others = await tx.session.execute(
        select(Template.stacking_group, Template.exclusive)
        .join(Coupon, Coupon.template_id == Template.id)
        .join(
            Redemption,
            (Redemption.member_id == Coupon.member_id) & (Redemption.coupon_id == Coupon.id),
        )
        .where(Redemption.member_id == member_id, Redemption.order_ref == order_ref)
    )
    for group, exclusive in others:
        same = group is not None and group == template.stacking_group
        if exclusive or template.exclusive or same:
            raise CannotCombine()


async def _spend(tx: Tx, coupon: Coupon, template: Template, result: Discount) -> None:
    state = await tx.session.scalar(
        update(Batch)
        .where(Batch.id == coupon.batch_id)
        .values(
            redeemed=Batch.redeemed + 1,
            reserved_fen=Batch.reserved_fen - template.max_discount_fen,
            spent_fen=Batch.spent_fen + result.fen,
        )
        .returning(Batch.state)
        .execution_options(synchronize_session=False)
    )
    if state is BatchState.REVOKED:
        raise CouponNotUsable(state=CouponState.REVOKED)


_END_EXPIRED = text(
    """
    WITH due AS (
        SELECT member_id, id FROM coupon
        WHERE state IN ('WAITING', 'ACTIVE') AND expires_at <= :now
        ORDER BY expires_at LIMIT :most FOR UPDATE SKIP LOCKED
    ), ended AS (
        UPDATE coupon c SET state = 'EXPIRED' FROM due
        WHERE c.member_id = due.member_id AND c.id = due.id RETURNING c.batch_id
    )
    SELECT batch_id, count(*) FROM ended GROUP BY batch_id
    """
)

_END_REVOKED = text(
    """
    WITH due AS (
        SELECT c.member_id, c.id FROM coupon_batch b JOIN coupon c ON c.batch_id = b.id
        WHERE b.state = 'REVOKED' AND b.reserved_fen > 0 AND c.state IN ('WAITING', 'ACTIVE')
        LIMIT :most FOR UPDATE OF c SKIP LOCKED
    ), ended AS (
        UPDATE coupon c SET state = 'REVOKED' FROM due
        WHERE c.member_id = due.member_id AND c.id = due.id RETURNING c.batch_id
    )
    SELECT batch_id, count(*) FROM ended GROUP BY batch_id
    """
)

_WAKE = text(
    """
    WITH due AS (
        SELECT member_id, id FROM coupon
        WHERE state = 'WAITING' AND usable_from <= :now AND expires_at > :now
        ORDER BY usable_from LIMIT :most FOR UPDATE SKIP LOCKED
    )
    UPDATE coupon c SET state = 'ACTIVE' FROM due
    WHERE c.member_id = due.member_id AND c.id = due.id RETURNING c.id
    """
)


async def activate_due(tx: Tx, *, most: int = 10_000) -> int:
    """Show waiting coupons as active once their day has come; answers how many.

    Redeeming goes by the instants and does not depend on this.
    """
    rows = await tx.session.execute(_WAKE, {"now": tx.now, "most": most})
    return len(rows.all())


async def expire_due(tx: Tx, *, most: int = 10_000) -> int:
    """End coupons that are past their validity or of a revoked batch, and release their budget.

    Answers how many; call again until it answers 0. Coupons in someone's hands are left to the
    next call.
    """
    await lock_name(tx, "coupons sweep")
    ended: Counter[UUID] = Counter()
    for statement in (_END_EXPIRED, _END_REVOKED):
        rows = await tx.session.execute(statement, {"now": tx.now, "most": most})
        ended.update({row[0]: row[1] for row in rows})
    await release_budget(tx, ended=ended)
    return ended.total()
