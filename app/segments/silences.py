"""Silence episodes, derived anew from the orders, so that late orders and refunds restate them."""

from datetime import datetime

from sqlalchemy import (
    Column,
    DateTime,
    MetaData,
    Table,
    Uuid,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.schema import CreateTable

from app import orders
from app.kernel.db import Tx
from app.kernel.sets import uuid7_each
from app.segments.judging import JUDGED
from app.segments.rules import SILENT_AFTER
from app.segments.tables import SilenceEpisode

FOUND = Table(
    "segment_silences",
    MetaData(),
    Column("member_id", Uuid, primary_key=True),
    Column("silent_from", DateTime(timezone=True), primary_key=True),
    Column("woken_at", DateTime(timezone=True)),
    Column("order_id", Uuid),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)

_SAME = and_(
    FOUND.c.member_id == SilenceEpisode.member_id,
    FOUND.c.silent_from == SilenceEpisode.silent_from,
)


async def find(tx: Tx, as_of: datetime) -> None:
    """Fill the temporary table of silences: every gap of 30 days or more between two orders that
    count, and the open one since the last order, of the members who were judged.
    """
    await tx.session.execute(CreateTable(FOUND))
    order = orders.counted_orders(as_of).subquery()
    whose, in_time = order.c.member_id, (order.c.paid_at, order.c.id)
    gaps = select(
        order.c.member_id,
        (order.c.paid_at + SILENT_AFTER).label("silent_from"),
        func.lead(order.c.paid_at).over(partition_by=whose, order_by=in_time).label("woken_at"),
        func.lead(order.c.id).over(partition_by=whose, order_by=in_time).label("order_id"),
    ).subquery()
    chosen = (
        select(gaps)
        .join(JUDGED, JUDGED.c.member_id == gaps.c.member_id)
        .where(
            or_(
                gaps.c.woken_at >= gaps.c.silent_from,
                and_(gaps.c.woken_at.is_(None), gaps.c.silent_from <= as_of),
            )
        )
    )
    names = [column.name for column in FOUND.columns]
    await tx.session.execute(insert(FOUND).from_select(names, chosen))


async def store(tx: Tx) -> None:
    """Make the stored episodes those that were found; unchanged ones are not touched.

    What no longer holds goes first, so that a member never has two open episodes on the way.
    """
    unsynchronised = {"synchronize_session": False}
    gone = ~select(FOUND.c.member_id).where(_SAME).exists()
    await tx.session.execute(delete(SilenceEpisode).where(gone), execution_options=unsynchronised)
    ended_otherwise = or_(
        FOUND.c.woken_at.is_distinct_from(SilenceEpisode.woken_at),
        FOUND.c.order_id.is_distinct_from(SilenceEpisode.order_id),
    )
    fresh = {"woken_at": FOUND.c.woken_at, "order_id": FOUND.c.order_id}
    for woken in (FOUND.c.woken_at.is_not(None), FOUND.c.woken_at.is_(None)):
        await tx.session.execute(
            update(SilenceEpisode).where(_SAME, woken, ended_otherwise).values(fresh),
            execution_options=unsynchronised,
        )
    known = select(SilenceEpisode.member_id).where(_SAME).exists()
    chosen = select(
        FOUND.c.member_id,
        uuid7_each(tx.now),
        FOUND.c.silent_from,
        FOUND.c.woken_at,
        FOUND.c.order_id,
    ).where(~known)
    names = ["member_id", "id", "silent_from", "woken_at", "order_id"]
    await tx.session.execute(insert(SilenceEpisode).from_select(names, chosen))
