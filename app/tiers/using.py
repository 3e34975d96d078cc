"""Using a benefit, and taking a use back."""

from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from app.kernel.clock import business_day
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.kernel.text import checked_text
from app.tiers.entitling import count_use, give_back, held_benefit, tell_use, use_of
from app.tiers.errors import (
    BenefitOfAnother,
    BookingNeeded,
    ReferenceUsed,
    UseNotFound,
    UseNotReversible,
)
from app.tiers.tables import Benefit, BenefitUse, UseState

LONGEST_NOTE = 200
LONGEST_REFERENCE = 64


async def use_benefit(
    tx: Tx,
    *,
    member_id: UUID,
    benefit_code: str,
    quantity: int = 1,
    reference: str | None = None,
    note: str | None = None,
    actor_id: UUID | None = None,
    partner: str | None = None,
) -> BenefitUse:
    """Use a benefit now; it counts in the windows of the member's present business day.

    Where a `partner` records it, the benefit must be theirs, and the use has their number. Raises
    BenefitOfAnother, BenefitNotFound, BenefitNotInTier, BenefitUsedUp, BookingNeeded,
    ReferenceUsed, MemberNotFound, MemberNotActive, TiersMissing, InvalidInput.
    """
    held = await held_benefit(tx, member_id, benefit_code)
    if partner is not None:
        _require_own(held.benefit, partner, reference)
    if held.benefit.needs_booking:
        raise BookingNeeded(benefit_zh=held.benefit.name_zh, benefit_en=held.benefit.name_en)
    day = business_day(tx.now, held.zone)
    await count_use(tx, held, day=day, quantity=quantity)
    given = {
        "member_id": member_id,
        "id": tx.new_id(),
        "benefit_code": benefit_code,
        "tier_code": held.tier_code,
        "quantity": quantity,
        "state": UseState.USED,
        "at": tx.now,
        "day": day,
        "reference": _checked(reference, "reference", LONGEST_REFERENCE),
        "note": _checked(note, "note", LONGEST_NOTE),
        "actor_id": actor_id,
    }
    stored = await tx.session.scalar(
        insert(BenefitUse).values(given).on_conflict_do_nothing().returning(BenefitUse)
    )
    if stored is None:
        raise ReferenceUsed()
    tell_use(tx, stored)
    return stored


def _require_own(benefit: Benefit, partner: str, reference: str | None) -> None:
    if benefit.partner != partner:
        raise BenefitOfAnother()
    if reference is None:
        raise InvalidInput(
            field="reference", reason="say your own number of it", reason_zh="请填写合作方单号"
        )


async def reverse_use(
    tx: Tx, *, member_id: UUID, use_id: UUID, reason: str, actor_id: UUID
) -> BenefitUse:
    """Take a use back, a missed booking too: its windows get back what it took.

    Raises UseNotFound, UseNotReversible, InvalidInput for a reason that is missing.
    """
    why = checked_text(reason, field="reason", longest=LONGEST_NOTE)
    use = await use_of(tx, member_id, use_id)
    if use is None:
        raise UseNotFound()
    if use.state not in (UseState.USED, UseState.NO_SHOW):
        raise UseNotReversible()
    await give_back(tx, use)
    use.state, use.reversal_reason = UseState.REVERSED, why
    use.decided_at, use.decided_by = tx.now, actor_id
    await tx.session.flush()
    tell_use(tx, use)
    return use


def _checked(text: str | None, field: str, longest: int) -> str | None:
    return None if text is None else checked_text(text, field=field, longest=longest)
