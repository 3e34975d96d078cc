"""Where members would stand after the next run, if nothing more came: the run's own verdict."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from app.kernel.clock import business_day
from app.kernel.db import Read
from app.tiers.errors import TiersMissing
from app.tiers.growth import growth_of
from app.tiers.queries import MemberTier, all_tiers, by_member
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
    month = following_month(business_day(read.now))
    cutoff = cutoff_of(month)
    places = await by_member(read, members)
    now = growth_of(read.now + _INSTANT, lambda column: column.in_(members))
    growth = {row[0]: row[1] for row in await read.session.execute(now)}
    rows = await read.session.execute(
        verdicts_at(cutoff, tiers, lambda column: column.in_(members))
    )
    verdicts = {row.id: row for row in rows}
    by_code = {tier.code: tier for tier in tiers}
    return {
        member: _projection(
            month, cutoff, places[member], growth.get(member, 0), verdicts.get(member), by_code
        )
        for member in members
    }


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
