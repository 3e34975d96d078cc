"""Making drops, opening and ending them."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, text

from app import coupons
from app.drops.errors import DropNotFound, DropNotOpen, DropNotScheduled
from app.drops.events import DropChanged, DropClosed, DropOpened
from app.drops.rules import LIVE, Window, takes_claims, windows_fit
from app.drops.tables import Drop, DropState, EarlyWindow
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.kernel.text import checked_text
from app.members import CommunityNotFound, communities_by_id

MAX_STOCK = 10_000_000
LONGEST_TITLE = 60
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


async def create_drop(
    tx: Tx,
    *,
    batch_id: UUID,
    title: str,
    opens_at: datetime,
    closes_at: datetime,
    stock: int,
    community_id: UUID | None = None,
    min_rank: int | None = None,
    guests_only: bool = False,
    early: Sequence[Window] = (),
    by: UUID | None = None,
) -> Drop:
    """Schedule a drop; its stock and the money for it are set aside in the batch at once.

    It is for members of the community, of tiers from `min_rank` on, and for guests (`invite`), each
    where given. `early` are windows of early access, carved out of the stock.

    Raises coupons.BatchNotFound, coupons.BatchNotActive, coupons.BatchTooSmall, CommunityNotFound,
    InvalidInput.
    """
    title = checked_text(title, field="title", longest=LONGEST_TITLE)
    await _check(tx, opens_at, closes_at, stock, community_id)
    windows = sorted(early, key=lambda window: window.opens_at)
    wrong = windows_fit(windows, opens_at, stock)
    if wrong is not None:
        raise InvalidInput(field="earlyAccess", reason=wrong, reason_zh="提前抢设置有误")
    batch = await coupons.set_aside(tx, batch_id=batch_id, quantity=stock)
    template = (await coupons.templates_by_id(tx, [batch.template_id]))[batch.template_id]
    if template.per_identity is not None:
        raise InvalidInput(
            field="batchId",
            reason="a drop gives each person one by itself: its template has no limit of its own",
            reason_zh="秒杀本身已限每人一张，模板不可另设每身份限制",
        )
    if template.valid_until is not None and template.valid_until < closes_at:
        raise InvalidInput(
            field="closesAt",
            reason="the coupons stop being valid before the drop closes",
            reason_zh="活动结束前优惠券已失效",
        )
    drop = Drop(
        id=tx.new_id(),
        batch_id=batch_id,
        title=title,
        opens_at=opens_at,
        closes_at=closes_at,
        stock=stock,
        claimed=0,
        state=DropState.SCHEDULED,
        community_id=community_id,
        min_rank=min_rank,
        guests_only=guests_only,
        early_opens_at=windows[0].opens_at if windows else None,
        early_stock=sum(window.stock for window in windows),
        version=1,
        created_by=by,
        created_at=tx.now,
    )
    tx.session.add(drop)
    await tx.session.flush()
    tx.session.add_all(
        EarlyWindow(drop_id=drop.id, opens_at=one.opens_at, rank=one.rank, stock=one.stock)
        for one in windows
    )
    await tx.session.flush()
    return drop


async def _check(
    tx: Tx,
    opens_at: datetime,
    closes_at: datetime,
    stock: int,
    community_id: UUID | None,
) -> None:
    if opens_at >= closes_at:
        raise InvalidInput(
            field="closesAt", reason="must be after opensAt", reason_zh="须晚于开始时间"
        )
    if closes_at <= tx.now:
        raise InvalidInput(field="closesAt", reason="is in the past", reason_zh="已过")
    if not 0 < stock <= MAX_STOCK:
        raise InvalidInput(field="stock", reason=f"1 to {MAX_STOCK}", reason_zh=f"1至{MAX_STOCK}")
    if community_id is not None and not await communities_by_id(tx, [community_id]):
        raise CommunityNotFound()


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
