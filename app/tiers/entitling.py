"""How often a member may have a benefit: what they hold, and counting it.

A member's standing is locked first by whatever counts, so that of many uses at once each sees the
ones before it, and none runs beside a change of the member's tier.
"""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from app.kernel.db import Tx
from app.kernel.numbers import check_within
from app.members import require_active, zone_of
from app.tiers.errors import BenefitNotFound, BenefitNotInTier, BenefitUsedUp, TiersMissing
from app.tiers.events import BenefitChanged
from app.tiers.queries import all_tiers
from app.tiers.rules import MOST_AT_ONCE, left_of, next_window, window_start
from app.tiers.standing import locked_standings
from app.tiers.tables import Benefit, BenefitUse, BenefitWindow, Entitlement, TierBenefit


@dataclass(frozen=True, slots=True)
class Held:
    """A benefit as a member's tier has it, and the zone in which its windows run."""

    member_id: UUID
    benefit: Benefit
    tier_code: str
    quota: int | None
    window: BenefitWindow | None
    zone: str


async def lock_member(tx: Tx, member_id: UUID) -> str:
    """Lock the member's standing; answers the code of their tier. Raises TiersMissing."""
    tiers = await all_tiers(tx)
    if not tiers:
        raise TiersMissing()
    return (await locked_standings(tx, [member_id], tiers[0]))[member_id].tier_code


async def held_benefit(tx: Tx, member_id: UUID, code: str) -> Held:
    """What a member's tier says of a benefit; the member's standing is locked.

    Raises MemberNotFound, MemberNotActive, BenefitNotFound, BenefitNotInTier, TiersMissing.
    """
    await require_active(tx, member_id)
    benefit = await tx.session.get(Benefit, code)
    if benefit is None or not benefit.active:
        raise BenefitNotFound(benefit=code)
    tier_code = await lock_member(tx, member_id)
    grant = await tx.session.get(TierBenefit, (tier_code, code))
    if grant is None:
        raise BenefitNotInTier(benefit_zh=benefit.name_zh, benefit_en=benefit.name_en)
    zone = await zone_of(tx, member_id)
    return Held(member_id, benefit, tier_code, grant.quota, grant.window_kind, zone)


async def count_use(tx: Tx, held: Held, *, day: date, quantity: int) -> None:
    """Count a use on a local day in its windows of every kind.

    Raises BenefitUsedUp when the window that limits it has less left, InvalidInput for a quantity
    that nobody uses at once.
    """
    check_within(quantity, 1, MOST_AT_ONCE, field="quantity")
    code = held.benefit.code
    if held.window is not None:
        start = window_start(held.window, day)
        counter = await tx.session.get(
            Entitlement, (held.member_id, code, held.window, start), populate_existing=True
        )
        left = left_of(held.quota, counter.used if counter else 0)
        if left is not None and left < quantity:
            raise _used_up(held, held.window, day, left)
    fresh = insert(Entitlement).values(
        [
            {
                "member_id": held.member_id,
                "benefit_code": code,
                "window_kind": window,
                "starts_on": window_start(window, day),
                "quota": held.quota if window is held.window else None,
                "used": quantity,
            }
            for window in BenefitWindow
        ]
    )
    await tx.session.execute(
        fresh.on_conflict_do_update(
            index_elements=list(Entitlement.__table__.primary_key),
            set_={"used": Entitlement.used + fresh.excluded.used, "quota": fresh.excluded.quota},
        )
    )


async def give_back(tx: Tx, use: BenefitUse) -> None:
    """Take a use out of the windows that it was counted in."""
    for window in BenefitWindow:
        await tx.session.execute(
            update(Entitlement)
            .where(
                Entitlement.member_id == use.member_id,
                Entitlement.benefit_code == use.benefit_code,
                Entitlement.window_kind == window,
                Entitlement.starts_on == window_start(window, use.day),
            )
            .values(used=Entitlement.used - use.quantity)
            .execution_options(synchronize_session=False)
        )


async def use_of(tx: Tx, member_id: UUID, use_id: UUID) -> BenefitUse | None:
    """A member's use as it is now, their standing locked; None if there is none."""
    found = select(BenefitUse.id).where(BenefitUse.member_id == member_id, BenefitUse.id == use_id)
    if await tx.session.scalar(found) is None:
        return None
    await lock_member(tx, member_id)
    return await tx.session.get(BenefitUse, (member_id, use_id), populate_existing=True)


def tell_use(tx: Tx, use: BenefitUse) -> None:
    """Tell the member what became of a use."""
    tx.emit(
        BenefitChanged(
            member_id=use.member_id,
            use_id=use.id,
            benefit_code=use.benefit_code,
            quantity=use.quantity,
            state=use.state.value,
        )
    )


def _used_up(held: Held, window: BenefitWindow, day: date, left: int) -> BenefitUsedUp:
    following = next_window(window, day)
    return BenefitUsedUp(
        benefit_zh=held.benefit.name_zh,
        benefit_en=held.benefit.name_en,
        left=left,
        again_zh="用完为止" if following is None else f"下一期自{following}起",
        again_en="no other follows" if following is None else f"the next begins on {following}",
    )
