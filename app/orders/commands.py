"""What partner systems report is stored: every good row exactly once, whatever else is wrong."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import text

from app import members
from app.kernel.crypto import Vault
from app.kernel.db import Tx
from app.orders.errors import BadSource, BatchTooLarge
from app.orders.events import BrowseSeen
from app.orders.recording import Row, record_wave
from app.orders.reports import (
    LARGEST_BATCH,
    Complaint,
    ReportedEvent,
    ReportedOrder,
    Verdict,
    VerdictStatus,
    Whose,
)
from app.orders.rules import fault_of_event, fault_of_order, is_storable
from app.orders.tables import ActivityKind

_STORE_EVENTS = text(
    """
    INSERT INTO activity (member_id, event_id, at, kind, seconds, channel, sku, category,
                          app_version, touchpoint)
    SELECT * FROM unnest(
      CAST(:member_id AS uuid[]), CAST(:event_id AS text[]), CAST(:at AS timestamptz[]),
      CAST(:kind AS text[]), CAST(:seconds AS integer[]), CAST(:channel AS text[]),
      CAST(:sku AS text[]), CAST(:category AS text[]), CAST(:app_version AS text[]),
      CAST(:touchpoint AS text[]))
    ON CONFLICT DO NOTHING
    RETURNING member_id, event_id
    """
)
_EVENT_FIELDS = (
    "event_id",
    "at",
    "kind",
    "seconds",
    "channel",
    "sku",
    "category",
    "app_version",
    "touchpoint",
)


async def record_orders(
    tx: Tx, *, vault: Vault, source: str, rows: Sequence[ReportedOrder]
) -> list[Verdict]:
    """Store reported orders of one source, or move them forward; one verdict a row, in order.

    A bad row is rejected with its reason and sinks no other. An order that comes again never moves
    back, its refunds add up, each counted once by its number. Raises BatchTooLarge, BadSource.
    """
    _require_size(rows)
    if not source.strip() or len(source) > 64 or not is_storable(source):
        raise BadSource()
    verdicts: dict[int, Verdict] = {}
    owners = await _owners(tx, vault, [row.whose for row in rows])
    leaders = await members.survivors(
        tx, {row.leader_id for row in rows if row.leader_id is not None}
    )
    waves: dict[int, list[Row]] = defaultdict(list)
    seen: dict[tuple[UUID, str], int] = defaultdict(int)
    for index, (row, owner) in enumerate(zip(rows, owners, strict=True)):
        complaint = fault_of_order(row, tx.now)
        if complaint is None and row.leader_id is not None and row.leader_id not in leaders:
            complaint = Complaint.LEADER_UNKNOWN
        if owner is None or complaint is not None:
            verdicts[index] = _rejected(index, complaint or Complaint.MEMBER_UNKNOWN)
            continue
        # An order that a batch holds twice is stored first, then moved forward.
        wave = seen[owner, row.order_no]
        seen[owner, row.order_no] += 1
        waves[wave].append(Row(index, owner, row))
    for _, wave in sorted(waves.items()):
        verdicts |= {item.index: item for item in await record_wave(tx, source, wave)}
    return [verdicts[index] for index in range(len(rows))]


async def record_events(tx: Tx, *, vault: Vault, rows: Sequence[ReportedEvent]) -> list[Verdict]:
    """Store what members did; one verdict a row, in order.

    An event whose id the member has already is a duplicate. Raises BatchTooLarge.
    """
    _require_size(rows)
    verdicts: dict[int, Verdict] = {}
    owners = await _owners(tx, vault, [row.whose for row in rows])
    fresh: dict[tuple[UUID, str], int] = {}
    for index, (row, owner) in enumerate(zip(rows, owners, strict=True)):
        complaint = fault_of_event(row, tx.now)
        if owner is None or complaint is not None:
            verdicts[index] = _rejected(index, complaint or Complaint.MEMBER_UNKNOWN)
        elif (owner, row.event_id) in fresh:
            verdicts[index] = Verdict(index, VerdictStatus.DUPLICATE)
        else:
            fresh[owner, row.event_id] = index
    stored = await _store_events(tx, {key: rows[index] for key, index in sorted(fresh.items())})
    for key, index in fresh.items():
        status = VerdictStatus.STORED if key in stored else VerdictStatus.DUPLICATE
        verdicts[index] = Verdict(index, status)
    _tell_of_browsing(tx, [(key[0], rows[fresh[key]]) for key in stored])
    return [verdicts[index] for index in range(len(rows))]


async def _store_events(
    tx: Tx, events: dict[tuple[UUID, str], ReportedEvent]
) -> set[tuple[UUID, str]]:
    if not events:
        return set()
    columns: dict[str, list[object]] = {"member_id": [key[0] for key in events]}
    for name in _EVENT_FIELDS:
        columns[name] = [getattr(event, name) for event in events.values()]
    rows = await tx.session.execute(_STORE_EVENTS, columns)
    return {(row.member_id, row.event_id) for row in rows}


def _tell_of_browsing(tx: Tx, stored: Iterable[tuple[UUID, ReportedEvent]]) -> None:
    latest: dict[UUID, ReportedEvent] = {}
    for member_id, event in stored:
        known = latest.get(member_id)
        if event.kind is ActivityKind.BROWSE and (known is None or known.at < event.at):
            latest[member_id] = event
    for member_id, event in latest.items():
        tx.emit(
            BrowseSeen(member_id=member_id, at=event.at, sku=event.sku, category=event.category)
        )


async def _owners(tx: Tx, vault: Vault, wanted: Sequence[Whose]) -> list[UUID | None]:
    """The member of each row, None if unknown."""
    there = await members.survivors(
        tx, {item.member_id for item in wanted if item.member_id is not None}
    )
    values: dict[tuple[members.IdentityKind, str], dict[Whose, str]] = defaultdict(dict)
    for item in wanted:
        value = _normal(item)
        if item.member_id is None and item.kind is not None and value is not None:
            values[item.kind, item.app][item] = value
    found: dict[Whose, UUID] = {}
    for (kind, app), sought in values.items():
        known = await members.by_identities(
            tx, vault=vault, kind=kind, app=app, values=sought.values()
        )
        found |= {item: known[value] for item, value in sought.items() if value in known}
    return [
        found.get(item) if item.member_id is None else there.get(item.member_id) for item in wanted
    ]


def _normal(whose: Whose) -> str | None:
    if whose.kind is members.IdentityKind.PHONE:
        return members.normal_phone(whose.value)
    return whose.value or None


def _rejected(index: int, complaint: Complaint) -> Verdict:
    return Verdict(index, VerdictStatus.REJECTED, complaint)


def _require_size(rows: Sequence[object]) -> None:
    if len(rows) > LARGEST_BATCH:
        raise BatchTooLarge(limit=LARGEST_BATCH)
