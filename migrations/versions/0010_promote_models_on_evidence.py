"""Promote models on evidence, and watch their drift"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ADDED = (
    ("manifest_sha256", sa.Text()),
    ("evidence", postgresql.JSONB()),
    ("promoted_at", sa.DateTime(timezone=True)),
    ("rolled_back_at", sa.DateTime(timezone=True)),
    ("unusable_since", sa.DateTime(timezone=True)),
    ("unusable_why", sa.Text()),
)
CHECKS = {
    "manifest_sha256": "manifest_sha256 ~ '^[0-9a-f]{64}$'",
    "unusable_for_a_reason": "(unusable_since IS NULL) = (unusable_why IS NULL)",
}


def _checked(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    for name, type_ in ADDED:
        op.add_column("model_version", sa.Column(name, type_, nullable=True))
    op.execute("UPDATE model_version SET promoted_at = created_at WHERE role = 'CHAMPION'")
    for name, condition in CHECKS.items():
        op.create_check_constraint(op.f(f"ck_model_version_{name}"), "model_version", condition)
    op.create_index(
        op.f("ix_churn_score_history_as_of"),
        "churn_score_history",
        ["as_of"],
        postgresql_using="brin",
    )
    _nights()
    _alarms()


def _nights() -> None:
    op.create_table(
        "churn_night",
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("horizon_days", sa.SmallInteger(), nullable=False),
        sa.Column("members", sa.BigInteger(), nullable=False),
        sa.Column("mean_probability", sa.Double(), nullable=True),
        sa.Column("score_psi", sa.Double(), nullable=True),
        sa.Column("score_psi_noise", sa.Double(), nullable=True),
        sa.Column("feature_psi", postgresql.JSONB(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_members", sa.BigInteger(), nullable=True),
        sa.Column("base_rate", sa.Double(), nullable=True),
        sa.Column("closed_probability", sa.Double(), nullable=True),
        sa.Column("brier", sa.Double(), nullable=True),
        sa.Column("brier_error", sa.Double(), nullable=True),
        sa.Column("rate_error", sa.Double(), nullable=True),
        sa.Column("roc_auc", sa.Double(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("horizon_days > 0", name=op.f("ck_churn_night_horizon")),
        sa.CheckConstraint("members >= 0", name=op.f("ck_churn_night_members")),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model_version.id"], name=op.f("fk_churn_night_model_id")
        ),
        sa.PrimaryKeyConstraint("as_of", name=op.f("pk_churn_night")),
    )
    op.create_index(
        "ix_churn_night_open",
        "churn_night",
        ["as_of"],
        postgresql_where=sa.text("closed_at IS NULL"),
    )


def _alarms() -> None:
    op.create_table(
        "drift_alarm",
        sa.Column("kind", _checked("kind", "SCORE", "BASE_RATE", "BRIER"), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("limit", sa.Double(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model_version.id"], name=op.f("fk_drift_alarm_model_id")
        ),
        sa.PrimaryKeyConstraint("kind", "raised_at", name=op.f("pk_drift_alarm")),
    )
    op.create_index(
        "uq_drift_alarm_open",
        "drift_alarm",
        ["kind"],
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("drift_alarm")
    op.drop_table("churn_night")
    op.drop_index(op.f("ix_churn_score_history_as_of"), table_name="churn_score_history")
    for name in CHECKS:
        op.drop_constraint(op.f(f"ck_model_version_{name}"), "model_version", type_="check")
    for name, _ in reversed(ADDED):
        op.drop_column("model_version", name)
