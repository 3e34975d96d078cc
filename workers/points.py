"""Points follow orders, and lots are released and expire in time."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import or_, select

from app import gifts, members, orders, points, staff, tiers
from app.kernel.clock import business_day
from app.kernel.db import Tx
from app.kernel.log import logger
from app.segments import SilenceEpisode
from workers.jobs import NIGHTLY, Work, drain_beside, job
from workers.schedule import planned

log = logger(__name__)


@job()
async def follow_order(work: Work, *, member_id: str, order_id: str) -> None:
    """Bring the ledger up to what is known of an order; doing it again changes nothing."""
    async with work.database.begin() as tx:
        # A member who was merged meanwhile has given their orders to the other.
        key = await points.heir_of(tx, UUID(member_id)), UUID(order_id)
        order = (await orders.by_id(tx, [key])).get(key)
        if order is not None and order.paid_at is not None:
            await points.follow_order(tx, await _facts(tx, order, order.paid_at))


@job()
async def follow_invitation(work: Work, *, member_id: str) -> None:
    """Pay or take back what the member's orders bring to whoever invited them."""
    async with work.database.begin() as tx:
        await points.follow_invitation(tx, member_id=UUID(member_id))


async def _facts(tx: Tx, order: orders.Order, paid_at: datetime) -> points.OrderFacts:
    # One-yuan gifts are paid for with the order and earn nothing.
    member_id, order_ref = order.member_id, order.order_no
    gift_fen = await gifts.taken_fen(tx, member_id=member_id, order_ref=order_ref)
    total_fen, refunded_fen = max(order.total_fen - gift_fen, 0), order.refunded_fen
    if refunded_fen and gift_fen:
        refunded_fen -= await gifts.given_back_fen(
            tx, member_id=member_id, order_ref=order_ref, order_id=order.id
        )
    return points.OrderFacts(
        order_id=order.id,
        member_id=order.member_id,
        total_fen=total_fen,
        paid_at=paid_at,
        settled_at=order.settled_at,
        refunded_fen=min(refunded_fen, total_fen),
        cancelled=order.cancelled_at is not None,
        multiplier_percent=await _percent(tx, order.member_id, paid_at),
        episode_id=await _episode_at(tx, order),
    )


async def _percent(tx: Tx, member_id: UUID, paid_at: datetime) -> int:
    """The best multiplier of the member's tier and of the day on which they paid."""
    member = (await members.by_id(tx, [member_id]))[member_id]
    home = (await members.communities_by_id(tx, [member.community_id]))[member.community_id]
    tier = (await tiers.by_member(tx, [member_id])).get(member_id)
    return points.order_percent(
        home.settings,
        day=business_day(paid_at, home.time_zone),
        tier=None if tier is None else tier.tier.code,
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
    released = await drain_beside(work.database, points.LANES, points.release_due)
    expired = await drain_beside(work.database, points.LANES, points.expire_due)
    if released or expired:
        log.info("points moved", accounts_released=released, accounts_expired=expired)


@job(queue=NIGHTLY)
@planned
async def warn_of_expiry(work: Work, *, due_at: datetime) -> None:
    """Tell members of points that end soon, once for each end."""
    last, given = None, 0
    while True:
        async with work.database.begin() as tx:
            last, told = await points.warn_of_expiry(tx, after=last)
        given += told
        if last is None:
            break
    if given:
        log.info("members told of points that end", notices=given)


@job(queue=NIGHTLY)
@planned
async def audit_points(work: Work, *, due_at: datetime) -> None:
    """Check the ledger's invariants; a breach is a notice to staff and an error in the log."""
    async with work.database.read() as read:
        breaches = await points.audit(read)
    if not breaches:
        return
    async with work.database.begin() as tx:
        await staff.notify(tx, [_notice(breach) for breach in breaches], day=business_day(due_at))
    for breach in breaches:
        log.error("the points ledger does not add up", breach=str(breach))


def _notice(breach: points.Breach) -> staff.Notice:
    return staff.Notice(
        kind="points.breach",
        subject=f"{breach.rule}: {breach.member_id} {breach.currency}",
        facts={
            "rule": breach.rule,
            "memberId": str(breach.member_id),
            "currency": breach.currency.value,
            "expected": breach.expected,
            "found": breach.found,
        },
    )
