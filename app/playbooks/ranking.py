"""The queue's order: what acting on each open alert is worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import any_, delete, exists, literal, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Uuid

from app.churn import OPEN_STATES, ChurnAlert
from app.kernel.db import Tx
from app.playbooks.features import OpenAlert
from app.playbooks.rules import priority_fen
from app.playbooks.tables import AlertRank


@dataclass(frozen=True, slots=True)
class Ranked:
    """An open alert with the effect that a model expects of acting; none without a model."""

    alert: OpenAlert
    effect: float | None = None
    model_id: UUID | None = None


_STORE = text(
    """
    INSERT INTO alert_rank (member_id, alert_id, probability, value_fen, loss_fen, effect, model_id,
                            ranked_by, priority_fen, at)
    SELECT g.member_id, g.alert_id, g.probability, g.value_fen, g.loss_fen, g.effect, g.model_id,
           CASE WHEN g.effect IS NULL THEN 'EXPECTED_LOSS' ELSE 'UPLIFT' END, g.priority_fen, :now
    FROM unnest(
        CAST(:member_ids AS uuid[]), CAST(:alert_ids AS uuid[]), CAST(:probability AS float8[]),
        CAST(:value_fen AS bigint[]), CAST(:loss_fen AS bigint[]), CAST(:effect AS float8[]),
        CAST(:model_ids AS uuid[]), CAST(:priority_fen AS bigint[])
    ) AS g(member_id, alert_id, probability, value_fen, loss_fen, effect, model_id, priority_fen)
    ORDER BY g.member_id
    ON CONFLICT (member_id) DO UPDATE SET
        alert_id = excluded.alert_id, probability = excluded.probability,
        value_fen = excluded.value_fen, loss_fen = excluded.loss_fen, effect = excluded.effect,
        model_id = excluded.model_id, ranked_by = excluded.ranked_by,
        priority_fen = excluded.priority_fen, at = excluded.at
    WHERE alert_rank.at <= excluded.at
    """
)


async def store_ranks(tx: Tx, ranked: Sequence[Ranked]) -> int:
    """Put alerts in their places (at most some thousand, by member); answers how many."""
    if not ranked:
        return 0
    alerts = [one.alert for one in ranked]
    losses = [round(alert.probability * alert.value_fen) for alert in alerts]
    given = {
        "now": tx.now,
        "member_ids": [alert.member_id for alert in alerts],
        "alert_ids": [alert.alert_id for alert in alerts],
        "probability": [alert.probability for alert in alerts],
        "value_fen": [alert.value_fen for alert in alerts],
        "loss_fen": losses,
        "effect": [one.effect for one in ranked],
        "model_ids": [one.model_id for one in ranked],
        "priority_fen": [
            priority_fen(loss, one.alert.value_fen, one.effect)
            for loss, one in zip(losses, ranked, strict=True)
        ],
    }
    await tx.session.execute(_STORE, given)
    return len(ranked)


async def forget_ranks(tx: Tx, *, at_most: int = 5_000) -> int:
    """Drop the places of alerts that are over; answers how many."""
    is_open = exists().where(
        ChurnAlert.member_id == AlertRank.member_id,
        ChurnAlert.id == AlertRank.alert_id,
        ChurnAlert.state.in_(OPEN_STATES),
    )
    over = list(
        await tx.session.scalars(
            select(AlertRank.member_id)
            .where(~is_open)
            .order_by(AlertRank.member_id)
            .limit(at_most)
            .with_for_update(skip_locked=True)
        )
    )
    if over:
        among = AlertRank.member_id == any_(literal(over, ARRAY(Uuid())))
        await tx.session.execute(delete(AlertRank).where(among))
    return len(over)
