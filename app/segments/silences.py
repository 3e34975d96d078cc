"""Silence episodes, derived anew from the orders, so that late orders and refunds restate them."""

from datetime import datetime
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
    union_all,
    update,
)
from sqlalchemy.schema import CreateTable

from app.kernel.db import Tx
from app.kernel.sets import uuid7_each
from app.segments.facts import FACTS
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
    """Fill the temporary table of differences between the facts and the stored episodes."""
    await tx.session.execute(CreateTable(DIFFERENT))
    held, stored = held_silences(as_of).subquery(), SilenceEpisode
    together = and_(held.c.member_id == stored.member_id, held.c.silent_from == stored.silent_from)
    chosen = (
        select(
            func.coalesce(held.c.member_id, stored.member_id),
            stored.id,
            held.c.silent_from,
            held.c.woken_at,
            held.c.order_id,
        )
        .select_from(held)
        .join(stored, together, full=True)
        .where(
            or_(
                held.c.member_id.is_(None),
                stored.member_id.is_(None),
                held.c.woken_at.is_distinct_from(stored.woken_at),
                held.c.order_id.is_distinct_from(stored.order_id),
            )
        )
    )
    names = [column.name for column in DIFFERENT.columns]
    await tx.session.execute(insert(DIFFERENT).from_select(names, chosen))
    await tx.session.execute(text(f"ANALYZE {DIFFERENT.name}"))


def held_silences(as_of: datetime) -> "Select[UUID, datetime, datetime | None, UUID | None]":
    """Every gap of 30 days or more between two orders that count, and the open one since the last
    order, of the members in the facts: `member_id, silent_from, woken_at, order_id`.
    """
    fact = FACTS.c
    since = fact.last_order_at + SILENT_AFTER
    every = union_all(
        select(
            fact.member_id,
            func.unnest(fact.silent_from).label("silent_from"),
            func.unnest(fact.woken_at).label("woken_at"),
            func.unnest(fact.woken_by).label("order_id"),
        ),
        select(fact.member_id, since, cast(null(), _INSTANT), cast(null(), Uuid)).where(
            since <= as_of
        ),
    ).subquery()
    return select(every)


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
