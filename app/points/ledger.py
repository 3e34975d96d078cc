"""The movements of the ledger, each one statement over any number of accounts.

A command opens a `Sheet` (which locks its accounts and brings them up to the instant), calls
movements, and closes the sheet, which writes the totals and announces the change. Totals are kept
by adding up what the movements did, apart from the lots, so that the audit can compare the two.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row

from app.kernel.db import Tx
from app.points.events import PointsChanged
from app.points.statements import CLOSE, CREDIT, DRAW, EXPIRE, LOCK, LOCK_FREE, MISSING, RELEASE
from app.points.tables import Currency, EntryKind, Source


@dataclass(slots=True)
class Totals:
    """A member's account as the sheet has it."""

    active: int
    pending: int
    debt: int


@dataclass(slots=True)
class Sheet:
    """Locked accounts of one currency with their totals as they change."""

    currency: Currency
    totals: dict[UUID, Totals]
    causes: dict[UUID, EntryKind] = field(default_factory=dict[UUID, EntryKind])
    # Of members who were merged into others: whose account theirs has become.
    heirs: dict[UUID, UUID] = field(default_factory=dict[UUID, UUID])

    def of(self, member_id: UUID) -> UUID:
        """Whose account is a member's: their own, or that of whom they were merged into."""
        while member_id in self.heirs:
            member_id = self.heirs[member_id]
        return member_id

    def move(
        self, member_id: UUID, cause: EntryKind, *, active: int = 0, pending: int = 0, debt: int = 0
    ) -> None:
        """Add what a movement did to a member's totals."""
        totals = self.totals[member_id]
        totals.active += active
        totals.pending += pending
        totals.debt += debt
        # The first movement is what the member did; settling a debt follows from it.
        self.causes.setdefault(member_id, cause)


@dataclass(frozen=True, slots=True)
class Note:
    """Who moved points and why, and what makes the movement unique of its kind."""

    subject: str | None = None
    order_id: UUID | None = None
    actor_id: UUID | None = None
    reason: str | None = None


NO_NOTE = Note()


@dataclass(frozen=True, slots=True)
class Grant:
    """A lot to be: `available_at` null waits for the order's settlement."""

    id: UUID
    member_id: UUID
    source: Source
    rule: str
    subject: str | None
    amount: int
    earned_at: datetime
    available_at: datetime | None
    expires_at: datetime | None
    order_id: UUID | None = None
    order_line_id: UUID | None = None
    episode_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a movement took from a member's lots, by what they were."""

    seq: int
    active: int
    pending: int


async def open_sheet(
    tx: Tx, currency: Currency, member_ids: Iterable[UUID], *, waiting: bool = True
) -> Sheet:
    """Lock the members' accounts in key order, release and expire what is due by now.

    Of a member who was merged it is the account of whom they were merged into: see `Sheet.of`.
    Not `waiting`, it leaves out the accounts that others hold.
    """
    sheet = Sheet(currency, {})
    await widen(tx, sheet, member_ids, waiting=waiting)
    return sheet


async def widen(tx: Tx, sheet: Sheet, member_ids: Iterable[UUID], *, waiting: bool = True) -> None:
    """Add accounts to the sheet as `open_sheet` does.

    Whoever waited for an account while it was merged goes on to the heir's. So those who merge
    take the account that ends before its heir, whichever key is the lower, and those who take
    many at once and can come again do not wait: else each could wait for the other.
    """
    wanted, due = set(member_ids) - sheet.totals.keys(), list[UUID]()
    while wanted:
        for row in await _locked(tx, sheet.currency, sorted(wanted), waiting):
            if row.merged_into is not None:
                sheet.heirs[row.member_id] = row.merged_into
                continue
            sheet.totals[row.member_id] = Totals(row.active, row.pending, row.debt)
            if row.due:
                due.append(row.member_id)
        wanted = {sheet.of(one) for one in wanted} - sheet.totals.keys() - wanted
    if due:
        await release(tx, sheet, due)
        await settle(tx, sheet)
        await expire(tx, sheet, due)


async def _locked(
    tx: Tx, currency: Currency, members: list[UUID], waiting: bool
) -> "Sequence[Row[Any]]":
    given = {"currency": currency.value, "members": members, "now": tx.now}
    if not waiting:
        return (await tx.session.execute(LOCK_FREE, given)).all()
    rows = (await tx.session.execute(LOCK, given)).all() if len(members) == 1 else []
    if len(rows) < len(members):
        await tx.session.execute(MISSING, given)
        rows = (await tx.session.execute(LOCK, given)).all()
    return rows


async def close_sheet(tx: Tx, sheet: Sheet) -> None:
    """Write the totals that changed and announce them; without a change nothing happens."""
    changed = {key: sheet.totals[key] for key in sheet.causes}
    if not changed:
        return
    await tx.session.execute(
        CLOSE,
        {
            "currency": sheet.currency.value,
            "members": list(changed),
            "active": [totals.active for totals in changed.values()],
            "pending": [totals.pending for totals in changed.values()],
            "debt": [totals.debt for totals in changed.values()],
            "now": tx.now,
        },
    )
    for member_id, totals in changed.items():
        tx.emit(
            PointsChanged(
                member_id=member_id,
                currency=sheet.currency.value,
                cause=sheet.causes[member_id].value,
                balance=totals.active,
                pending=totals.pending,
                debt=totals.debt,
            )
        )


async def credit(
    tx: Tx,
    sheet: Sheet,
    grants: Sequence[Grant],
    *,
    kind: EntryKind = EntryKind.EARN,
    note: Note = NO_NOTE,
) -> set[UUID]:
    """Make the lots whose subject was not rewarded yet; answers the ids of those made.

    Two grants of one call must differ in rule, subject or episode.
    """
    if not grants:
        return set()
    rows = await tx.session.execute(
        CREDIT,
        {
            # Ids read from the database are of the driver's own subclass of UUID: hence `default`.
            "grants": orjson.dumps([asdict(one) for one in grants], default=str).decode(),
            "currency": sheet.currency.value,
            "kind": kind.value,
            "subject": note.subject,
            "actor": note.actor_id,
            "reason": note.reason,
            "now": tx.now,
        },
    )
    made: set[UUID] = set()
    for row in rows:
        made.add(row.id)
        active, pending = (row.amount, 0) if row.ready else (0, row.amount)
        sheet.move(row.member_id, kind, active=active, pending=pending)
    await settle(tx, sheet)
    return made


async def release(tx: Tx, sheet: Sheet, member_ids: Sequence[UUID]) -> None:
    """Make pending lots active whose refund window has closed."""
    given = {"currency": sheet.currency.value, "members": member_ids, "now": tx.now}
    for row in await tx.session.execute(RELEASE, given):
        sheet.move(row.member_id, EntryKind.RELEASE, active=row.part, pending=-row.part)


async def expire(tx: Tx, sheet: Sheet, member_ids: Sequence[UUID]) -> None:
    """End active lots whose expiry has come; the instant itself is already too late."""
    given = {"currency": sheet.currency.value, "members": member_ids, "now": tx.now}
    for row in await tx.session.execute(EXPIRE, given):
        sheet.move(row.member_id, EntryKind.EXPIRE, active=-row.part)


async def draw(
    tx: Tx,
    sheet: Sheet,
    kind: EntryKind,
    wanted: Mapping[UUID, int],
    *,
    note: Note = NO_NOTE,
    own: Sequence[UUID] = (),
) -> dict[UUID, Drawn]:
    """Take up to so many points from each member's lots; answers what was there to take.

    Lots named in `own` come first, even pending ones; then soonest expiry, then oldest.
    """
    rows = await tx.session.execute(
        DRAW,
        {
            "currency": sheet.currency.value,
            "kind": kind.value,
            "members": list(wanted),
            "amounts": list(wanted.values()),
            "own": list(own),
            "subject": note.subject,
            "order": note.order_id,
            "actor": note.actor_id,
            "reason": note.reason,
            "now": tx.now,
        },
    )
    drawn: dict[UUID, Drawn] = {}
    for row in rows:
        debt = -row.active if kind is EntryKind.SETTLE else 0
        sheet.move(row.member_id, kind, active=-row.active, pending=-row.pending, debt=debt)
        drawn[row.member_id] = Drawn(row.seq, row.active, row.pending)
    return drawn


async def settle(tx: Tx, sheet: Sheet) -> None:
    """Pay debts from active points, so that no account has both."""
    owed = {
        key: min(totals.debt, totals.active)
        for key, totals in sheet.totals.items()
        if totals.debt and totals.active
    }
    if owed:
        await draw(tx, sheet, EntryKind.SETTLE, owed)
