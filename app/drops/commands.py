"""Opening drops and ending them."""

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Select, literal, select, text
from sqlalchemy.dialects.postgresql import insert

from app import coupons
from app.drops.errors import DropNotFound, DropNotOpen, DropNotScheduled
from app.drops.events import DropChanged, DropClosed, DropOpened
from app.drops.rules import LIVE, takes_claims
from app.drops.tables import Drop, DropState, Guest
from app.kernel.db import Tx
from app.members import Member

# A drop's hours are never empty, however soon staff close it.
SHORTEST = timedelta(microseconds=1)

_INVITE = text(
    """
    INSERT INTO drop_guest (member_id, drop_id)
    SELECT m.id, :drop_id FROM member AS m WHERE m.id = ANY(CAST(:members AS uuid[]))
    ON CONFLICT DO NOTHING RETURNING member_id
    """
)
_FORGET = text(
    """
    DELETE FROM drop_identity WHERE ctid = ANY(ARRAY(
        SELECT i.ctid FROM coupon_drop AS d JOIN drop_identity AS i ON i.drop_id = d.id
        WHERE d.settled_at IS NOT NULL LIMIT :most))
    RETURNING drop_id
    """
)


async def open_drop(tx: Tx, *, drop_id: UUID) -> Drop:
    """Open a scheduled drop now, before its hour if need be.

    Raises DropNotFound, DropNotScheduled.
    """
    drop = await locked_drop(tx, drop_id)
    if drop.state is not DropState.SCHEDULED:
        raise DropNotScheduled(state=drop.state)
    if drop.closes_at <= tx.now:
        raise DropNotScheduled(state=DropState.CLOSED)
    drop.opens_at = min(drop.opens_at, tx.now)
    mark_open(tx, drop)
    await tx.session.flush()
    return drop


async def close_drop(tx: Tx, *, drop_id: UUID) -> Drop:
    """End an open drop now, before its hour; what was claimed stays, the rest goes to the batch.

    Raises DropNotFound, DropNotOpen.
    """
    drop = await locked_drop(tx, drop_id)
    # Its hour has come, be it that nobody has opened it yet; or it is over, be it not closed yet.
    if not takes_claims(drop, tx.now):
        state = DropState.CLOSED if drop.closes_at <= tx.now and drop.state in LIVE else drop.state
        raise DropNotOpen(state=state)
    drop.closes_at = max(tx.now, drop.opens_at + SHORTEST)
    drop.state = DropState.CLOSED
    announce(tx, drop, DropClosed)
    await settle(tx, drop)
    return drop


async def invite(tx: Tx, *, drop_id: UUID, member_ids: Iterable[UUID]) -> int:
    """Put members on the list of a drop for guests; answers how many were not on it yet.

    Raises DropNotFound, DropNotScheduled when it has ended.
    """
    drop = await locked_drop(tx, drop_id)
    if drop.state not in LIVE:
        raise DropNotScheduled(state=drop.state)
    rows = await tx.session.execute(
        _INVITE, {"drop_id": drop_id, "members": sorted(set(member_ids))}
    )
    return len(rows.all())


async def invite_all(tx: Tx, *, drop_id: UUID, chosen: Select[UUID]) -> None:
    """Put everyone whom a query chooses on the list of a drop for guests, as it answers now.

    Raises DropNotFound, DropNotScheduled when it has ended.
    """
    drop = await locked_drop(tx, drop_id)
    if drop.state not in LIVE:
        raise DropNotScheduled(state=drop.state)
    rows = select(Member.id, literal(drop_id)).where(Member.id.in_(chosen))
    await tx.session.execute(
        insert(Guest).from_select(["member_id", "drop_id"], rows).on_conflict_do_nothing()
    )


async def open_due(tx: Tx) -> list[UUID]:
    """Open the drops whose hour has come; answers which. Drops being claimed from open themselves.

    Claims go by the instants, so that a late call harms nobody.
    """
    due = await tx.session.scalars(
        select(Drop)
        .where(Drop.state == DropState.SCHEDULED, Drop.opens_at <= tx.now, Drop.closes_at > tx.now)
        .order_by(Drop.id)
        .with_for_update(key_share=True, skip_locked=True)
    )
    opened: list[UUID] = []
    for drop in due:
        mark_open(tx, drop)
        opened.append(drop.id)
    await tx.session.flush()
    return opened


async def close_due(tx: Tx) -> list[UUID]:
    """Close the drops whose hour is over and settle ended ones with their batch; answers which."""
    due = await tx.session.scalars(
        select(Drop)
        .where(
            Drop.settled_at.is_(None),
            (Drop.closes_at <= tx.now) | (Drop.state == DropState.SOLD_OUT),
        )
        # Batches are locked in this order by every caller.
        .order_by(Drop.batch_id, Drop.id)
        .with_for_update(key_share=True, skip_locked=True)
    )
    closed: list[UUID] = []
    for drop in due.all():
        if drop.state in LIVE:
            drop.state = DropState.CLOSED
            announce(tx, drop, DropClosed)
        await settle(tx, drop)
        closed.append(drop.id)
    return closed


async def forget_identities(tx: Tx, *, most: int = 10_000) -> int:
    """Forget who claimed in drops that have ended by what identity; answers how many rows."""
    return len((await tx.session.execute(_FORGET, {"most": most})).all())


async def locked_drops(tx: Tx, drop_ids: Iterable[UUID]) -> list[Drop]:
    """The drops in the order of their ids, held until the transaction ends."""
    rows = await tx.session.scalars(
        select(Drop)
        .where(Drop.id.in_(list(drop_ids)))
        .order_by(Drop.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return list(rows)


async def locked_drop(tx: Tx, drop_id: UUID) -> Drop:
    """The drop, held until the transaction ends. Raises DropNotFound."""
    drop = await tx.session.scalar(
        select(Drop)
        .where(Drop.id == drop_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if drop is None:
        raise DropNotFound()
    return drop


def mark_open(tx: Tx, drop: Drop) -> None:
    """Open a drop that the caller holds, and say so."""
    drop.state = DropState.OPEN
    announce(tx, drop, DropOpened)


def announce(tx: Tx, drop: Drop, fact: type[DropChanged]) -> None:
    """Tell watchers how the drop looks after a change."""
    drop.version += 1
    tx.emit(
        fact(
            drop_id=drop.id,
            version=drop.version,
            state=drop.state,
            remaining=drop.remaining,
            opens_at=drop.opens_at,
            closes_at=drop.closes_at,
        )
    )


async def settle(tx: Tx, drop: Drop) -> None:
    """Give the batch back what was not claimed; the caller holds the drop, which has ended."""
    drop.settled_at = tx.now
    await tx.session.flush()
    await coupons.settle_aside(
        tx, batch_id=drop.batch_id, taken=drop.claimed, returned=drop.remaining
    )
