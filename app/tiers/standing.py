"""Going up at once, and staff's overrides."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.kernel.text import checked_text
from app.tiers.errors import TierNotFound, TiersMissing
from app.tiers.events import TierChanged
from app.tiers.growth import growth_of
from app.tiers.queries import all_tiers
from app.tiers.tables import ChangeReason, Standing, StandingState, Tier, TierChange

_INSTANT = timedelta(microseconds=1)


async def upgrade_if_due(tx: Tx, *, member_id: UUID) -> str | None:
    """Move a member up at once if their growth has reached a higher tier; answers its code.

    Called when growth settles (an order settled, a check-in). Never moves anyone down, and
    nobody while staff have put them into a tier by hand. Raises TiersMissing.
    """
    return (await upgrade_due(tx, member_ids=[member_id])).get(member_id)


async def upgrade_due(tx: Tx, *, member_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Move each of these members up whose growth allows it; answers the new codes of those moved.

    Growth up to and including this instant counts. Raises TiersMissing.
    """
    members = sorted(set(member_ids))
    tiers = await all_tiers(tx)
    if not tiers:
        raise TiersMissing()
    standings = await locked_standings(tx, members, tiers[0])
    growth = growth_of(tx.now + _INSTANT, lambda column: column.in_(members))
    found = {row[0]: row[1] for row in await tx.session.execute(growth)}
    ranks = {tier.code: tier.rank for tier in tiers}
    moved: dict[UUID, str] = {}
    for member_id in members:
        standing, reached = standings[member_id], found.get(member_id, 0)
        standing.growth, standing.growth_at = reached, tx.now
        earned = _highest(tiers, reached)
        by_hand = standing.override_until is not None and standing.override_until > tx.now
        if not by_hand and earned.rank > ranks[standing.tier_code]:
            _change(tx, standing, earned.code, ChangeReason.GROWTH)
            standing.last_upgrade_at = tx.now
            moved[member_id] = earned.code
    await tx.session.flush()
    return moved


async def override_tier(
    tx: Tx, *, member_id: UUID, tier_code: str, until: datetime, reason: str, actor_id: UUID
) -> Standing:
    """Put a member into a tier by hand until a date; monthly runs leave them alone meanwhile.

    From the end date on the ordinary rules hold again. Raises TierNotFound, TiersMissing,
    InvalidInput for an end that has passed or a reason that is missing.
    """
    why = checked_text(reason, field="reason", longest=200)
    if until <= tx.now:
        raise InvalidInput(field="until", reason="must lie ahead", reason_zh="须晚于现在")
    tiers = await all_tiers(tx)
    if not tiers:
        raise TiersMissing()
    if tier_code not in {tier.code for tier in tiers}:
        raise TierNotFound(tier=tier_code)
    standing = (await locked_standings(tx, [member_id], tiers[0]))[member_id]
    standing.override_until, standing.override_reason, standing.override_by = until, why, actor_id
    _steady(standing)
    if standing.tier_code != tier_code:
        _change(tx, standing, tier_code, ChangeReason.OVERRIDE, actor_id=actor_id, note=why)
    await tx.session.flush()
    return standing


async def end_override(tx: Tx, *, member_id: UUID) -> None:
    """Give a member back to the ordinary rules; their tier stays until these change it."""
    standing = await tx.session.get(Standing, member_id, with_for_update=True)
    if standing is not None:
        standing.override_until = standing.override_reason = standing.override_by = None


async def locked_standings(tx: Tx, members: list[UUID], lowest: Tier) -> dict[UUID, Standing]:
    """Standings of these members, made in the lowest tier where there are none, locked in order."""
    await tx.session.execute(
        insert(Standing)
        .values(
            [
                {"member_id": key, "tier_code": lowest.code, "since": tx.now, "growth_at": tx.now}
                for key in members
            ]
        )
        .on_conflict_do_nothing()
    )
    rows = await tx.session.scalars(
        select(Standing)
        .where(Standing.member_id.in_(members))
        .order_by(Standing.member_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {row.member_id: row for row in rows}


def _change(
    tx: Tx,
    standing: Standing,
    code: str,
    reason: ChangeReason,
    *,
    actor_id: UUID | None = None,
    note: str | None = None,
) -> None:
    tx.session.add(
        TierChange(
            member_id=standing.member_id,
            from_code=standing.tier_code,
            to_code=code,
            reason=reason,
            growth=standing.growth,
            actor_id=actor_id,
            note=note,
            at=tx.now,
        )
    )
    tx.emit(
        TierChanged(
            member_id=standing.member_id,
            from_code=standing.tier_code,
            to_code=code,
            reason=reason.value,
            growth=standing.growth,
        )
    )
    standing.tier_code, standing.since = code, tx.now
    _steady(standing)


def _highest(tiers: Sequence[Tier], growth: int) -> Tier:
    return max(
        (tier for tier in tiers if tier.upgrade_at <= growth),
        key=lambda tier: tier.rank,
        default=tiers[0],
    )


def _steady(standing: Standing) -> None:
    standing.state = StandingState.STEADY
    standing.at_risk_since = standing.grace_until = None
