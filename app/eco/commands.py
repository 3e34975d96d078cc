"""Submitting, verifying and reversing eco actions."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app import members, orders, points
from app.eco.awarding import award_badges
from app.eco.errors import (
    EcoActionExists,
    EcoActionNotFound,
    NotAwaitingVerification,
    NotCredited,
    OrderNotYours,
)
from app.eco.events import EcoActionCredited, EcoActionRejected
from app.eco.queries import current_factors
from app.eco.rules import (
    CARBON_RULE,
    DEFAULT_BADGES,
    DEFAULT_FACTORS,
    LONGEST_EVIDENCE,
    LONGEST_REASON,
)
from app.eco.tables import Badge, EcoAction, EcoFactor, EcoState, EcoType, EvidenceKind
from app.kernel.clock import business_day
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.kernel.text import checked_text


async def ensure_eco(tx: Tx) -> None:
    """Set up the default factors and badges where they are missing; staff's changes stay."""
    factors = [{**factor, "valid_from": tx.now} for factor in DEFAULT_FACTORS]
    await tx.session.execute(insert(EcoFactor).values(factors).on_conflict_do_nothing())
    await tx.session.execute(insert(Badge).values(list(DEFAULT_BADGES)).on_conflict_do_nothing())


async def submit(
    tx: Tx,
    *,
    member_id: UUID,
    type: EcoType,
    evidence_kind: EvidenceKind,
    evidence: str,
    order_id: UUID | None = None,
) -> EcoAction:
    """Hand in an action for verification, at today's factor.

    With an order as evidence a type counts once an order, otherwise once a business day; what was
    rejected may be handed in again. Raises EcoActionExists, OrderNotYours, InvalidInput,
    members.MemberNotFound, members.MemberNotActive.
    """
    shown = checked_text(
        evidence, field="evidence", longest=LONGEST_EVIDENCE, shortest=0 if order_id else 1
    )
    if (evidence_kind is EvidenceKind.ORDER) != (order_id is not None):
        raise InvalidInput(
            field="orderId", reason="goes with evidence ORDER", reason_zh="须与订单凭证同时提供"
        )
    if order_id is not None:
        await _require_own_order(tx, member_id, order_id)
    await members.require_active(tx, member_id)
    factor = (await current_factors(tx, [type])).get(type)
    if factor is None:
        raise InvalidInput(field="type", reason="has no factor yet", reason_zh="尚未设置系数")
    zone = await members.zone_of(tx, member_id)
    action = await tx.session.scalar(
        insert(EcoAction)
        .values(
            member_id=member_id,
            id=tx.new_id(),
            type=type,
            factor_version=factor.version,
            grams_co2e=factor.grams_co2e,
            carbon_points=factor.carbon_points,
            evidence_kind=evidence_kind,
            evidence=shown,
            order_id=order_id,
            state=EcoState.SUBMITTED,
            day=business_day(tx.now, zone),
            submitted_at=tx.now,
        )
        .on_conflict_do_nothing()
        .returning(EcoAction)
    )
    if action is None:
        raise EcoActionExists()
    return action


async def verify(tx: Tx, *, action_id: UUID, actor_id: UUID, note: str | None = None) -> EcoAction:
    """Accept an action: its CARBON points and any badge it completes come with it.

    Raises EcoActionNotFound, NotAwaitingVerification.
    """
    action = await _locked(tx, action_id)
    if action.state is not EcoState.SUBMITTED:
        raise NotAwaitingVerification()
    # SUBMITTED -> VERIFIED -> CREDITED within one transaction: nobody sees it in between.
    action.verified_at = action.credited_at = tx.now
    action.verified_by, action.state, action.reason = actor_id, EcoState.CREDITED, note
    await tx.session.flush()
    await points.earn(
        tx,
        member_id=action.member_id,
        amount=action.carbon_points,
        source=points.Source.ECO,
        rule=CARBON_RULE,
        subject=str(action.id),
        currency=points.Currency.CARBON,
    )
    tx.emit(
        EcoActionCredited(
            member_id=action.member_id,
            action_id=action.id,
            type=action.type.value,
            grams_co2e=action.grams_co2e,
            carbon_points=action.carbon_points,
        )
    )
    await award_badges(tx, member_ids=[action.member_id])
    return action


async def reject(tx: Tx, *, action_id: UUID, actor_id: UUID, reason: str) -> EcoAction:
    """Refuse an action, with a reason that its member reads.

    Raises EcoActionNotFound, NotAwaitingVerification, InvalidInput.
    """
    why = checked_text(reason, field="reason", longest=LONGEST_REASON)
    action = await _locked(tx, action_id)
    if action.state is not EcoState.SUBMITTED:
        raise NotAwaitingVerification()
    action.state, action.reason = EcoState.REJECTED, why
    action.verified_at, action.verified_by = tx.now, actor_id
    tx.emit(
        EcoActionRejected(
            member_id=action.member_id, action_id=action.id, type=action.type.value, reason=why
        )
    )
    return action


async def reverse(tx: Tx, *, action_id: UUID, actor_id: UUID, reason: str) -> EcoAction:
    """Take a credited action back, its CARBON points included; spent ones become a debt.

    Badges it counted for stay until staff revoke them. Raises EcoActionNotFound, NotCredited,
    InvalidInput.
    """
    why = checked_text(reason, field="reason", longest=LONGEST_REASON)
    action = await _locked(tx, action_id)
    if action.state is not EcoState.CREDITED:
        raise NotCredited()
    action.state, action.reason, action.reversed_at = EcoState.REVERSED, why, tx.now
    await tx.session.flush()
    await points.reverse(
        tx,
        member_id=action.member_id,
        rule=CARBON_RULE,
        subject=str(action.id),
        reason=why,
        currency=points.Currency.CARBON,
        actor_id=actor_id,
    )
    return action


async def _require_own_order(tx: Tx, member_id: UUID, order_id: UUID) -> None:
    order = (await orders.by_id(tx, [(member_id, order_id)])).get((member_id, order_id))
    gone = (orders.OrderStatus.CANCELLED, orders.OrderStatus.REFUNDED)
    if order is None or order.settled_at is None or order.status in gone:
        raise OrderNotYours()


async def _locked(tx: Tx, action_id: UUID) -> EcoAction:
    action = await tx.session.scalar(
        select(EcoAction)
        .where(EcoAction.id == action_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if action is None:
        raise EcoActionNotFound()
    return action
