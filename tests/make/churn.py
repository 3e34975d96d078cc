"""Builders of churn models, scores and alerts."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from app import churn, staff
from app.kernel.auth import Role
from app.kernel.db import Tx

REASON = {
    "code": "trend",
    "zh": "近30天下单减少60%",
    "en": "60% fewer orders in 30 days",
    "weight": 1.0,
}


async def model(
    tx: Tx, *, version: str = "test-1", artifact: bytes = b"model"
) -> churn.ModelVersion:
    """A model in force, or the one of this version."""
    return await churn.register_model(
        tx,
        version=version,
        trained_as_of=tx.now,
        manifest={"sha": hashlib.sha256(artifact).hexdigest()},
        metrics={"roc_auc": 0.77, "brier": 0.17},
        artifact=artifact,
    )


async def scores(
    tx: Tx,
    *,
    member_ids: Sequence[UUID],
    probability: Sequence[float],
    as_of: datetime | None = None,
    horizon_days: int = 45,
    next_order_days: Sequence[float | None] | None = None,
) -> churn.Stored:
    """Scores of the test model, each with one reason."""
    row = await model(tx)
    return await churn.store_scores(
        tx,
        churn.NewScores(
            model_id=row.id,
            as_of=as_of or tx.now,
            horizon_days=horizon_days,
            member_ids=list(member_ids),
            probability=list(probability),
            reasons=[[REASON] for _ in member_ids],
            next_order_days=next_order_days,
        ),
    )


async def score(
    tx: Tx, *, member_id: UUID, probability: float = 0.9, as_of: datetime | None = None
) -> churn.Stored:
    """One member's score; from 0.7 up it raises an alert."""
    return await scores(tx, member_ids=[member_id], probability=[probability], as_of=as_of)


async def signal(
    tx: Tx,
    *,
    member_id: UUID,
    kind: churn.SignalKind = churn.SignalKind.LOGINS,
    baseline: int = 20,
    recent: int = 9,
    opened_at: datetime | None = None,
) -> churn.ChurnSignal:
    """An open signal."""
    row = churn.ChurnSignal(
        member_id=member_id,
        kind=kind,
        opened_at=opened_at or tx.now,
        as_of=opened_at or tx.now,
        baseline=baseline,
        recent=recent,
    )
    tx.session.add(row)
    await tx.session.flush()
    return row


async def colleague(
    tx: Tx, *, name: str = "小周", role: Role = Role.SUPPORT, key: UUID | None = None
) -> staff.StaffAccount:
    """A staff account that nobody can sign in by."""
    key = key or tx.new_id()
    row = staff.StaffAccount(
        id=key, login=str(key), name=name, role=role, password_hash="", created_at=tx.now
    )
    tx.session.add(row)
    await tx.session.flush()
    return row


async def alert(
    tx: Tx, *, member_id: UUID, probability: float = 0.9, as_of: datetime | None = None
) -> churn.ChurnAlert:
    """A member's open alert, raised by a score unless there is one."""
    await score(tx, member_id=member_id, probability=probability, as_of=as_of)
    return (await churn.open_alert_by_member(tx, [member_id]))[member_id]


async def alert_in_hand(tx: Tx, *, member_id: UUID) -> churn.ChurnAlert:
    """An alert of a member with a signal, that somebody of staff has taken over."""
    await signal(tx, member_id=member_id)
    # Whatever the member orders at this instant came before the score.
    row = await alert(tx, member_id=member_id, as_of=tx.now + timedelta(milliseconds=1))
    who = await colleague(tx)
    return await churn.take_over(tx, alert_id=row.id, actor_id=who.id)


WON = {"mean": 0.002, "low": 0.001, "high": 0.003}


async def watched(tx: Tx) -> churn.ModelVersion:
    """A challenger that has won against the test model, and a night whose scores have drifted."""
    rival = await model(tx)
    figures = {"roc_auc": 0.77, "pr_auc": 0.85, "brier": 0.17, "ece": 0.04, "lift": 1.3}
    tried = figures | {"base_rate": 0.6}
    window = {"cutoff": tx.now.isoformat(), "members": 900, "stand_in": True}
    night = churn.NewNight(
        as_of=tx.now,
        model_id=rival.id,
        horizon_days=45,
        members=900,
        mean_probability=0.6,
        score_psi=0.3,
        score_psi_noise=0.01,
        feature_psi={"recency": 0.4, "orders_30": 0.1},
    )
    await churn.record_night(tx, night, zone="Asia/Shanghai")
    # Registered as one that lost, so that it is the challenger; it wins when it is judged again.
    evidence = {
        "rival": rival.version,
        "as_of": tx.now.isoformat(),
        "windows": [window | {"champion": tried, "challenger": tried}],
        "champion": tried,
        "challenger": tried,
        "gain": {"roc_auc": WON, "brier": WON},
    }
    lost = {name: {end: -value for end, value in WON.items()} for name in ("roc_auc", "brier")}
    row = await churn.register_model(
        tx,
        version="challenger-1",
        trained_as_of=tx.now,
        manifest={
            "choice": "mean",
            "features": ["recency", "orders_30"],
            "program": "1.0",
            "about": {"horizon_days": 45, "orders": 9000, "members": 900},
        },
        metrics=figures,
        artifact=b"challenger",
        evidence=evidence | {"gain": lost},
    )
    row.evidence = evidence
    await tx.session.flush()
    return row
