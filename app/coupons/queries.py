"""Batched reads of coupons."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Integer,
    Select,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    column,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.orm import aliased

from app.coupons.tables import Batch, BatchState, Coupon, CouponState, Redemption, Return, Template
from app.kernel.batched import Ask, Batched
from app.kernel.db import Read
from app.kernel.statements import Entities, Rows, ids

_TEMPLATES = Entities(select(Template).where(Template.id == any_(ids("ids"))))


# What members may see; the rest stays where it is.
_SEEN = (
    *("member_id", "id", "template_id", "state", "code"),
    *("usable_from", "expires_at", "granted_at", "reserved_for", "reserved_until"),
)
_SEEN_OF_TEMPLATE = (
    *("id", "name", "kind", "value", "threshold_fen", "max_discount_fen", "skus", "categories"),
    *("validity", "valid_from", "valid_until", "wait_days", "valid_days"),
    *("return_policy", "exclusive", "stacking_group", "priority", "per_member", "per_identity"),
    *("first_order", "ready_key"),
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


def _standing() -> ColumnElement[CouponState]:
    """SQL value: where a coupon stands at `:now`, as `rules.standing` says."""
    now = bindparam("now", type_=DateTime(timezone=True))
    state, kind = Coupon.state, Coupon.state.type

    def is_(*states: CouponState) -> ColumnElement[bool]:
        return state.in_([literal(item, kind) for item in states])

    open_again = and_(is_(CouponState.RESERVED), Coupon.reserved_until <= now)
    unused = or_(is_(CouponState.WAITING, CouponState.ACTIVE), open_again)
    return case(
        (and_(unused, Coupon.expires_at <= now), literal(CouponState.EXPIRED, kind)),
        (and_(unused, Coupon.usable_from <= now), literal(CouponState.ACTIVE, kind)),
        else_=state,
    )


def _standing_coupons(standing: ColumnElement[CouponState]) -> "Select[*tuple[Any, ...]]":
    """All columns of coupons, with the state that they are in now."""
    columns = Coupon.__table__.columns
    return select(*(standing.label("state") if item.name == "state" else item for item in columns))


def _ask_pages(keys: list[CouponPage], now: datetime) -> Ask | None:
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
            "now": now,
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
    standing = _standing()
    page = _standing_coupons(standing).where(Coupon.member_id == asked.c.member_id)
    if of_state:
        page = page.where(standing == bindparam("state", type_=Coupon.state.type))
    if after:
        page = page.where(Coupon.id < bindparam("after", type_=Uuid()))
    newest = page.order_by(Coupon.id.desc()).limit(bindparam("first", type_=Integer()))
    row = aliased(Coupon, newest.lateral("page"), adapt_on_names=True)
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


def _by_key() -> Entities[Coupon]:
    asked = (
        func.unnest(ids("members"), ids("coupons"))
        .table_valued(column("member_id", Uuid), column("id", Uuid), name="asked")
        .render_derived()
    )
    of_asked = and_(Coupon.member_id == asked.c.member_id, Coupon.id == asked.c.id)
    found = _standing_coupons(_standing()).select_from(asked).join(Coupon, of_asked).subquery()
    return Entities(select(aliased(Coupon, found, adapt_on_names=True)))


_BY_KEY = _by_key()

# Coupons by member and id, as they stand now; unknown ones are absent.
by_member_and_id: Batched[tuple[UUID, UUID], Coupon] = Batched(
    lambda keys, now: Ask(
        _BY_KEY,
        {"members": [key[0] for key in keys], "coupons": [key[1] for key in keys], "now": now},
    ),
    lambda rows, _: {(row.member_id, row.id): row for row in rows},
)


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


async def last_returns(
    read: Read, keys: Iterable[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], Return]:
    """The last return by member and coupon; coupons whose orders were never refunded are absent."""
    rows = await read.session.scalars(
        select(Return)
        .where(tuple_(Return.member_id, Return.coupon_id).in_(list(keys)))
        .order_by(Return.at, Return.order_ref)
    )
    return {(row.member_id, row.coupon_id): row for row in rows}


async def newest_templates(read: Read, *, after: UUID | None, first: int) -> list[Template]:
    """Templates, newest first, after an id; one more than `first` if there are more."""
    query = select(Template).order_by(Template.id.desc()).limit(first + 1)
    if after is not None:
        query = query.where(Template.id < after)
    return list(await read.session.scalars(query))


async def newest_batches(
    read: Read, *, after: UUID | None, first: int, state: BatchState | None = None
) -> list[Batch]:
    """Batches, newest first, after an id; one more than `first` if there are more."""
    query = select(Batch).order_by(Batch.id.desc()).limit(first + 1)
    if after is not None:
        query = query.where(Batch.id < after)
    if state is not None:
        query = query.where(Batch.state == state)
    return list(await read.session.scalars(query))
