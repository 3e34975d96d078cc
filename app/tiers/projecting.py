"""Where members would stand after the next run, if nothing more came: the run's own verdict."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from app.kernel.clock import DEFAULT_ZONE, business_day
from app.kernel.db import Read
from app.tiers.errors import TiersMissing
from app.tiers.growth import growth_of
from app.tiers.queries import MemberTier, all_tiers, by_member, zones_by_member
from app.tiers.rules import cutoff_of, following_month
from app.tiers.tables import MoveKind, StandingState, Tier
from app.tiers.verdicts import verdicts_at

_INSTANT = timedelta(microseconds=1)
_AFTER = {MoveKind.AT_RISK: StandingState.AT_RISK, MoveKind.GRACE: StandingState.GRACE}


@dataclass(frozen=True, slots=True)
class Projection:
    """What the run of the month that follows would find, and what is missing now.

    `growth` is of this instant, `growth_then` what is left of it at the run. `missing_next` is what
    the tier above needs now, `missing_keep` what the run needs to leave the present tier alone.
    """

    month: date
    at: datetime
    growth: int
    growth_then: int
    kind: MoveKind | None
    tier: Tier
    state: StandingState
    present: Tier
    next: Tier | None
    missing_next: int
    missing_keep: int


async def projections(read: Read, keys: Iterable[UUID]) -> dict[UUID, Projection]:
    """Each member's projection. Raises TiersMissing."""
    members = list(keys)
    tiers = await all_tiers(read)
    if not tiers:
        raise TiersMissing()
    places = await by_member(read, members)
    now = growth_of(read.now + _INSTANT, lambda column: column.in_(members))
    growth = {row[0]: row[1] for row in await read.session.execute(now)}
    by_code = {tier.code: tier for tier in tiers}
    found: dict[UUID, Projection] = {}
    for zone, near in (await _by_zone(read, members)).items():
        month = following_month(business_day(read.now, zone))
        cutoff = cutoff_of(month, zone)
        rows = await read.session.execute(
            verdicts_at(cutoff, tiers, lambda column, near=near: column.in_(near))
        )
        verdicts = {row.id: row for row in rows}
        for member in near:
            found[member] = _projection(
                month, cutoff, places[member], growth.get(member, 0), verdicts.get(member), by_code
            )
    return found


async def _by_zone(read: Read, members: list[UUID]) -> dict[str, list[UUID]]:
    """The members by the time zone whose run will judge them."""
    zones = await zones_by_member(read, members)
    found: dict[str, list[UUID]] = {}
    for member in members:
        found.setdefault(zones.get(member, DEFAULT_ZONE), []).append(member)
    return found


def _projection(
    month: date,
    cutoff: datetime,
    place: MemberTier,
    growth: int,
    verdict: Any,
    tiers: dict[str, Tier],
) -> Projection:
    kind = None if verdict is None or verdict.kind is None else MoveKind(verdict.kind)
    to_code = place.tier.code if verdict is None else verdict.to_code
    kept = 0 if verdict is None else verdict.gross
    above = place.next
    return Projection(
        month=month,
        at=cutoff,
        growth=growth,
        growth_then=0 if verdict is None else verdict.growth,
        kind=kind,
        tier=tiers[to_code],
        state=place.state if kind is None else _AFTER.get(kind, StandingState.STEADY),
        present=place.tier,
        next=above,
        missing_next=0 if above is None else max(above.upgrade_at - growth, 0),
        missing_keep=max(place.tier.retain_at - kept, 0),
    )
