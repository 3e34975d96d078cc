"""Batched reads of benefits: the catalogue, what members have left, slots, and past uses."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select, tuple_

from app.kernel.batched import Ask, Batched
from app.kernel.db import Read
from app.kernel.statements import Lines
from app.tiers.rules import left_of, window_ends_at
from app.tiers.tables import (
    Benefit,
    BenefitKind,
    BenefitSlot,
    BenefitUse,
    BenefitWindow,
)

_COLUMNS = (
    "member_id time_zone day code kind name_zh name_en description_zh description_en "
    "needs_booking partner quota window_kind used"
)
# What each member's tier gives, beside it the counter of the present window of its kind.
_HELD = Lines(
    """
SELECT m.id AS member_id, c.time_zone, d.day, b.code, b.kind, b.name_zh, b.name_en,
    b.description_zh, b.description_en, b.needs_booking, b.partner, g.quota, g.window_kind,
    coalesce(e.used, 0) AS used
FROM member m
JOIN community c ON c.id = m.community_id
CROSS JOIN LATERAL (
    SELECT CAST(CAST(:now AS timestamptz) AT TIME ZONE c.time_zone AS date) AS day
) d
LEFT JOIN tier_standing s ON s.member_id = m.id
JOIN tier_benefit g
    ON g.tier_code = coalesce(s.tier_code, (SELECT code FROM tier ORDER BY rank LIMIT 1))
JOIN benefit b ON b.code = g.benefit_code AND b.active
LEFT JOIN entitlement e ON e.member_id = m.id AND e.benefit_code = b.code
    AND e.window_kind = coalesce(g.window_kind, 'LIFETIME')
    AND e.starts_on = CASE WHEN coalesce(g.window_kind, 'LIFETIME') = 'LIFETIME'
        THEN DATE '1970-01-01'
        ELSE CAST(date_trunc(lower(g.window_kind), CAST(d.day AS timestamp)) AS date) END
WHERE m.id = ANY(CAST(:ids AS uuid[]))
ORDER BY m.id, g.place
""",
    _COLUMNS,
)


@dataclass(frozen=True, slots=True)
class HeldBenefit:
    """A benefit as a member has it now. Without a quota `used` is of all time."""

    code: str
    kind: BenefitKind
    name_zh: str
    name_en: str
    description_zh: str
    description_en: str
    needs_booking: bool
    partner: str | None
    quota: int | None
    window: BenefitWindow | None
    used: int
    left: int | None
    window_ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class UsesKey:
    """Up to `size` of a member's uses, those before one of them."""

    member_id: UUID
    size: int
    before: UUID | None


@dataclass(frozen=True, slots=True)
class UseLine:
    """A use with its benefit, and its slot where it is a booking."""

    use: BenefitUse
    benefit: Benefit
    slot: BenefitSlot | None


def _held(row: Mapping[str, Any]) -> HeldBenefit:
    window = None if row["window_kind"] is None else BenefitWindow(row["window_kind"])
    day: date = row["day"]
    return HeldBenefit(
        code=row["code"],
        kind=BenefitKind(row["kind"]),
        name_zh=row["name_zh"],
        name_en=row["name_en"],
        description_zh=row["description_zh"],
        description_en=row["description_en"],
        needs_booking=row["needs_booking"],
        partner=row["partner"],
        quota=row["quota"],
        window=window,
        used=row["used"],
        left=left_of(row["quota"], row["used"]),
        window_ends_at=None if window is None else window_ends_at(window, day, row["time_zone"]),
    )


def _by_member(rows: list[Mapping[str, Any]], members: list[UUID]) -> dict[UUID, list[HeldBenefit]]:
    found: dict[UUID, list[HeldBenefit]] = {member: [] for member in members}
    for row in rows:
        found[row["member_id"]].append(_held(row))
    return found


# What each member's tier gives them, used and left as of now, in the tier's order.
benefits_by_member: Batched[UUID, list[HeldBenefit]] = Batched(
    lambda keys, now: Ask(_HELD, {"ids": keys, "now": now}), _by_member
)


async def uses_by_member(read: Read, keys: Iterable[UsesKey]) -> dict[UsesKey, list[UseLine]]:
    """Members' uses and bookings, latest first."""
    pages: dict[tuple[int, UUID | None], list[UsesKey]] = {}
    for key in keys:
        pages.setdefault((key.size, key.before), []).append(key)
    found: dict[UsesKey, list[UseLine]] = {}
    for (size, before), asked in pages.items():
        of_member = {key.member_id: key for key in asked}
        for line in await _uses(read, list(of_member), size, before):
            found.setdefault(of_member[line.use.member_id], []).append(line)
    return found


async def _uses(read: Read, members: list[UUID], size: int, before: UUID | None) -> list[UseLine]:
    numbered = select(
        BenefitUse.member_id,
        BenefitUse.id,
        func.row_number()
        .over(partition_by=BenefitUse.member_id, order_by=BenefitUse.id.desc())
        .label("n"),
    ).where(BenefitUse.member_id.in_(members))
    if before is not None:
        numbered = numbered.where(BenefitUse.id < before)
    latest = numbered.subquery()
    wanted = select(latest.c.member_id, latest.c.id).where(latest.c.n <= size)
    rows = await read.session.execute(
        select(BenefitUse, Benefit, BenefitSlot)
        .join(Benefit, Benefit.code == BenefitUse.benefit_code)
        .outerjoin(BenefitSlot, BenefitSlot.id == BenefitUse.slot_id)
        .where(tuple_(BenefitUse.member_id, BenefitUse.id).in_(wanted))
        .order_by(BenefitUse.id.desc())
    )
    return [UseLine(use, benefit, slot) for use, benefit, slot in rows]


async def use_line(read: Read, member_id: UUID, use_id: UUID) -> UseLine:
    """A use that is known to be there. Raises NoResultFound."""
    row = await read.session.execute(
        select(BenefitUse, Benefit, BenefitSlot)
        .join(Benefit, Benefit.code == BenefitUse.benefit_code)
        .outerjoin(BenefitSlot, BenefitSlot.id == BenefitUse.slot_id)
        .where(BenefitUse.member_id == member_id, BenefitUse.id == use_id)
    )
    use, benefit, slot = row.one()
    return UseLine(use, benefit, slot)


async def uses_by_member_and_id(
    read: Read, keys: Iterable[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], UseLine]:
    """Uses by member and id; unknown ones are absent."""
    rows = await read.session.execute(
        select(BenefitUse, Benefit, BenefitSlot)
        .join(Benefit, Benefit.code == BenefitUse.benefit_code)
        .outerjoin(BenefitSlot, BenefitSlot.id == BenefitUse.slot_id)
        .where(tuple_(BenefitUse.member_id, BenefitUse.id).in_(list(keys)))
    )
    return {(use.member_id, use.id): UseLine(use, benefit, slot) for use, benefit, slot in rows}


async def slots_by_id(read: Read, keys: Iterable[UUID]) -> dict[UUID, BenefitSlot]:
    """Slots by id; unknown ones are absent."""
    rows = await read.session.scalars(select(BenefitSlot).where(BenefitSlot.id.in_(list(keys))))
    return {row.id: row for row in rows}


async def benefit_page(read: Read, *, first: int, after: str | None = None) -> list[Benefit]:
    """The benefits that are given now, by code; one more than `first` if there are more."""
    query = select(Benefit).where(Benefit.active).order_by(Benefit.code).limit(first + 1)
    if after is not None:
        query = query.where(Benefit.code > after)
    return list(await read.session.scalars(query))


async def slot_page(
    read: Read,
    *,
    benefit_code: str,
    first: int,
    after: tuple[datetime, UUID] | None = None,
    community_id: UUID | None = None,
) -> list[BenefitSlot]:
    """Slots that are to come, soonest first; one more than `first` if there are more.

    With a community those of other communities are left out.
    """
    query = (
        select(BenefitSlot)
        .where(
            BenefitSlot.benefit_code == benefit_code,
            BenefitSlot.starts_at > read.now,
            BenefitSlot.cancelled_at.is_(None),
        )
        .order_by(BenefitSlot.starts_at, BenefitSlot.id)
        .limit(first + 1)
    )
    if after is not None:
        query = query.where(tuple_(BenefitSlot.starts_at, BenefitSlot.id) > tuple_(*after))
    if community_id is not None:
        own = BenefitSlot.community_id
        query = query.where(or_(own.is_(None), own == community_id))
    return list(await read.session.scalars(query))
