"""Silence episodes, derived anew from the orders, so that late orders and refunds restate them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    DateTime,
    MetaData,
    Select,
    Table,
    Uuid,
    and_,
    cast,
    delete,
    func,
    insert,
    null,
    or_,
    select,
    text,
    type_coerce,
    union_all,
    update,
)
from sqlalchemy.schema import CreateTable

from app import orders
from app.kernel.db import Tx
from app.kernel.sets import uuid7_each
from app.segments.judging import JUDGED
from app.segments.rules import SILENT_AFTER
from app.segments.tables import SilenceEpisode

_INSTANT = DateTime(timezone=True)

# Where the stored episodes and those of the facts differ. `id` is that of the stored one, if any;
# `silent_from` is that of the facts, none where the stored episode never was.
DIFFERENT = Table(
    "segment_silences",
    MetaData(),
    Column("member_id", Uuid),
    Column("id", Uuid),
    Column("silent_from", _INSTANT),
    Column("woken_at", _INSTANT),
    Column("order_id", Uuid),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)

_SAME = and_(DIFFERENT.c.member_id == SilenceEpisode.member_id, DIFFERENT.c.id == SilenceEpisode.id)


async def compare(tx: Tx, as_of: datetime) -> None:
    """Fill the temporary table of differences between the judged members' orders and the stored
    episodes.

    What an order ended stays as it is while a member's orders do: only of the others are all
    episodes derived and compared, and of all members the open ones.
    """
    await tx.session.execute(CreateTable(DIFFERENT))
    held, stored = held_silences(as_of).subquery(), _stored().subquery()
    together = and_(
        held.c.member_id == stored.c.member_id, held.c.silent_from == stored.c.silent_from
    )
    chosen = (
        select(
            func.coalesce(held.c.member_id, stored.c.member_id),
            stored.c.id,
            held.c.silent_from,
            held.c.woken_at,
            held.c.order_id,
        )
        .select_from(held)
        .join(stored, together, full=True)
        .where(
            or_(
                held.c.member_id.is_(None),
                stored.c.member_id.is_(None),
                held.c.woken_at.is_distinct_from(stored.c.woken_at),
                held.c.order_id.is_distinct_from(stored.c.order_id),
            )
        )
    )
    names = [column.name for column in DIFFERENT.columns]
    await tx.session.execute(insert(DIFFERENT).from_select(names, chosen))
    await tx.session.execute(text(f"ANALYZE {DIFFERENT.name}"))


def _stored() -> "Select[*tuple[Any, ...]]":
    """The stored episodes that may have changed: of members who have left, all."""
    return (
        select(SilenceEpisode)
        .outerjoin(JUDGED, JUDGED.c.member_id == SilenceEpisode.member_id)
        .where(
            or_(
                SilenceEpisode.woken_at.is_(None),
                JUDGED.c.member_id.is_(None),
                ~JUDGED.c.same_orders,
            )
        )
    )


def held_silences(as_of: datetime) -> "Select[UUID, datetime, datetime | None, UUID | None]":
    """Every gap of 30 days or more between two orders that count, of the members whose orders are
    not those of the run before, and the open one since the last order, of all whom this run has
    judged: `member_id, silent_from, woken_at, order_id`.
    """
    order = _followed(as_of).subquery()
    silent_from = order.c.previous + SILENT_AFTER
    since = JUDGED.c.last_order_at + SILENT_AFTER
    every = union_all(
        select(
            order.c.member_id, silent_from.label("silent_from"), order.c.paid_at, order.c.id
        ).where(order.c.paid_at >= silent_from),
        select(JUDGED.c.member_id, since, cast(null(), _INSTANT), cast(null(), Uuid)).where(
            since <= as_of
        ),
    ).subquery()
    return select(
        every.c.member_id,
        every.c.silent_from,
        every.c.paid_at.label("woken_at"),
        every.c.id.label("order_id"),
    )


def _followed(as_of: datetime) -> "Select[*tuple[Any, ...]]":
    """The orders that count of members with others than before, each with the payment of the one
    before it.
    """
    changed = select(JUDGED.c.member_id).where(~JUDGED.c.same_orders)
    order = orders.counted_orders(as_of).where(orders.Order.member_id.in_(changed)).subquery()
    before = func.lag(order.c.paid_at).over(
        partition_by=order.c.member_id, order_by=(order.c.paid_at, order.c.id)
    )
    columns = order.c.member_id, order.c.id, order.c.paid_at
    return select(*columns, type_coerce(before, _INSTANT).label("previous"))


async def store(tx: Tx) -> None:
    """Make the stored episodes those of the facts; unchanged ones are not touched.

    What no longer holds goes first, so that a member never has two open episodes on the way.
    """
    unsynchronised = {"synchronize_session": False}
    gone = DIFFERENT.c.silent_from.is_(None)
    await tx.session.execute(
        delete(SilenceEpisode).where(_SAME, gone), execution_options=unsynchronised
    )
    fresh = {"woken_at": DIFFERENT.c.woken_at, "order_id": DIFFERENT.c.order_id}
    for woken in (DIFFERENT.c.woken_at.is_not(None), DIFFERENT.c.woken_at.is_(None)):
        await tx.session.execute(
            update(SilenceEpisode).where(_SAME, ~gone, woken).values(fresh),
            execution_options=unsynchronised,
        )
    chosen = (
        select(
            DIFFERENT.c.member_id,
            uuid7_each(tx.now),
            DIFFERENT.c.silent_from,
            DIFFERENT.c.woken_at,
            DIFFERENT.c.order_id,
        )
        .where(DIFFERENT.c.id.is_(None))
        # Neighbours in the indexes are written together.
        .order_by(DIFFERENT.c.member_id, DIFFERENT.c.silent_from)
    )
    names = ["member_id", "id", "silent_from", "woken_at", "order_id"]
    await tx.session.execute(insert(SilenceEpisode).from_select(names, chosen))
