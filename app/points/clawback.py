"""Commands that take points back: refunds of orders, and rewards that turned out undeserved."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import insert, select, text

from app.kernel.db import Tx
from app.points.earning import earn_for_order
from app.points.ledger import Note, Sheet, close_sheet, draw, open_sheet
from app.points.rules import OrderFacts, clawback_due
from app.points.tables import Currency, Entry, EntryKind, Lot

_MARK = text("""
UPDATE points_lot l SET clawed = l.clawed + c.due, status = CASE
    WHEN l.status = 'EXHAUSTED' AND l.clawed + c.due = l.amount THEN 'REVERSED' ELSE l.status END
FROM unnest(CAST(:lots AS uuid[]), CAST(:dues AS bigint[])) AS c(lot_id, due)
WHERE l.member_id = :member AND l.id = c.lot_id
""")


async def claw_back_order(tx: Tx, order: OrderFacts) -> int:
    """Take back what an order's refunds so far call for; answers how much this call took.

    For each lot of the order: floor(earned x refunded so far / total) less what was taken back
    before, so that calling it again takes nothing more and the last refund is exact. It comes from
    the order's own lots, then from other active lots, then becomes debt, which later earnings
    settle first. A cancelled order counts as fully refunded.
    """
    if not order.taken_back_fen:
        return 0
    sheet = await open_sheet(tx, Currency.POINTS, [order.member_id])
    owner = sheet.of(order.member_id)
    lots = await tx.session.execute(
        select(Lot.id, Lot.amount, Lot.clawed).where(
            Lot.member_id == owner,
            Lot.order_id == order.order_id,
            Lot.currency == Currency.POINTS,
        )
    )
    dues = {
        row.id: clawback_due(
            earned=row.amount,
            already=row.clawed,
            refunded_fen=order.taken_back_fen,
            total_fen=order.total_fen,
        )
        for row in lots
    }
    note = Note(order_id=order.order_id)
    taken = await take_back(tx, sheet, owner, dues, note)
    await close_sheet(tx, sheet)
    return taken


async def follow_order(tx: Tx, order: OrderFacts) -> None:
    """Bring the ledger up to what is known of an order, in whatever order its facts arrive.

    What the reactions to order events call: earns and dates by `earn_for_order`, then takes back
    by `claw_back_order`. Doing it again changes nothing.
    """
    await earn_for_order(tx, order)
    await claw_back_order(tx, order)


async def reverse(
    tx: Tx,
    *,
    member_id: UUID,
    rule: str,
    subject: str,
    reason: str,
    currency: Currency = Currency.POINTS,
    actor_id: UUID | None = None,
) -> int:
    """Take back all that was earned by a rule for a subject; answers how much, 0 the second time.

    As with refunds: from the lot itself, then from others, then as debt.
    """
    sheet = await open_sheet(tx, currency, [member_id])
    member_id = sheet.of(member_id)
    lots = await tx.session.execute(
        select(Lot.id, Lot.amount - Lot.clawed).where(
            Lot.member_id == member_id,
            Lot.currency == currency,
            Lot.rule == rule,
            Lot.subject == subject,
        )
    )
    dues = {row[0]: row[1] for row in lots}
    note = Note(actor_id=actor_id, reason=reason)
    taken = await take_back(tx, sheet, member_id, dues, note)
    await close_sheet(tx, sheet)
    return taken


async def take_back(
    tx: Tx, sheet: Sheet, member_id: UUID, dues: Mapping[UUID, int], note: Note
) -> int:
    """Take so much of each of these lots back, as refunds do; answers how much in all."""
    wanted = sum(dues.values())
    if not wanted:
        return 0
    await tx.session.execute(
        _MARK, {"member": member_id, "lots": list(dues), "dues": list(dues.values())}
    )
    found = await draw(
        tx, sheet, EntryKind.CLAWBACK, {member_id: wanted}, note=note, own=list(dues)
    )
    drawn = found.get(member_id)
    short = wanted - (drawn.active + drawn.pending if drawn else 0)
    if short:
        await tx.session.execute(
            insert(Entry).values(
                member_id=member_id,
                currency=sheet.currency,
                kind=EntryKind.DEBT,
                amount=short,
                debt_delta=short,
                order_id=note.order_id,
                actor_id=note.actor_id,
                reason=note.reason,
                at=tx.now,
            )
        )
        sheet.move(member_id, EntryKind.DEBT, debt=short)
    return wanted
