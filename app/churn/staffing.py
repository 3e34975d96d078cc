"""What staff do with an alert: see it, take it over, hand it back, mute its member.

Each locks the alert's row, so that of fifty who take over one alert at once one gets it.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ARRAY, Text, and_, func, literal, select, update

from app import staff
from app.churn.closing import ESCALATIONS, among, checked_reason, close_alerts
from app.churn.errors import (
    AlertClosed,
    AlertNotFound,
    AlertNotMuted,
    AlertNotTaken,
    AlertTaken,
)
from app.churn.events import (
    ALERTS_TOPIC,
    AlertAcknowledged,
    AlertHandedBack,
    AlertTakenOver,
)
from app.churn.rules import HOLD, LONGEST_MUTE
from app.churn.tables import (
    OPEN_STATES,
    AlertActionKind,
    AlertState,
    ChurnAlert,
    ChurnAlertAction,
    ChurnScore,
)
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput, NotAllowed
from app.kernel.outbox import Event
from app.kernel.sets import emit_each


class Verdict(StrEnum):
    """What staff may say that an alert came to; the last two are otherwise seen from orders."""

    FALSE_ALARM = "FALSE_ALARM"
    RECOVERED = "RECOVERED"
    CHURNED = "CHURNED"


async def acknowledge(tx: Tx, *, alert_id: UUID, actor_id: UUID) -> ChurnAlert:
    """Note who has seen an alert; the first who did stays.

    Raises AlertNotFound, AlertClosed.
    """
    row = await _open_alert(tx, alert_id)
    if row.acknowledged_at is None:
        row.acknowledged_at, row.acknowledged_by = tx.now, actor_id
        _note(tx, row, AlertActionKind.ACKNOWLEDGED, actor_id)
        tx.emit(AlertAcknowledged(row.id, row.member_id, row.state.value))
    return row


async def take_over(tx: Tx, *, alert_id: UUID, actor_id: UUID) -> ChurnAlert:
    """Give an alert to whoever asks for 72 hours, in which it does not move up by itself.

    Whoever holds it already holds it for 72 hours more from now. It counts as seen. Raises
    AlertNotFound, AlertClosed, AlertTaken.
    """
    row = await _open_alert(tx, alert_id)
    await _require_free(tx, row, actor_id)
    if row.acknowledged_at is None:
        row.acknowledged_at, row.acknowledged_by = tx.now, actor_id
    row.taken_by, row.taken_at, row.held_until = actor_id, tx.now, tx.now + HOLD
    _note(tx, row, AlertActionKind.TAKEN_OVER, actor_id, until=row.held_until)
    tx.emit(AlertTakenOver(row.id, row.member_id, row.state.value))
    return row


async def hand_back(
    tx: Tx, *, alert_id: UUID, actor_id: UUID, reason: str | None = None, anybodys: bool = False
) -> ChurnAlert:
    """End the hold on an alert: if its level's time is over by now, it moves up at the next look.

    Only who holds it may, unless `anybodys`, as for a manager whose colleague is away. Raises
    AlertNotFound, AlertClosed, AlertNotTaken, NotAllowed, InvalidInput.
    """
    said = checked_reason(reason) if reason is not None and reason.strip() else None
    row = await _open_alert(tx, alert_id)
    if row.taken_by is None:
        raise AlertNotTaken()
    if row.taken_by != actor_id and not anybodys:
        raise NotAllowed()
    row.taken_by = row.taken_at = row.held_until = None
    _note(tx, row, AlertActionKind.HANDED_BACK, actor_id, reason=said)
    tx.emit(AlertHandedBack(row.id, row.member_id, row.state.value))
    return row


async def close_by_staff(
    tx: Tx,
    *,
    alert_id: UUID,
    actor_id: UUID,
    state: AlertState,
    reason: str,
    anybodys: bool = True,
) -> None:
    """End an alert by a person's word; the member is not alerted again before calming down.

    `state` is one of the verdicts, or MUTED (which `mute` gives for a time). What somebody else
    holds may be ended only if `anybodys`. Raises AlertNotFound, AlertClosed, AlertTaken,
    ReasonRequired, InvalidInput.
    """
    said = checked_reason(reason)
    if state.value not in {*Verdict, AlertState.MUTED}:
        raise ValueError(f"{state} is not for staff to give")
    row = await _open_alert(tx, alert_id)
    if not anybodys:
        await _require_free(tx, row, actor_id)
    chosen = ChurnAlert.id == alert_id
    await close_alerts(tx, state=state, chosen=chosen, actor_id=actor_id, reason=said)


async def mute(
    tx: Tx,
    *,
    alert_id: UUID,
    actor_id: UUID,
    until: datetime,
    reason: str,
    anybodys: bool = True,
) -> ChurnAlert:
    """End an alert and let its member get no other before `until`, at most 366 days ahead.

    From then on a score at the trigger raises one again. What somebody else holds may be muted
    only if `anybodys`. Raises AlertNotFound, AlertClosed, AlertTaken, ReasonRequired, InvalidInput.
    """
    said = checked_reason(reason)
    if not tx.now < until <= tx.now + LONGEST_MUTE:
        raise InvalidInput(
            field="until",
            reason=f"after now and within {LONGEST_MUTE.days} days",
            reason_zh=f"须晚于现在且在{LONGEST_MUTE.days}天内",
        )
    await _hold_score(tx, alert_id)
    row = await _open_alert(tx, alert_id)
    if not anybodys:
        await _require_free(tx, row, actor_id)
    await close_alerts(
        tx,
        state=AlertState.MUTED,
        chosen=ChurnAlert.id == alert_id,
        actor_id=actor_id,
        reason=said,
    )
    await tx.session.execute(
        update(ChurnAlert).where(ChurnAlert.id == alert_id).values(muted_until=until)
    )
    await tx.session.execute(
        update(ChurnScore).where(ChurnScore.member_id == row.member_id).values(raised=False)
    )
    await tx.session.refresh(row)
    return row


async def unmute(
    tx: Tx, *, alert_id: UUID, actor_id: UUID, reason: str | None = None
) -> ChurnAlert:
    """End a mute before its time: the next score at the trigger raises an alert.

    Raises AlertNotFound, AlertNotMuted, InvalidInput.
    """
    said = checked_reason(reason) if reason is not None and reason.strip() else None
    await _hold_score(tx, alert_id)
    row = await _alert(tx, alert_id)
    if row.muted_until is None or row.muted_until <= tx.now:
        raise AlertNotMuted()
    row.muted_until = tx.now
    _note(tx, row, AlertActionKind.UNMUTED, actor_id, reason=said)
    return row


async def release_due(tx: Tx) -> int:
    """Give up to 1,000 alerts back to the queue whose hold has ended; answers how many."""
    due = (
        select(ChurnAlert.id)
        .where(
            ChurnAlert.state.in_(OPEN_STATES),
            ChurnAlert.taken_by.is_not(None),
            ChurnAlert.held_until <= tx.now,
        )
        .order_by(ChurnAlert.member_id)
        .limit(ESCALATIONS)
        .with_for_update(skip_locked=True)
    )
    rows = (
        await tx.session.execute(
            select(ChurnAlert.id, ChurnAlert.member_id).where(
                ChurnAlert.id.in_(due.scalar_subquery())
            )
        )
    ).all()
    if not rows:
        return 0
    released = [row.id for row in rows]
    await tx.session.execute(
        update(ChurnAlert)
        .where(among(ChurnAlert.id, released))
        .values(taken_by=None, taken_at=None, held_until=None)
    )
    ended = AlertActionKind.HOLD_ENDED
    tx.session.add_all(
        ChurnAlertAction(
            member_id=row.member_id, alert_id=row.id, id=tx.new_id(), kind=ended, at=tx.now
        )
        for row in rows
    )
    await tx.session.flush()
    await _announce(tx, released, AlertHandedBack)
    return len(released)


async def _hold_score(tx: Tx, alert_id: UUID) -> None:
    """The row of the member's score is held before the alert's, as by those who raise alerts."""
    await tx.session.execute(
        select(ChurnScore.member_id)
        .join(ChurnAlert, ChurnAlert.member_id == ChurnScore.member_id)
        .where(ChurnAlert.id == alert_id)
        .with_for_update(of=ChurnScore)
    )


async def _alert(tx: Tx, alert_id: UUID) -> ChurnAlert:
    """The alert's row, held until the transaction ends."""
    row = await tx.session.scalar(
        select(ChurnAlert)
        .where(ChurnAlert.id == alert_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None:
        raise AlertNotFound()
    return row


async def _open_alert(tx: Tx, alert_id: UUID) -> ChurnAlert:
    """The same of an alert that is not over."""
    row = await _alert(tx, alert_id)
    if row.state not in OPEN_STATES:
        raise AlertClosed()
    return row


async def _require_free(tx: Tx, row: ChurnAlert, actor_id: UUID) -> None:
    """Refuse whoever would act on an alert that somebody else holds."""
    held_until = row.held_until
    if row.taken_by in (None, actor_id) or held_until is None or held_until <= tx.now:
        return
    raise AlertTaken(owner=await _name(tx, row.taken_by), at=held_until)


async def _name(tx: Tx, account: UUID | None) -> str:
    found = {} if account is None else await staff.by_id(tx, [account])
    return next((row.name for row in found.values()), "?")


def _note(
    tx: Tx,
    row: ChurnAlert,
    kind: AlertActionKind,
    actor_id: UUID,
    *,
    until: datetime | None = None,
    reason: str | None = None,
) -> None:
    tx.session.add(
        ChurnAlertAction(
            member_id=row.member_id,
            alert_id=row.id,
            id=tx.new_id(),
            kind=kind,
            at=tx.now,
            actor_id=actor_id,
            until=until,
            reason=reason,
        )
    )


async def _announce(tx: Tx, alerts: Sequence[UUID], event: type[Event]) -> None:
    payload = func.jsonb_build_object(
        "alert_id", ChurnAlert.id, "member_id", ChurnAlert.member_id, "state", ChurnAlert.state
    )
    topics = literal([ALERTS_TOPIC], ARRAY(Text()))
    chosen = and_(among(ChurnAlert.id, list(alerts)))
    await emit_each(tx, kind=event.kind, source=select(topics, payload).where(chosen))
