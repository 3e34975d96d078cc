"""Batched reads of coupons."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from sqlalchemy import Integer, Uuid, any_, bindparam, column, func, select, true, tuple_
from sqlalchemy.orm import aliased

from app.coupons.tables import Batch, Coupon, CouponState, Redemption, Template
from app.kernel.batched import Ask, Batched
from app.kernel.db import Read
from app.kernel.statements import Entities, Rows, ids

_TEMPLATES = Entities(select(Template).where(Template.id == any_(ids("ids"))))


# What members may see; the rest stays where it is.
_SEEN = (
    *("member_id", "id", "template_id", "state", "code"),
    *("usable_from", "expires_at", "granted_at"),
)
_SEEN_OF_TEMPLATE = (
    *("id", "name", "kind", "value", "threshold_fen", "max_discount_fen", "skus", "categories"),
    *("validity", "valid_from", "valid_until", "wait_days", "valid_days"),
    *("return_policy", "exclusive", "per_member"),
)
NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class CouponPage:
    """Which of a member's coupons: those after a coupon id, newest first, of a state or all."""

    member_id: UUID
    first: int
    after: UUID | None = None
    state: CouponState | None = None
    # The attributes that are read of coupons and of templates; None reads what members see. A
    # coupon's `member_id` and `id` and a template's `id` must be among them.
    columns: tuple[str, ...] | None = None
    template_columns: tuple[str, ...] | None = None

    @property
    def way(self) -> "CouponPage":
        """The same of nobody's coupons: pages that are equal in this are one statement."""
        return replace(self, member_id=NOBODY)


# A page's coupons with their templates, newest first.
Page = list[tuple[Coupon, Template]]


def _ask_pages(keys: list[CouponPage], _: datetime) -> Ask | None:
    way = keys[0]
    if len(keys) > 1:
        asked = {key.member_id for key in keys}
        if len(asked) < len(keys) or len({key.way for key in keys}) > 1:
            return None
    return Ask(
        _page(way.state is not None, way.after is not None, way.columns, way.template_columns),
        {
            "members": [key.member_id for key in keys],
            "first": way.first + 1,
            "state": way.state,
            "after": way.after,
        },
    )


def _tell_pages(
    rows: list[tuple[Coupon, Template]], keys: list[CouponPage]
) -> dict[CouponPage, Page]:
    found: dict[CouponPage, Page] = {key: [] for key in keys}
    by_member = {key.member_id: found[key] for key in keys}
    for row in rows:
        by_member[row[0].member_id].append(row)
    return found


async def _pages_alike(read: Read, keys: Iterable[CouponPage]) -> dict[CouponPage, Page]:
    alike: dict[CouponPage, list[CouponPage]] = defaultdict(list)
    for key in keys:
        alike[key.way].append(key)
    found: dict[CouponPage, Page] = {}
    for asked in alike.values():
        found |= await pages(read, asked)
    return found


# The coupons of each page with their templates; one more than `first` if there are more. One
# statement for all members who are asked for in the same way.
pages: Batched[CouponPage, Page] = Batched(_ask_pages, _tell_pages, _pages_alike)


@lru_cache(maxsize=256)
def _page(
    of_state: bool,
    after: bool,
    columns: tuple[str, ...] | None,
    template_columns: tuple[str, ...] | None,
) -> Rows[Coupon, Template]:
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
        .order_by(row.id.desc()),
        # Pages are read at every visit: what members never see stays where it is.
        only={
            Coupon: _SEEN if columns is None else columns,
            Template: _SEEN_OF_TEMPLATE if template_columns is None else template_columns,
        },
    )


async def by_member_and_id(
    read: Read, keys: Iterable[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], Coupon]:
    """Coupons by member and id; unknown ones are absent."""
    rows = await read.session.scalars(
        select(Coupon).where(tuple_(Coupon.member_id, Coupon.id).in_(list(keys)))
    )
    return {(row.member_id, row.id): row for row in rows}


# Templates by id; unknown ids are absent.
templates_by_id: Batched[UUID, Template] = Batched(
    lambda keys, _: Ask(_TEMPLATES, {"ids": keys}), lambda rows, _: {row.id: row for row in rows}
)


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
