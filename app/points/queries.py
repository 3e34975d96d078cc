"""Batched reads of balances and entries, and the audit of the ledger."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select, text, tuple_
from sqlalchemy.dialects.postgresql import distinct_on

from app.kernel.batched import Ask, Batched
from app.kernel.clock import DEFAULT_ZONE
from app.kernel.db import Read
from app.kernel.statements import Lines
from app.members import Community, Member, MemberNotFound, MemberStatus
from app.points.rules import EXPIRING_SOON
from app.points.tables import CheckIn, Currency, EntryKind, Lot, Source


@dataclass(frozen=True, slots=True)
class Balance:
    """What a member has in one currency; `expiring_soon` of `balance` ends within 30 days."""

    currency: Currency
    balance: int = 0
    pending: int = 0
    debt: int = 0
    expiring_soon: int = 0
    next_expiry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Balances:
    """A member's balances in every currency."""

    points: Balance
    carbon: Balance


@dataclass(frozen=True, slots=True)
class EntriesKey:
    """Which entries of a member's account: the newest `first` before the entry `before`."""

    member_id: UUID
    currency: Currency
    first: int
    before: int | None = None


@dataclass(frozen=True, slots=True)
class EntryLine:
    """One movement as the member sees it: `amount` is signed, by what it did to them."""

    seq: int
    kind: EntryKind
    amount: int
    source: Source | None
    reason: str | None
    order_id: UUID | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Place:
    """Where a member is: in which zone their days run and what their community has set."""

    zone: str
    settings: dict[str, Any]
    active: bool


# For members of whom nothing is known.
NOWHERE = Place(DEFAULT_ZONE, {}, active=False)


# The account's row knows what commands and nightly jobs have done so far; lots whose instant has
# come meanwhile are counted in or out here, so that a reader is never an hour behind.
_BALANCES = Lines(
    """
SELECT a.member_id, a.currency, a.active, a.pending, a.debt, l.matured, l.overdue, l.soon, l.next
FROM points_account a LEFT JOIN LATERAL (
    SELECT
        coalesce(sum(remaining) FILTER (WHERE status = 'PENDING' AND available_at <= :now), 0)
            ::bigint AS matured,
        coalesce(sum(remaining) FILTER (WHERE status = 'ACTIVE' AND expires_at <= :now), 0)
            ::bigint AS overdue,
        coalesce(sum(remaining) FILTER (WHERE status = 'ACTIVE' AND expires_at > :now
            AND expires_at <= :soon), 0)::bigint AS soon,
        min(expires_at) FILTER (WHERE status = 'ACTIVE' AND expires_at > :now) AS next
    FROM points_lot
    WHERE member_id = a.member_id AND currency = a.currency AND status IN ('PENDING', 'ACTIVE')
) l ON true
WHERE a.member_id = ANY(CAST(:members AS uuid[]))
""",
    "member_id currency active pending debt matured overdue soon next",
)

_ENTRIES = Lines(
    """
SELECT k.n, e.seq, e.kind, e.source, e.reason, e.order_id, e.at,
    CASE WHEN e.debt_delta > 0 OR e.active_delta + e.pending_delta < 0
        THEN -e.amount ELSE e.amount END AS amount
FROM unnest(CAST(:members AS uuid[]), CAST(:currencies AS text[]), CAST(:firsts AS bigint[]),
    CAST(:befores AS bigint[])) WITH ORDINALITY AS k(member_id, currency, first, before, n)
JOIN LATERAL (
    SELECT * FROM points_entry
    WHERE member_id = k.member_id AND currency = k.currency
        AND (k.before IS NULL OR seq < k.before)
    ORDER BY seq DESC LIMIT k.first
) e ON true
ORDER BY k.n, e.seq DESC
""",
    "n seq kind source reason order_id at amount",
)


def _balances(rows: list[Mapping[str, Any]], members: list[UUID]) -> dict[UUID, Balances]:
    found: dict[tuple[UUID, str], Balance] = {}
    for row in rows:
        settled = min(row["debt"], row["matured"])
        found[row["member_id"], row["currency"]] = Balance(
            currency=Currency(row["currency"]),
            balance=int(row["active"] - row["overdue"] + row["matured"] - settled),
            pending=int(row["pending"] - row["matured"]),
            debt=int(row["debt"] - settled),
            expiring_soon=int(row["soon"]),
            next_expiry_at=row["next"],
        )
    return {
        key: Balances(
            found.get((key, Currency.POINTS.value)) or Balance(Currency.POINTS),
            found.get((key, Currency.CARBON.value)) or Balance(Currency.CARBON),
        )
        for key in members
    }


# Every member's balances as of the read's instant; members without an account have zeros.
balances_by_member: Batched[UUID, Balances] = Batched(
    lambda keys, now: Ask(_BALANCES, {"members": keys, "now": now, "soon": now + EXPIRING_SOON}),
    _balances,
)


def _lines(
    rows: list[Mapping[str, Any]], wanted: list[EntriesKey]
) -> dict[EntriesKey, list[EntryLine]]:
    found: dict[EntriesKey, list[EntryLine]] = {key: [] for key in wanted}
    for row in rows:
        source = row["source"]
        found[wanted[row["n"] - 1]].append(
            EntryLine(
                seq=row["seq"],
                kind=EntryKind(row["kind"]),
                amount=row["amount"],
                source=None if source is None else Source(source),
                reason=row["reason"],
                order_id=row["order_id"],
                at=row["at"],
            )
        )
    return found


def _ask_entries(keys: list[EntriesKey], _: datetime) -> Ask:
    return Ask(
        _ENTRIES,
        {
            "members": [key.member_id for key in keys],
            "currencies": [key.currency.value for key in keys],
            "firsts": [key.first for key in keys],
            "befores": [key.before for key in keys],
        },
    )


# The newest entries of each account, newest first; ask for one more to know of a next page.
entries_by_member: Batched[EntriesKey, list[EntryLine]] = Batched(_ask_entries, _lines)


async def places_by_member(read: Read, keys: Iterable[UUID]) -> dict[UUID, Place]:
    """Zone and settings of each member's community; unknown members are absent."""
    rows = await read.session.execute(
        select(Member.id, Community.time_zone, Community.settings, Member.status)
        .join(Community, Community.id == Member.community_id)
        .where(Member.id.in_(list(keys)))
    )
    return {
        row.id: Place(
            row.time_zone or DEFAULT_ZONE, row.settings, row.status is MemberStatus.ACTIVE
        )
        for row in rows
    }


async def place_of(read: Read, member_id: UUID) -> Place:
    """Zone and settings of one member's community. Raises MemberNotFound."""
    place = (await places_by_member(read, [member_id])).get(member_id)
    if place is None:
        raise MemberNotFound()
    return place


_HEIR = text("""
WITH RECURSIVE line AS (
    SELECT CAST(:member AS uuid) AS member_id, 0 AS step
    UNION ALL
    SELECT a.merged_into, line.step + 1 FROM line
    JOIN points_account a ON a.member_id = line.member_id AND a.currency = 'POINTS'
    WHERE a.merged_into IS NOT NULL
)
SELECT member_id FROM line ORDER BY step DESC LIMIT 1
""")
_INVITED_BY = text("""
WITH RECURSIVE line AS (
    SELECT CAST(:member AS uuid) AS member_id
    UNION
    SELECT i.inviter_id FROM line JOIN invitation i ON i.member_id = line.member_id
    WHERE i.state <> 'VOID'
)
SELECT member_id FROM line
""")


async def heir_of(read: Read, member_id: UUID) -> UUID:
    """Whose account a member's has become by merging; their own if it has not."""
    return await read.session.scalar(_HEIR, {"member": member_id}) or member_id


async def invited_by(read: Read, member_id: UUID) -> set[UUID]:
    """The member, who invited them, who invited those, and so on."""
    return set(await read.session.scalars(_INVITED_BY, {"member": member_id}))


async def last_check_in(read: Read, keys: Iterable[UUID]) -> dict[UUID, CheckIn]:
    """Each member's latest check-in; members who never did are absent."""
    rows = await read.session.scalars(
        select(CheckIn)
        .ext(distinct_on(CheckIn.member_id))
        .where(CheckIn.member_id.in_(list(keys)))
        .order_by(CheckIn.member_id, CheckIn.day.desc())
    )
    return {row.member_id: row for row in rows}


async def lots_by_order(
    read: Read, keys: Iterable[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], list[Lot]]:
    """The lots earned by orders, by `(member_id, order_id)`, as they are now."""
    query: Select[Lot] = select(Lot).where(tuple_(Lot.member_id, Lot.order_id).in_(list(keys)))
    found: dict[tuple[UUID, UUID], list[Lot]] = {}
    rows = await read.session.scalars(
        query.order_by(Lot.id).execution_options(populate_existing=True)
    )
    for lot in rows:
        if lot.order_id is not None:
            found.setdefault((lot.member_id, lot.order_id), []).append(lot)
    return found
