"""Batched reads of tiers, standings and runs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import cast
from uuid import UUID

from sqlalchemy import and_, any_, func, select, tuple_

from app.kernel.batched import Ask, Batched
from app.kernel.clock import DEFAULT_ZONE
from app.kernel.db import Read
from app.kernel.statements import Rows, ids
from app.members import Community, Member
from app.tiers.errors import TiersMissing
from app.tiers.tables import MoveKind, Standing, StandingState, Tier, TierChange, TierMove, TierRun

# Every tier, beside each the standings of those members who are in it.
_STANDINGS = Rows(
    select(Tier, Standing)
    .outerjoin(
        Standing, and_(Standing.tier_code == Tier.code, Standing.member_id == any_(ids("ids")))
    )
    .order_by(Tier.rank),
    only={Standing: ("member_id", "tier_code", "growth", "state", "since", "grace_until")},
)


@dataclass(frozen=True, slots=True)
class MemberTier:
    """A member's tier; members without a standing are in the lowest tier since they joined."""

    tier: Tier
    growth: int
    state: StandingState
    since: datetime | None
    grace_until: datetime | None
    next: Tier | None


@dataclass(frozen=True, slots=True)
class MoveCount:
    """How many members a run moves alike."""

    kind: MoveKind
    from_code: str
    to_code: str
    members: int


async def all_tiers(read: Read) -> list[Tier]:
    """Every tier, lowest first."""
    return list(await read.session.scalars(select(Tier).order_by(Tier.rank)))


async def tiers_by_code(read: Read, keys: Iterable[str]) -> dict[str, Tier]:
    """Tiers by code; unknown codes are absent."""
    rows = await read.session.scalars(select(Tier).where(Tier.code.in_(list(keys))))
    return {row.code: row for row in rows}


def _places(rows: list[tuple[Tier, Standing]], members: list[UUID]) -> dict[UUID, MemberTier]:
    tiers: list[Tier] = []
    standings: dict[UUID, Standing] = {}
    for tier, of_one in rows:
        # A tier that none of them is in stands alone.
        standing = cast("Standing | None", of_one)
        if not tiers or tiers[-1].code != tier.code:
            tiers.append(tier)
        if standing is not None:
            standings[standing.member_id] = standing
    if not tiers:
        raise TiersMissing()
    places = {tier.code: place for place, tier in enumerate(tiers)}
    found: dict[UUID, MemberTier] = {}
    for key in members:
        row = standings.get(key)
        place = places[row.tier_code] if row else 0
        found[key] = MemberTier(
            tier=tiers[place],
            growth=row.growth if row else 0,
            state=row.state if row else StandingState.STEADY,
            since=row.since if row else None,
            grace_until=row.grace_until if row else None,
            next=tiers[place + 1] if place + 1 < len(tiers) else None,
        )
    return found


# Each member's tier, growth and next tier. Raises TiersMissing on an empty installation.
by_member: Batched[UUID, MemberTier] = Batched(
    lambda keys, _: Ask(_STANDINGS, {"ids": keys}), _places
)


async def changes_by_member(
    read: Read, keys: Iterable[UUID], *, last: int = 20
) -> dict[UUID, list[TierChange]]:
    """Each member's latest changes of tier, newest first."""
    numbered = (
        select(
            TierChange.member_id,
            TierChange.seq,
            func.row_number()
            .over(partition_by=TierChange.member_id, order_by=TierChange.seq.desc())
            .label("n"),
        )
        .where(TierChange.member_id.in_(list(keys)))
        .subquery()
    )
    wanted = select(numbered.c.member_id, numbered.c.seq).where(numbered.c.n <= last)
    rows = await read.session.scalars(
        select(TierChange)
        .where(tuple_(TierChange.member_id, TierChange.seq).in_(wanted))
        .order_by(TierChange.seq.desc())
    )
    found: dict[UUID, list[TierChange]] = {}
    for row in rows:
        found.setdefault(row.member_id, []).append(row)
    return found


async def standing_counts(read: Read) -> dict[str, int]:
    """How many members stand in each tier; those never judged stand in the lowest."""
    tiers = await all_tiers(read)
    rows = await read.session.execute(
        select(Standing.tier_code, func.count()).group_by(Standing.tier_code)
    )
    found = {tier.code: 0 for tier in tiers} | {row[0]: row[1] for row in rows}
    everyone = await read.session.scalar(select(func.count()).select_from(Member)) or 0
    if tiers:
        found[tiers[0].code] += everyone - sum(found.values())
    return found


async def zones(read: Read) -> list[str]:
    """The time zones of all communities: each has a run of its own every month."""
    found = select(Community.time_zone).distinct().order_by(Community.time_zone)
    return list(await read.session.scalars(found))


async def zones_by_member(read: Read, keys: Iterable[UUID]) -> dict[UUID, str]:
    """The time zone of each member's community; unknown members are absent."""
    rows = await read.session.execute(
        select(Member.id, Community.time_zone)
        .join(Community, Community.id == Member.community_id)
        .where(Member.id.in_(list(keys)))
    )
    return {row[0]: row[1] for row in rows}


async def run_of(read: Read, month: date, zone: str = DEFAULT_ZONE) -> TierRun | None:
    """A month's run of a zone, if it has begun."""
    return await read.session.get(TierRun, (month, zone))


async def move_counts(read: Read, month: date, zone: str | None = None) -> list[MoveCount]:
    """How many members a month's run of a zone, or of all, moves, by kind and tiers."""
    query = (
        select(TierMove.kind, TierMove.from_code, TierMove.to_code, func.count())
        .where(TierMove.month == month)
        .group_by(TierMove.kind, TierMove.from_code, TierMove.to_code)
        .order_by(TierMove.kind, TierMove.from_code, TierMove.to_code)
    )
    if zone is not None:
        query = query.where(TierMove.zone == zone)
    rows = await read.session.execute(query)
    return [MoveCount(row[0], row[1], row[2], row[3]) for row in rows]


async def moves(
    read: Read,
    month: date,
    *,
    zone: str | None = None,
    kind: MoveKind | None = None,
    first: int = 20,
    after: UUID | None = None,
) -> Sequence[TierMove]:
    """Some of a month's moves, in the order of members, those after one of them.

    Of one zone's run, or of all.
    """
    query = select(TierMove).where(TierMove.month == month).order_by(TierMove.member_id)
    if zone is not None:
        query = query.where(TierMove.zone == zone)
    if kind is not None:
        query = query.where(TierMove.kind == kind)
    if after is not None:
        query = query.where(TierMove.member_id > after)
    return list(await read.session.scalars(query.limit(first)))
