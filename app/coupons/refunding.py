"""What becomes of coupons and discounts when an order is refunded or called off."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update

from app import orders
from app.coupons.events import CouponReleased, CouponReturned, DiscountReduced
from app.coupons.explaining import basket_of
from app.coupons.rules import LEAST_LEFT, Apart
from app.coupons.settling import Settled, Use, settle
from app.coupons.tables import (
    Batch,
    BatchState,
    Coupon,
    CouponState,
    Redemption,
    Return,
    ReturnOutcome,
    ReturnPolicy,
    Template,
)
from app.kernel.db import Tx
from app.kernel.sets import lock_name
from app.kernel.table import Json


async def follow_refund(tx: Tx, *, member_id: UUID, order_id: UUID) -> None:
    """Bring an order's coupons up to what is known of the order; doing it again changes nothing.

    Called off or refunded in full: each coupon comes back if its template says so and at least 3
    days of its validity are left. Some goods returned: discounts are reckoned again without them.
    Money that went back without goods leaves discounts as they are. An order's number names it at
    its source only: of a member who has two orders of one number the coupons come back when both
    came to nothing, and goods returned of either change no discount.
    """
    order = (await orders.by_id(tx, [(member_id, order_id)])).get((member_id, order_id))
    if order is None:
        return
    await lock_name(tx, f"coupons of order {member_id} {order.order_no}")
    same = await orders.of_number(tx, member_id=member_id, order_no=order.order_no)
    if orders.came_to_nothing(same):
        await return_coupons(tx, member_id=member_id, order_ref=order.order_no)
    elif order.refunded_fen and len(same) == 1:
        lines = (await orders.lines_by_order(tx, [(member_id, order_id)])).get(
            (member_id, order_id), []
        )
        uses = await _uses(tx, member_id, order.order_no)
        returned = goods_back(lines, _apart(use for use, _ in uses))
        await reduce_discounts(tx, member_id=member_id, order_ref=order.order_no, returned=returned)


def _apart(uses: Iterable[Redemption]) -> list[Apart]:
    """The units that were paid for beside the basket, each once, whichever coupons tell of it."""
    known: dict[str, Apart] = {}
    for use in uses:
        if "pricing" in use.explanation:
            known |= {unit.ref: unit for unit in basket_of(use.explanation["pricing"]).apart}
    return list(known.values())


def goods_back(lines: Iterable[orders.OrderLine], apart: Iterable[Apart]) -> Counter[str]:
    """How many units of each SKU went back out of the basket that the coupons were used on.

    A unit apart was never in it: its line is told from others of its article by what was paid.
    """
    beside = Counter((unit.sku, unit.price_fen) for unit in apart)
    returned: Counter[str] = Counter()
    for line in lines:
        each, rest = divmod(line.paid_fen, line.quantity)
        own = 0 if rest else min(line.refunded_quantity, beside[line.sku, each])
        beside[line.sku, each] -= own
        returned[line.sku] += line.refunded_quantity - own
    return +returned


async def return_coupons(tx: Tx, *, member_id: UUID, order_ref: str) -> None:
    """Undo the uses of coupons on an order, and let go of those that are held for it."""
    for use, coupon in await _uses(tx, member_id, order_ref):
        await _return(tx, use, coupon)
    held = await tx.session.scalars(
        select(Coupon)
        .where(
            Coupon.member_id == member_id,
            Coupon.state == CouponState.RESERVED,
            Coupon.reserved_for == order_ref,
        )
        .order_by(Coupon.id)
        .with_for_update()
    )
    for coupon in held:
        coupon.state, coupon.reserved_for, coupon.reserved_until = CouponState.ACTIVE, None, None
        tx.emit(CouponReleased(member_id=member_id, coupon_id=coupon.id, order_ref=order_ref))
    await tx.session.flush()


async def reduce_discounts(
    tx: Tx, *, member_id: UUID, order_ref: str, returned: Counter[str]
) -> Settled | None:
    """Reckon an order's discounts again without the goods that went back, units by SKU.

    What a discount loses is free in its batch again, and stays lost. None if the order has no
    coupons whose reckoning is known.
    """
    rows = [row for row in await _uses(tx, member_id, order_ref) if "pricing" in row[0].explanation]
    if not rows or not returned:
        return None
    uses = [
        Use(str(use.coupon_id), use.discount_fen, use.explanation["pricing"], use.lost_fen)
        for use, _ in rows
    ]
    settled = settle(uses, returned)
    told = [{"sku": sku, "quantity": units} for sku, units in sorted(returned.items())]
    for at, (use, coupon) in enumerate(rows):
        await _lose(tx, use, coupon, settled, at, told)
    await tx.session.flush()
    return settled


async def _lose(
    tx: Tx, use: Redemption, coupon: Coupon, settled: Settled, at: int, returned: list[Json]
) -> None:
    """Write down what one discount has lost; it is free in the batch again."""
    lost = max(use.lost_fen, settled.lost[at])
    freed = lost - use.lost_fen
    use.lost_fen = lost
    use.settlement = {
        "returned": returned,
        "goods_fen": settled.goods_fen,
        "discount_fen": use.discount_fen,
        "lost_fen": lost,
        "order_lost_fen": sum(settled.lost),
        "give_back_fen": settled.give_back_fen,
        "pricing": settled.details[at],
    }
    if not freed:
        return
    await _free(tx, coupon.batch_id, freed)
    tx.emit(
        DiscountReduced(
            member_id=use.member_id,
            coupon_id=use.coupon_id,
            order_ref=use.order_ref,
            discount_fen=use.discount_fen,
            lost_fen=lost,
            give_back_fen=settled.give_back_fen,
        )
    )


async def _uses(tx: Tx, member_id: UUID, order_ref: str) -> Sequence[tuple[Redemption, Coupon]]:
    rows = await tx.session.execute(
        select(Redemption, Coupon)
        .join(
            Coupon, (Coupon.member_id == Redemption.member_id) & (Coupon.id == Redemption.coupon_id)
        )
        .where(Redemption.member_id == member_id, Redemption.order_ref == order_ref)
        .order_by(Redemption.at, Redemption.coupon_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return [(row[0], row[1]) for row in rows]


async def _return(tx: Tx, use: Redemption, coupon: Coupon) -> None:
    template = await tx.session.get_one(Template, coupon.template_id)
    outcome = outcome_of(template, coupon, at=tx.now)
    if outcome is ReturnOutcome.CAME_BACK:
        outcome = await _take_back(tx, use, coupon, template)
    if outcome is not ReturnOutcome.CAME_BACK:
        await _undo(tx, use, coupon)
    back = outcome is ReturnOutcome.CAME_BACK
    coupon.state = CouponState.ACTIVE if back else CouponState.RETURNED
    tx.session.add(
        Return(
            member_id=use.member_id,
            coupon_id=use.coupon_id,
            order_ref=use.order_ref,
            discount_fen=use.discount_fen,
            explanation=use.explanation,
            redeemed_at=use.at,
            outcome=outcome,
            at=tx.now,
        )
    )
    await tx.session.delete(use)
    await tx.session.flush()
    tx.emit(
        CouponReturned(
            member_id=use.member_id,
            coupon_id=use.coupon_id,
            batch_id=coupon.batch_id,
            order_ref=use.order_ref,
            outcome=outcome.value,
        )
    )


def outcome_of(template: Template, coupon: Coupon, *, at: datetime) -> ReturnOutcome:
    """What the rules say of a coupon whose order was refunded in full, money aside."""
    if template.return_policy is not ReturnPolicy.ON_FULL_REFUND:
        return ReturnOutcome.POLICY
    if coupon.expires_at - at < LEAST_LEFT:
        return ReturnOutcome.TOO_LATE
    return ReturnOutcome.CAME_BACK


async def _take_back(tx: Tx, use: Redemption, coupon: Coupon, template: Template) -> ReturnOutcome:
    """Reserve what the coupon can cost again instead of what it cost, if the batch has it."""
    spent = use.discount_fen - use.lost_fen
    cost = template.max_discount_fen
    done = await tx.session.scalar(
        update(Batch)
        .where(
            Batch.id == coupon.batch_id,
            Batch.state != BatchState.REVOKED,
            Batch.reserved_fen + cost + Batch.spent_fen - spent <= Batch.budget_fen,
        )
        .values(
            redeemed=Batch.redeemed - 1,
            reserved_fen=Batch.reserved_fen + cost,
            spent_fen=Batch.spent_fen - spent,
        )
        .returning(Batch.id)
        .execution_options(synchronize_session=False)
    )
    if done is not None:
        return ReturnOutcome.CAME_BACK
    state = await tx.session.scalar(select(Batch.state).where(Batch.id == coupon.batch_id))
    revoked = state is BatchState.REVOKED
    return ReturnOutcome.BATCH_REVOKED if revoked else ReturnOutcome.NO_BUDGET


async def _undo(tx: Tx, use: Redemption, coupon: Coupon) -> None:
    """What the coupon cost was not spent after all."""
    await tx.session.execute(
        update(Batch)
        .where(Batch.id == coupon.batch_id)
        .values(
            redeemed=Batch.redeemed - 1,
            spent_fen=Batch.spent_fen - (use.discount_fen - use.lost_fen),
        )
        .execution_options(synchronize_session=False)
    )


async def _free(tx: Tx, batch_id: UUID, fen: int) -> None:
    await tx.session.execute(
        update(Batch)
        .where(Batch.id == batch_id)
        .values(spent_fen=Batch.spent_fen - fen)
        .execution_options(synchronize_session=False)
    )
