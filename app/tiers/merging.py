"""Two members who are one person: the higher tier is kept, and uses of benefits add up."""

from uuid import UUID

from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import aliased

from app.kernel.db import Tx
from app.tiers.booking import HOLDING, give_places_back
from app.tiers.entitling import give_back
from app.tiers.events import TierChanged
from app.tiers.queries import all_tiers
from app.tiers.standing import locked_standings
from app.tiers.tables import (
    BenefitUse,
    ChangeReason,
    Entitlement,
    Standing,
    StandingState,
    TierChange,
    TierNotice,
    UseState,
)

_SAFER = (StandingState.STEADY, StandingState.AT_RISK, StandingState.GRACE)
_ADD_UP = text("""
INSERT INTO entitlement AS e (member_id, benefit_code, window_kind, starts_on, quota, used)
SELECT CAST(:into AS uuid), benefit_code, window_kind, starts_on, quota, used
FROM entitlement WHERE member_id = CAST(:from AS uuid)
ON CONFLICT (member_id, benefit_code, window_kind, starts_on) DO UPDATE SET
    used = e.used + excluded.used,
    -- Together they may have used more than one of them could have.
    quota = CASE WHEN e.used + excluded.used <= e.quota THEN e.quota END
""")


async def merge(tx: Tx, from_id: UUID, into_id: UUID) -> None:
    """Move a member's tier and uses of benefits to another; done again it changes nothing.

    The higher tier is kept with its safety and its override; of one tier the safer standing. The
    changes and moves of the past stay where they were. Of two bookings of one slot one is
    cancelled.
    """
    tiers = await all_tiers(tx)
    known = select(Standing.member_id).where(Standing.member_id == from_id)
    if not tiers or await tx.session.scalar(known) is None:
        return
    standings = await locked_standings(tx, [from_id, into_id], tiers[0])
    ranks = {tier.code: tier.rank for tier in tiers}
    _merge_standing(tx, standings[from_id], standings[into_id], ranks)
    await tx.session.delete(standings[from_id])
    await tx.session.flush()
    await _merge_uses(tx, from_id, into_id)
    await tx.session.execute(_ADD_UP, {"from": from_id, "into": into_id})
    await tx.session.execute(delete(Entitlement).where(Entitlement.member_id == from_id))
    await tx.session.execute(delete(TierNotice).where(TierNotice.member_id == from_id))


def _merge_standing(tx: Tx, gone: Standing, kept: Standing, ranks: dict[str, int]) -> None:
    kept.growth += gone.growth
    kept.last_upgrade_at = max(
        (at for at in (gone.last_upgrade_at, kept.last_upgrade_at) if at is not None), default=None
    )
    if ranks[gone.tier_code] > ranks[kept.tier_code]:
        _raise(tx, kept, gone)
        _copy_safety(gone, kept)
        _copy_override(gone, kept)
    elif gone.tier_code == kept.tier_code:
        if (_SAFER.index(gone.state), -_ends(gone)) < (_SAFER.index(kept.state), -_ends(kept)):
            _copy_safety(gone, kept)
        if gone.override_until is not None and (
            kept.override_until is None or kept.override_until < gone.override_until
        ):
            _copy_override(gone, kept)


def _raise(tx: Tx, kept: Standing, gone: Standing) -> None:
    change = TierChange(
        member_id=kept.member_id,
        from_code=kept.tier_code,
        to_code=gone.tier_code,
        reason=ChangeReason.MERGE,
        growth=kept.growth,
        note=f"merged from {gone.member_id}",
        at=tx.now,
    )
    tx.session.add(change)
    tx.emit(
        TierChanged(
            member_id=kept.member_id,
            from_code=change.from_code,
            to_code=change.to_code,
            reason=change.reason.value,
            growth=change.growth,
        )
    )
    kept.tier_code, kept.since = gone.tier_code, gone.since


def _copy_safety(gone: Standing, kept: Standing) -> None:
    kept.state = gone.state
    kept.at_risk_since, kept.grace_until = gone.at_risk_since, gone.grace_until


def _copy_override(gone: Standing, kept: Standing) -> None:
    kept.override_until = gone.override_until
    kept.override_reason, kept.override_by = gone.override_reason, gone.override_by


def _ends(standing: Standing) -> float:
    return 0.0 if standing.grace_until is None else standing.grace_until.timestamp()


async def _merge_uses(tx: Tx, from_id: UUID, into_id: UUID) -> None:
    other = aliased(BenefitUse)
    twice = (
        select(BenefitUse)
        .join(other, other.slot_id == BenefitUse.slot_id)
        .where(
            BenefitUse.member_id == from_id,
            BenefitUse.state.in_(HOLDING),
            other.member_id == into_id,
            other.state.in_(HOLDING),
        )
        .order_by(BenefitUse.slot_id)
    )
    for use in list(await tx.session.scalars(twice)):
        await give_back(tx, use)
        if use.slot_id is not None:
            await give_places_back(tx, use.slot_id, use.quantity)
        use.state, use.decided_at = UseState.CANCELLED, tx.now
    await tx.session.flush()
    await tx.session.execute(
        update(BenefitUse)
        .where(BenefitUse.member_id == from_id)
        .values(member_id=into_id)
        .execution_options(synchronize_session=False)
    )
