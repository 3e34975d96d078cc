"""Commands that redeem points, return them, and staff's corrections."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Uuid, insert, literal, select, text

from app.kernel.db import Tx
from app.kernel.errors import IdempotencyKeyReused, InvalidInput
from app.kernel.text import checked_text
from app.points.errors import NotEnoughPoints, PointsInDebt, RefundExceedsSpend, SpendNotFound
from app.points.ledger import Grant, Note, Sheet, close_sheet, credit, draw, open_sheet, settle
from app.points.queries import place_of
from app.points.rules import expiry_of, expiry_rule, returned_until
from app.points.tables import (
    Account,
    Allocation,
    Currency,
    Entry,
    EntryKind,
    Lot,
    LotStatus,
    Source,
)

ADJUST_RULE = "adjust"
LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class _Part:
    """So much of a spending goes back to one lot, or to a child of it where it has ended."""

    lot: Lot
    amount: int
    alive: bool


async def spend(
    tx: Tx,
    *,
    member_id: UUID,
    amount: int,
    subject: str,
    currency: Currency = Currency.POINTS,
    order_id: UUID | None = None,
    reason: str | None = None,
) -> int:
    """Redeem points once for this subject, soonest expiry first; answers the entry's number.

    The same subject and amount again answers the first entry. Raises NotEnoughPoints,
    PointsInDebt, IdempotencyKeyReused for another amount, InvalidInput for one under 1.
    """
    _at_least_one(amount)
    sheet = await open_sheet(tx, currency, [member_id])
    member_id = sheet.of(member_id)
    earlier = await _earlier(tx, sheet, EntryKind.SPEND, member_id, subject)
    if earlier is not None:
        await close_sheet(tx, sheet)
        return _same(earlier, amount)
    require_balance(sheet, member_id, amount)
    note = Note(subject=subject, order_id=order_id, reason=reason)
    drawn = await draw(tx, sheet, EntryKind.SPEND, {member_id: amount}, note=note)
    await close_sheet(tx, sheet)
    return drawn[member_id].seq


async def refund_spend(
    tx: Tx,
    *,
    member_id: UUID,
    spent: str,
    amount: int,
    subject: str,
    currency: Currency = Currency.POINTS,
) -> int:
    """Return points of the spending whose subject is `spent`, once for this subject.

    They go back to the lots they came from, the last taken first; for a lot that has ended, to a
    child of it that lives at least seven days. Answers the entry's number. Raises SpendNotFound,
    RefundExceedsSpend, IdempotencyKeyReused, InvalidInput.
    """
    _at_least_one(amount)
    place = await place_of(tx, member_id)
    sheet = await open_sheet(tx, currency, [member_id])
    member_id = sheet.of(member_id)
    earlier = await _earlier(tx, sheet, EntryKind.SPEND_REFUND, member_id, subject)
    if earlier is not None:
        await close_sheet(tx, sheet)
        return _same(earlier, amount)
    spending = await _earlier(tx, sheet, EntryKind.SPEND, member_id, spent)
    if spending is None:
        raise SpendNotFound()
    parts = await _parts(tx, member_id, spending, amount)
    seq = await tx.session.scalar(
        insert(Entry)
        .values(
            member_id=member_id,
            currency=currency,
            kind=EntryKind.SPEND_REFUND,
            amount=amount,
            active_delta=amount,
            subject=subject,
            parent_seq=spending.seq,
            order_id=spending.order_id,
            at=tx.now,
        )
        .returning(Entry.seq)
    )
    if seq is None:
        raise LookupError("an insert answered no number")
    await _give_back(tx, spending, seq, parts, zone=place.zone)
    sheet.move(member_id, EntryKind.SPEND_REFUND, active=amount)
    await settle(tx, sheet)
    await close_sheet(tx, sheet)
    return seq


async def adjust(
    tx: Tx,
    *,
    member_id: UUID,
    amount: int,
    actor_id: UUID,
    reason: str,
    subject: str,
    currency: Currency = Currency.POINTS,
) -> int:
    """Staff give (positive) or take (negative) points, with a reason, once for this subject.

    Answers the amount. Taking more than there is is refused: debts come from refunds alone. Raises
    MemberNotFound, NotEnoughPoints, PointsInDebt, IdempotencyKeyReused, InvalidInput.
    """
    if amount == 0:
        raise InvalidInput(field="amount", reason="not 0", reason_zh="不能为0")
    why = checked_text(reason, field="reason", longest=LONGEST_REASON)
    place = await place_of(tx, member_id)
    sheet = await open_sheet(tx, currency, [member_id])
    member_id = sheet.of(member_id)
    earlier = await _earlier(tx, sheet, EntryKind.ADJUST, member_id, subject)
    note = Note(subject=subject, actor_id=actor_id, reason=why)
    if earlier is not None:
        if earlier.active_delta != amount:
            raise IdempotencyKeyReused()
    elif amount > 0:
        expires_at = expiry_of(expiry_rule(place.settings, Source.ADJUST), tx.now, place.zone)
        grant = _adjust_grant(tx, member_id, subject, amount, expires_at)
        await credit(tx, sheet, [grant], kind=EntryKind.ADJUST, note=note)
    else:
        require_balance(sheet, member_id, -amount)
        await draw(tx, sheet, EntryKind.ADJUST, {member_id: -amount}, note=note)
    await close_sheet(tx, sheet)
    return amount


def require_balance(sheet: Sheet, member_id: UUID, amount: int) -> None:
    """Raise PointsInDebt or NotEnoughPoints unless so much can be taken."""
    totals = sheet.totals[member_id]
    if totals.debt:
        raise PointsInDebt(debt=totals.debt)
    if totals.active < amount:
        raise NotEnoughPoints(needed=amount, available=totals.active)


def _adjust_grant(
    tx: Tx, member_id: UUID, subject: str, amount: int, expires_at: datetime
) -> Grant:
    return Grant(
        id=tx.new_id(),
        member_id=member_id,
        source=Source.ADJUST,
        rule=ADJUST_RULE,
        subject=subject,
        amount=amount,
        earned_at=tx.now,
        available_at=tx.now,
        expires_at=expires_at,
    )


def _at_least_one(amount: int) -> None:
    if amount < 1:
        raise InvalidInput(field="amount", reason="at least 1", reason_zh="至少为1")


def _same(earlier: Entry, amount: int) -> int:
    if earlier.amount != amount:
        raise IdempotencyKeyReused()
    return earlier.seq


async def _earlier(
    tx: Tx, sheet: Sheet, kind: EntryKind, member_id: UUID, subject: str
) -> Entry | None:
    """The entry of this subject, also one of a member who was merged into this one."""
    mine = select(literal(member_id, Uuid()).label("member_id")).cte("mine", recursive=True)
    mine = mine.union(
        select(Account.member_id).where(
            Account.merged_into == mine.c.member_id, Account.currency == sheet.currency
        )
    )
    return await tx.session.scalar(
        select(Entry).where(
            Entry.member_id.in_(select(mine.c.member_id)),
            Entry.currency == sheet.currency,
            Entry.kind == kind,
            Entry.subject == subject,
        )
    )


async def _parts(tx: Tx, member_id: UUID, spending: Entry, amount: int) -> list[_Part]:
    # Lots that were merged into this account have kept their ids.
    rows = await tx.session.execute(
        select(Lot, Allocation.amount - Allocation.returned)
        .join(Allocation, Allocation.lot_id == Lot.id)
        .where(
            Lot.member_id == member_id,
            Allocation.member_id == spending.member_id,
            Allocation.entry_seq == spending.seq,
            Allocation.returned < Allocation.amount,
        )
        .order_by(Lot.expires_at.desc().nulls_first(), Lot.earned_at.desc(), Lot.id.desc())
        .execution_options(populate_existing=True)
    )
    parts: list[_Part] = []
    left = amount
    for lot, takeable in rows:
        part = min(takeable, left)
        if part:
            alive = lot.status in (LotStatus.ACTIVE, LotStatus.EXHAUSTED) and (
                lot.expires_at is None or lot.expires_at > tx.now
            )
            parts.append(_Part(lot, part, alive))
        left -= part
    if left:
        raise RefundExceedsSpend(left=amount - left)
    return parts


_RETURNED = text("""
UPDATE points_allocation a SET returned = a.returned + p.amount
FROM unnest(CAST(:lots AS uuid[]), CAST(:amounts AS bigint[])) AS p(lot_id, amount)
WHERE a.member_id = :member AND a.entry_seq = :seq AND a.lot_id = p.lot_id
""")
_REFILL = text("""
UPDATE points_lot l SET remaining = l.remaining + p.amount, status = 'ACTIVE'
FROM unnest(CAST(:lots AS uuid[]), CAST(:amounts AS bigint[])) AS p(lot_id, amount)
WHERE l.member_id = :member AND l.id = p.lot_id
""")


async def _give_back(
    tx: Tx, spending: Entry, seq: int, parts: Sequence[_Part], *, zone: str
) -> None:
    member_id = parts[0].lot.member_id
    await tx.session.execute(
        _RETURNED,
        {
            "member": spending.member_id,
            "seq": spending.seq,
            "lots": [part.lot.id for part in parts],
            "amounts": [part.amount for part in parts],
        },
    )
    alive = [part for part in parts if part.alive]
    given = {"lots": [part.lot.id for part in alive], "amounts": [part.amount for part in alive]}
    await tx.session.execute(_REFILL, {"member": member_id, **given})
    children = [(_child(tx, part, zone), part.amount) for part in parts if not part.alive]
    if children:
        await tx.session.execute(insert(Lot), [child for child, _ in children])
    targets = [(part.lot.id, part.amount) for part in alive]
    targets += [(child["id"], amount) for child, amount in children]
    await tx.session.execute(
        insert(Allocation),
        [
            {"member_id": member_id, "entry_seq": seq, "lot_id": lot_id, "amount": amount}
            for lot_id, amount in targets
        ],
    )


def _child(tx: Tx, part: _Part, zone: str) -> dict[str, object]:
    return {
        "member_id": part.lot.member_id,
        "id": tx.new_id(),
        "currency": part.lot.currency,
        "source": Source.REFUND,
        "rule": part.lot.rule,
        "parent_id": part.lot.id,
        "amount": part.amount,
        "remaining": part.amount,
        "status": LotStatus.ACTIVE,
        "earned_at": tx.now,
        "available_at": tx.now,
        "expires_at": returned_until(part.lot.expires_at, tx.now, zone),
    }
