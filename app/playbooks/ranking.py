"""The queue's order: what acting on each open alert is worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import any_, delete, exists, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.types import Uuid

from app.churn import OPEN_STATES, ChurnAlert
from app.kernel.db import Tx
from app.playbooks.features import OpenAlert
from app.playbooks.rules import priority_fen
from app.playbooks.tables import AlertRank, RankedBy


@dataclass(frozen=True, slots=True)
class Ranked:
    """An open alert with the effect that a model expects of acting; none without a model."""

    alert: OpenAlert
    effect: float | None = None
    model_id: UUID | None = None


async def store_ranks(tx: Tx, ranked: Sequence[Ranked]) -> int:
    """Put alerts in their places (at most some thousand, by member); answers how many."""
    rows = [_row(tx, one) for one in ranked]
    if not rows:
        return 0
    statement = insert(AlertRank).values(rows)
    names = [name for name in rows[0] if name != "member_id"]
    await tx.session.execute(
        statement.on_conflict_do_update(
            index_elements=[AlertRank.member_id],
            set_={name: statement.excluded[name] for name in names},
            where=AlertRank.at <= statement.excluded.at,
        )
    )
    return len(rows)


def _row(tx: Tx, one: Ranked) -> dict[str, object]:
    alert = one.alert
    loss = round(alert.probability * alert.value_fen)
    by = RankedBy.EXPECTED_LOSS if one.effect is None else RankedBy.UPLIFT
    return {
        "member_id": alert.member_id,
        "alert_id": alert.alert_id,
        "probability": alert.probability,
        "value_fen": alert.value_fen,
        "loss_fen": loss,
        "effect": one.effect,
        "model_id": one.model_id,
        "ranked_by": by,
        "priority_fen": priority_fen(loss, alert.value_fen, one.effect),
        "at": tx.now,
    }


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
