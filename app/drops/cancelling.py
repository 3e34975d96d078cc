"""Cancelling drops, and making good to those who had claimed."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from sqlalchemy import select, tuple_

from app import coupons, points
from app.drops.commands import announce, locked_drop, settle
from app.drops.errors import DropNotCancellable
from app.drops.events import DropCancelled, DropCompensated
from app.drops.rules import CANCELLABLE
from app.drops.tables import Cancellation, Claim, ClaimsFate, Drop, DropState
from app.kernel.db import Read, Tx
from app.kernel.errors import InvalidInput
from app.kernel.text import checked_text

LONGEST_REASON = 200
MOST_POINTS = 1_000_000
# The rule under which compensations are earned; the drop is the subject.
RULE = "drop-cancelled"


async def cancel_drop(
    tx: Tx,
    *,
    drop_id: UUID,
    reason: str,
    fate: ClaimsFate = ClaimsFate.KEEP,
    points_each: int | None = None,
    batch_id: UUID | None = None,
    by: UUID | None = None,
) -> Drop:
    """End a drop at once; what was not claimed goes back to its batch.

    Claimed coupons stay (KEEP), or are taken back (REVOKE) for so many points, or a coupon of
    another batch, or both: `compensate` does that, and the batch sets enough aside here or the
    whole is refused. Raises DropNotFound, DropNotCancellable, InvalidInput, coupons.BatchNotFound,
    coupons.BatchNotActive, coupons.BatchTooSmall.
    """
    why = checked_text(reason, field="reason", longest=LONGEST_REASON)
    _check(fate, points_each, batch_id)
    drop = await locked_drop(tx, drop_id)
    if drop.state not in CANCELLABLE:
        raise DropNotCancellable(state=drop.state)
    await _check_batch(tx, drop, batch_id)
    drop.state = DropState.CANCELLED
    announce(tx, drop, DropCancelled)
    owed = drop.claimed if fate is ClaimsFate.REVOKE else 0
    row = Cancellation(
        drop_id=drop.id,
        reason=why,
        fate=fate,
        points=points_each,
        batch_id=batch_id,
        promised=owed if batch_id is not None else 0,
        given=0,
        revoked=0,
        cancelled_by=by,
        at=tx.now,
        done_at=None if owed else tx.now,
    )
    tx.session.add(row)
    await tx.session.flush()
    # Batches are locked in the order of their ids by every caller.
    other = batch_id if row.promised else None
    if other is not None and other < drop.batch_id:
        await coupons.set_aside(tx, batch_id=other, quantity=row.promised)
    if drop.settled_at is None:
        await settle(tx, drop)
    if other is not None and other > drop.batch_id:
        await coupons.set_aside(tx, batch_id=other, quantity=row.promised)
    return drop


def _check(fate: ClaimsFate, points_each: int | None, batch_id: UUID | None) -> None:
    if points_each is not None and not 0 < points_each <= MOST_POINTS:
        raise InvalidInput(
            field="points", reason=f"1 to {MOST_POINTS}", reason_zh=f"1至{MOST_POINTS}"
        )
    compensated = points_each is not None or batch_id is not None
    if compensated is not (fate is ClaimsFate.REVOKE):
        raise InvalidInput(
            field="claims",
            reason="revoked coupons are compensated, and kept ones are not",
            reason_zh="收回优惠券须补偿，保留则无需补偿",
        )


async def _check_batch(tx: Tx, drop: Drop, batch_id: UUID | None) -> None:
    if batch_id is None:
        return
    found = await coupons.batches_by_id(tx, [drop.batch_id, batch_id])
    if batch_id not in found:
        raise coupons.BatchNotFound()
    # One who has a coupon of this template could be given no other of it.
    if found[batch_id].template_id == found[drop.batch_id].template_id:
        raise InvalidInput(
            field="batchId",
            reason="must be of another template than the drop's coupons",
            reason_zh="须为其他模板的优惠券",
        )


async def uncompensated(read: Read) -> list[UUID]:
    """Cancelled drops whose claimants have not all been made good, the first cancelled first."""
    rows = await read.session.scalars(
        select(Cancellation.drop_id)
        .where(Cancellation.done_at.is_(None))
        .order_by(Cancellation.at, Cancellation.drop_id)
    )
    return list(rows)


async def compensate(tx: Tx, *, drop_id: UUID, most: int = 500) -> int:
    """Take back the next claimed coupons of a cancelled drop and give what is given for them.

    Answers how many claims were looked at; call again until it answers 0. Each member's coupon goes
    and their compensation comes in this one transaction. Who has used the coupon keeps it and gets
    nothing; who cannot be given a coupon in its place (account frozen, limit reached) keeps it too.
    Raises coupons.BatchNotActive, coupons.ValidityOver: nothing was done then, and may be later.
    """
    row = await tx.session.scalar(
        select(Cancellation)
        .where(Cancellation.drop_id == drop_id, Cancellation.done_at.is_(None))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None:
        return 0
    claims = await _next(tx, row, most)
    if claims:
        await _make_good(tx, row, {claim.coupon_id: claim.member_id for claim in claims})
        row.position_at, row.position = claims[-1].claimed_at, claims[-1].coupon_id
    if len(claims) < most:
        row.done_at = tx.now
        if row.batch_id is not None and row.promised:
            await tx.session.flush()
            await coupons.settle_aside(
                tx, batch_id=row.batch_id, taken=row.given, returned=row.promised - row.given
            )
    await tx.session.flush()
    return len(claims)


async def _next(tx: Tx, row: Cancellation, most: int) -> list[Claim]:
    query = (
        select(Claim)
        .where(Claim.drop_id == row.drop_id)
        .order_by(Claim.claimed_at, Claim.coupon_id)
        .limit(most)
    )
    if row.position_at is not None:
        # The first condition is what the index can go by.
        query = query.where(
            Claim.claimed_at >= row.position_at,
            tuple_(Claim.claimed_at, Claim.coupon_id) > tuple_(row.position_at, row.position),
        )
    return list(await tx.session.scalars(query))


async def _make_good(tx: Tx, row: Cancellation, owners: Mapping[UUID, UUID]) -> None:
    """Coupon -> member: those that are unused go, and their members get what they are given."""
    unused = await coupons.hold_unused(tx, [(owner, key) for key, owner in owners.items()])
    going = {owners[key]: key for key in unused}
    given: Mapping[UUID, UUID] = {}
    if row.batch_id is not None:
        given = await _grant(tx, row, going)
        going = {member_id: going[member_id] for member_id in given}
    await coupons.revoke_coupons(tx, going.items())
    if row.points is not None and going:
        await points.earn_alike(
            tx,
            member_ids=going,
            amount=row.points,
            source=points.Source.ADJUST,
            rule=RULE,
            subject=str(row.drop_id),
        )
    row.revoked += len(going)
    row.given += len(given)
    for member_id, coupon_id in going.items():
        tx.emit(
            DropCompensated(
                member_id=member_id,
                drop_id=row.drop_id,
                coupon_id=coupon_id,
                reason=row.reason,
                points=row.points,
                given_id=given.get(member_id),
            )
        )


async def _grant(tx: Tx, row: Cancellation, members: Iterable[UUID]) -> Mapping[UUID, UUID]:
    if row.batch_id is None:
        return {}
    grants = await coupons.grant_set_aside(
        tx,
        batch_id=row.batch_id,
        member_ids=sorted(members),
        at_most=row.promised - row.given,
        source=coupons.Source.STAFF,
        source_id=row.drop_id,
    )
    return grants.granted
