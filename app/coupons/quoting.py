"""What a member's basket would cost now, with the coupons and points that the member has."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import select

from app import points
from app.coupons.choosing import best
from app.coupons.errors import CouponNotFound, CouponNotUsable, NotFirstOrder
from app.coupons.firsts import has_ordered
from app.coupons.orders import offer_of_row
from app.coupons.pricing import (
    POINTS_MOST_PERCENT,
    POINTS_PER_YUAN,
    Offer,
    PointsUse,
    Pricing,
)
from app.coupons.rules import Basket, standing
from app.coupons.tables import Batch, BatchState, Coupon, CouponState, Template
from app.kernel.db import Read
from app.kernel.errors import InvalidInput, Refusal
from app.members import Community, Member, Setting, SettingKind

# The best are looked for among so many, those first that expire first.
MOST_CANDIDATES = 200
MOST_NAMED = 50
MOST_PER_YUAN = 1_000_000


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "pointsAsMoney.perYuan",
        SettingKind.INTEGER,
        POINTS_PER_YUAN,
        "多少积分抵1元",
        "How many points are worth a yuan.",
        1,
        MOST_PER_YUAN,
    ),
    Setting(
        "pointsAsMoney.mostPercent",
        SettingKind.INTEGER,
        POINTS_MOST_PERCENT,
        "积分最多抵商品金额的百分比",
        "How much of the goods points may pay for, in percent.",
        0,
        100,
    ),
)


async def quote(
    read: Read,
    *,
    member_id: UUID,
    basket: Basket,
    coupon_ids: Sequence[UUID] | None = None,
    use_points: int = 0,
) -> Pricing:
    """The price with the best allowed combination of these coupons, or of all the member's own.

    Points pay as far as the balance and the community's rule go. Nothing is held or used. Coupons
    that take nothing off are told with why. Raises CouponNotFound, InvalidInput.
    """
    if use_points < 0:
        raise InvalidInput(field="points", reason="not negative", reason_zh="不能为负")
    rows = await _rows(read, member_id, coupon_ids)
    first_only = any(template.first_order for _, template, _ in rows)
    ordered = first_only and await has_ordered(read, member_id)
    unusable: list[tuple[Offer, Refusal]] = []
    fit: list[Offer] = []
    for coupon, template, batch_state in rows:
        offer = offer_of_row(coupon, template)
        now = standing(coupon, at=read.now)
        if batch_state is BatchState.REVOKED:
            now = CouponState.REVOKED
        if now is CouponState.ACTIVE and template.first_order and ordered:
            unusable.append((offer, NotFirstOrder()))
        elif now is CouponState.ACTIVE:
            fit.append(offer)
        elif coupon_ids is not None:
            unusable.append((offer, CouponNotUsable(state=now)))
    paying = await _points(read, member_id, use_points) if use_points else None
    found = best(basket, fit, points=paying)
    return replace(found, left_out=(*unusable, *found.left_out))


async def _rows(
    read: Read, member_id: UUID, coupon_ids: Sequence[UUID] | None
) -> list[tuple[Coupon, Template, BatchState]]:
    query = (
        select(Coupon, Template, Batch.state)
        .join(Template, Template.id == Coupon.template_id)
        .join(Batch, Batch.id == Coupon.batch_id)
        .where(Coupon.member_id == member_id)
        .order_by(Coupon.expires_at, Coupon.id)
    )
    if coupon_ids is None:
        unused = [CouponState.WAITING, CouponState.ACTIVE, CouponState.RESERVED]
        query = query.where(Coupon.state.in_(unused), Coupon.expires_at > read.now)
        query = query.where(Coupon.usable_from <= read.now).limit(MOST_CANDIDATES)
    else:
        if len(coupon_ids) > MOST_NAMED:
            raise InvalidInput(
                field="couponIds", reason=f"at most {MOST_NAMED}", reason_zh=f"最多{MOST_NAMED}张"
            )
        query = query.where(Coupon.id.in_(coupon_ids))
    rows = [(row[0], row[1], row[2]) for row in await read.session.execute(query)]
    if coupon_ids is not None and len(rows) < len(set(coupon_ids)):
        raise CouponNotFound()
    return rows


async def _points(read: Read, member_id: UUID, asked: int) -> PointsUse:
    held = (await points.balances_by_member(read, [member_id]))[member_id].points
    settings = await read.session.scalar(
        select(Community.settings)
        .join(Member, Member.community_id == Community.id)
        .where(Member.id == member_id)
    )
    per_yuan, percent = points_rule(settings or {})
    balance = 0 if held.debt else held.balance
    return PointsUse(asked=asked, balance=balance, per_yuan=per_yuan, most_percent=percent)


def points_rule(settings: Mapping[str, Any]) -> tuple[int, int]:
    """How many points are worth a yuan in a community, and how much of the goods they may pay for.

    >>> points_rule({}), points_rule({"pointsAsMoney": {"perYuan": 50, "mostPercent": 20}})
    ((100, 50), (50, 20))
    """
    own: Mapping[str, Any] = settings.get("pointsAsMoney") or {}
    per_yuan = own.get("perYuan", POINTS_PER_YUAN)
    percent = own.get("mostPercent", POINTS_MOST_PERCENT)
    return max(1, int(per_yuan)), min(100, max(0, int(percent)))
