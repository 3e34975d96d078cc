"""The command that makes two members' accounts one."""

from uuid import UUID

from sqlalchemy import text, update

from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.points.clawback import take_back
from app.points.invitations import merge_invitations
from app.points.ledger import Note, Sheet, close_sheet, open_sheet, settle, widen
from app.points.queries import heir_of
from app.points.tables import Account, Currency, EntryKind

# Lots move with all they are: what was given once for a subject is not given again, what may be
# taken back later is found. A lot keeps its id under its new owner; what stays behind is empty,
# for the entries that name it. Seq numbers are drawn for the side that gives, then for the other.
_MOVE_LOTS = text("""
WITH old AS MATERIALIZED (
    SELECT * FROM points_lot
    WHERE member_id = :giver AND currency = CAST(:currency AS text)
), summed AS MATERIALIZED (
    SELECT nextval(pg_get_serial_sequence('points_entry', 'seq')) AS given,
        nextval(pg_get_serial_sequence('points_entry', 'seq')) AS taken,
        CAST(active AS bigint) AS active, CAST(pending AS bigint) AS pending
    FROM (
        SELECT coalesce(sum(remaining) FILTER (WHERE status = 'ACTIVE'), 0) AS active,
            coalesce(sum(remaining) FILTER (WHERE status = 'PENDING'), 0) AS pending
        FROM old) AS s
    WHERE active + pending > 0
), copies AS (
    INSERT INTO points_lot (member_id, id, currency, source, rule, subject, order_id,
        order_line_id, episode_id, parent_id, amount, remaining, clawed, status, earned_at,
        available_at, expires_at)
    SELECT :taker, id, currency, source, rule, CASE WHEN EXISTS (
            SELECT FROM points_lot o WHERE o.member_id = :taker AND o.currency = old.currency
                AND o.rule = old.rule AND o.subject = old.subject)
            THEN subject || ' of ' || CAST(:giver AS uuid) ELSE subject END,
        order_id, order_line_id, episode_id, parent_id, amount, remaining, clawed, status,
        earned_at, available_at, expires_at
    FROM old
), husks AS (
    UPDATE points_lot l SET remaining = 0, status = 'EXHAUSTED'
    FROM old WHERE l.member_id = old.member_id AND l.id = old.id AND old.remaining > 0
), entries AS (
    INSERT INTO points_entry (member_id, seq, currency, kind, amount, active_delta,
        pending_delta, subject, at)
    SELECT :giver, given, CAST(:currency AS text), 'MERGE', active + pending, -active, -pending,
        CAST(CAST(:taker AS uuid) AS text), CAST(:now AS timestamptz) FROM summed
    UNION ALL
    SELECT :taker, taken, CAST(:currency AS text), 'MERGE', active + pending, active, pending,
        CAST(CAST(:giver AS uuid) AS text), CAST(:now AS timestamptz) FROM summed
), allocations AS (
    INSERT INTO points_allocation (member_id, entry_seq, lot_id, amount)
    SELECT :giver, given, id, remaining FROM old, summed WHERE remaining > 0
    UNION ALL
    SELECT :taker, taken, id, remaining FROM old, summed WHERE remaining > 0
)
SELECT active, pending FROM summed
""")

# A debt is no lot: its entries have no allocations.
_MOVE_DEBT = text("""
INSERT INTO points_entry (member_id, currency, kind, amount, debt_delta, subject, at)
SELECT m.member_id, CAST(:currency AS text), 'MERGE', CAST(:debt AS bigint), m.debt,
    'debt of ' || CAST(:giver AS uuid), CAST(:now AS timestamptz)
FROM (VALUES (CAST(:giver AS uuid), -CAST(:debt AS bigint)),
    (CAST(:taker AS uuid), CAST(:debt AS bigint))) AS m(member_id, debt)
""")

# An order that was reported under both is one order, and stays where it was: what the survivor's
# earned stands, what this one did is taken back, unless the survivor's has earned nothing.
_EARNED_TWICE = text("""
SELECT l.id, l.amount - l.clawed AS due
FROM member_order o
JOIN member_order own ON own.member_id = :taker AND own.source = o.source
    AND own.order_no = o.order_no
JOIN points_lot l ON l.member_id = :taker AND l.order_id = o.id
    AND l.currency = CAST(:currency AS text) AND l.amount > l.clawed
WHERE o.member_id = :giver AND EXISTS (
    SELECT FROM points_lot e WHERE e.member_id = :taker AND e.order_id = own.id
        AND e.currency = l.currency AND e.rule = l.rule)
""")

# A day on which both checked in stays with each; the other days make one person's record.
_MOVE_CHECK_INS = text("""
UPDATE check_in c SET member_id = :taker
WHERE c.member_id = :giver AND NOT EXISTS (
    SELECT FROM check_in o WHERE o.member_id = :taker AND o.day = c.day)
""")
_COUNT_STREAKS = text("""
UPDATE check_in c SET streak = r.streak
FROM (
    SELECT day, row_number() OVER (PARTITION BY run ORDER BY day) AS streak
    FROM (
        SELECT day, day - CAST(row_number() OVER (ORDER BY day) AS int) AS run
        FROM check_in WHERE member_id = :taker) AS days
) AS r
WHERE c.member_id = :taker AND c.day = r.day AND c.streak <> r.streak
""")


async def merge(tx: Tx, from_id: UUID, into_id: UUID) -> None:
    """Make the accounts of two members, who turned out to be one person, the second one's.

    Every lot moves with its expiry, its order and what was taken back of it, by a MERGE entry on
    either side; debts are added up and then settled from what there is; the check-ins of both make
    one record, whose streaks are counted anew, while what they brought stays; an invitation of the
    one by the other is void, and what one order brought under both identities stays once. From then
    on whatever is booked for the first member is booked for the second. Doing it again changes
    nothing. Raises InvalidInput for one member twice, or for two that were merged the other way.
    """
    taker = await heir_of(tx, into_id)
    if taker == from_id:
        raise InvalidInput(field="intoId", reason="another member", reason_zh="须为另一会员")
    if await heir_of(tx, from_id) != from_id:
        return
    await merge_invitations(tx, from_id, taker)
    for currency in Currency:
        sheet = await open_sheet(tx, currency, [from_id])
        if sheet.of(from_id) != from_id:
            return
        await widen(tx, sheet, [taker])
        await _move(tx, sheet, from_id, sheet.of(taker))
    await tx.session.execute(_MOVE_CHECK_INS, {"giver": from_id, "taker": taker})
    await tx.session.execute(_COUNT_STREAKS, {"taker": taker})


async def _move(tx: Tx, sheet: Sheet, giver: UUID, taker: UUID) -> None:
    given = {
        "giver": giver,
        "taker": taker,
        "currency": sheet.currency.value,
        "now": tx.now,
    }
    moved = (await tx.session.execute(_MOVE_LOTS, given)).first()
    if moved is not None:
        active, pending = moved
        sheet.move(giver, EntryKind.MERGE, active=-active, pending=-pending)
        sheet.move(taker, EntryKind.MERGE, active=active, pending=pending)
    debt = sheet.totals[giver].debt
    if debt:
        await tx.session.execute(_MOVE_DEBT, {**given, "debt": debt})
        sheet.move(giver, EntryKind.MERGE, debt=-debt)
        sheet.move(taker, EntryKind.MERGE, debt=debt)
    twice = await tx.session.execute(_EARNED_TWICE, given)
    dues = {row.id: row.due for row in twice}
    await take_back(tx, sheet, taker, dues, Note(reason="one order under both identities"))
    await settle(tx, sheet)
    await close_sheet(tx, sheet)
    await tx.session.execute(
        update(Account)
        .where(Account.member_id == giver, Account.currency == sheet.currency)
        .values(merged_into=taker)
    )
