"""Points follow orders, and lots are released and expire in time."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import or_, select

from app import orders, points
from app.kernel.db import Tx
from app.kernel.log import logger
from app.segments import SilenceEpisode
from workers.jobs import NIGHTLY, Work, drain, job
from workers.schedule import planned

log = logger(__name__)


@job()
async def follow_order(work: Work, *, member_id: str, order_id: str) -> None:
    """Bring the ledger up to what is known of an order; doing it again changes nothing."""
    key = UUID(member_id), UUID(order_id)
    async with work.database.begin() as tx:
        order = (await orders.by_id(tx, [key])).get(key)
        if order is not None and order.paid_at is not None:
            await points.follow_order(tx, await _facts(tx, order, order.paid_at))


async def _facts(tx: Tx, order: orders.Order, paid_at: datetime) -> points.OrderFacts:
    return points.OrderFacts(
        order_id=order.id,
        member_id=order.member_id,
        total_fen=order.total_fen,
        paid_at=paid_at,
        settled_at=order.settled_at,
        refunded_fen=order.refunded_fen,
        cancelled=order.cancelled_at is not None,
        episode_id=await _episode_at(tx, order),
    )


async def _episode_at(tx: Tx, order: orders.Order) -> UUID | None:
    """The silence that was open when the order was created, also after the order has ended it."""
    return await tx.session.scalar(
        select(SilenceEpisode.id)
        .where(
            SilenceEpisode.member_id == order.member_id,
            SilenceEpisode.silent_from <= order.placed_at,
            or_(SilenceEpisode.woken_at.is_(None), SilenceEpisode.woken_at >= order.placed_at),
        )
        .order_by(SilenceEpisode.silent_from.desc())
        .limit(1)
    )


@job(queue=NIGHTLY)
@planned
async def move_points(work: Work, *, due_at: datetime) -> None:
    """Release lots whose refund window has closed and end those whose time is over."""
    released = await drain(work.database, points.release_due)
    expired = await drain(work.database, points.expire_due)
    if released or expired:
        log.info("points moved", accounts_released=released, accounts_expired=expired)


@job(queue=NIGHTLY)
@planned
async def audit_points(work: Work, *, due_at: datetime) -> None:
    """Check the ledger's invariants; a breach is an error in the log, with what was found."""
    async with work.database.read() as read:
        breaches = await points.audit(read)
    for breach in breaches:
        log.error("the points ledger does not add up", breach=str(breach))
