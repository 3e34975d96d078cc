"""Batched reads of coupons."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, Uuid, cast, column, func, select, true, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased

from app.coupons.tables import Batch, Coupon, CouponState, Redemption, Template
from app.kernel.db import Read


@dataclass(frozen=True, slots=True)
class CouponPage:
    """Which of a member's coupons: those after a coupon id, newest first, of a state or all."""

    member_id: UUID
    first: int
    after: UUID | None = None
    state: CouponState | None = None


async def pages(read: Read, keys: Iterable[CouponPage]) -> dict[CouponPage, list[Coupon]]:
    """The coupons of each page; one more than `first` if there are more.

    One statement for all members who are asked for in the same way.
    """
    alike: dict[CouponPage, list[CouponPage]] = defaultdict(list)
    found: dict[CouponPage, list[Coupon]] = {}
    for key in keys:
        found[key] = []
        alike[CouponPage(UUID(int=0), key.first, key.after, key.state)].append(key)
    for way, asked in alike.items():
        by_member = {key.member_id: key for key in asked}
        for coupon in await read.session.scalars(_of_members(list(by_member), way)):
            found[by_member[coupon.member_id]].append(coupon)
    return found


def _of_members(member_ids: list[UUID], way: CouponPage) -> Select[Coupon]:
    ids = func.unnest(cast(member_ids, ARRAY(Uuid)))
    asked = ids.table_valued(column("member_id", Uuid), name="asked").render_derived()
    page = select(Coupon).where(Coupon.member_id == asked.c.member_id)
    if way.state is not None:
        page = page.where(Coupon.state == way.state)
    if way.after is not None:
        page = page.where(Coupon.id < way.after)
    row = aliased(Coupon, page.order_by(Coupon.id.desc()).limit(way.first + 1).lateral("page"))
    return select(row).select_from(asked).join(row, true()).order_by(row.id.desc())


async def by_member_and_id(
    read: Read, keys: Iterable[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], Coupon]:
    """Coupons by member and id; unknown ones are absent."""
    rows = await read.session.scalars(
        select(Coupon).where(tuple_(Coupon.member_id, Coupon.id).in_(list(keys)))
    )
    return {(row.member_id, row.id): row for row in rows}


async def templates_by_id(read: Read, keys: Iterable[UUID]) -> dict[UUID, Template]:
    """Templates by id; unknown ids are absent."""
    rows = await read.session.scalars(select(Template).where(Template.id.in_(list(keys))))
    return {row.id: row for row in rows}


async def batches_by_id(read: Read, keys: Iterable[UUID]) -> dict[UUID, Batch]:
    """Batches by id; unknown ids are absent."""
    rows = await read.session.scalars(select(Batch).where(Batch.id.in_(list(keys))))
    return {row.id: row for row in rows}


async def redemptions_by_member_and_id(
    read: Read, keys: Iterable[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], Redemption]:
    """Redemptions by member and coupon; unused coupons are absent."""
    rows = await read.session.scalars(
        select(Redemption).where(tuple_(Redemption.member_id, Redemption.coupon_id).in_(list(keys)))
    )
    return {(row.member_id, row.coupon_id): row for row in rows}
