"""Batched reads of coupons."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from sqlalchemy import Integer, Uuid, any_, bindparam, column, func, select, true, tuple_
from sqlalchemy.orm import aliased

from app.coupons.tables import Batch, Coupon, CouponState, Redemption, Template
from app.kernel.db import Read
from app.kernel.statements import Entities, Rows, ids

_TEMPLATES = Entities(select(Template).where(Template.id == any_(ids("ids"))))


@dataclass(frozen=True, slots=True)
class CouponPage:
    """Which of a member's coupons: those after a coupon id, newest first, of a state or all."""

    member_id: UUID
    first: int
    after: UUID | None = None
    state: CouponState | None = None


async def pages(
    read: Read, keys: Iterable[CouponPage]
) -> dict[CouponPage, list[tuple[Coupon, Template]]]:
    """The coupons of each page with their templates; one more than `first` if there are more.

    One statement for all members who are asked for in the same way.
    """
    alike: dict[CouponPage, list[CouponPage]] = defaultdict(list)
    found: dict[CouponPage, list[tuple[Coupon, Template]]] = {}
    for key in keys:
        found[key] = []
        alike[CouponPage(UUID(int=0), key.first, key.after, key.state)].append(key)
    for way, asked in alike.items():
        by_member = {key.member_id: key for key in asked}
        page = _page(way.state is not None, way.after is not None)
        for coupon, template in await read.fetch(
            page, members=list(by_member), first=way.first + 1, state=way.state, after=way.after
        ):
            found[by_member[coupon.member_id]].append((coupon, template))
    return found


@cache
def _page(of_state: bool, after: bool) -> Rows[Coupon, Template]:
    asked = (
        func.unnest(ids("members"))
        .table_valued(column("member_id", Uuid), name="asked")
        .render_derived()
    )
    page = select(Coupon).where(Coupon.member_id == asked.c.member_id)
    if of_state:
        page = page.where(Coupon.state == bindparam("state", type_=Coupon.state.type))
    if after:
        page = page.where(Coupon.id < bindparam("after", type_=Uuid()))
    newest = page.order_by(Coupon.id.desc()).limit(bindparam("first", type_=Integer()))
    row = aliased(Coupon, newest.lateral("page"))
    return Rows(
        select(row, Template)
        .select_from(asked)
        .join(row, true())
        .join(Template, Template.id == row.template_id)
        .order_by(row.id.desc())
    )


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
    return {row.id: row for row in await read.fetch(_TEMPLATES, ids=list(keys))}


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
