"""Raise signals, and let staff take alerts over"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

INSTANT = sa.DateTime(timezone=True)
OPEN = "state IN ('OPEN', 'L1', 'L2', 'L3')"
LOSS = "floor(probability * value_fen)::bigint"
CHANGE = "recent::double precision / baseline::double precision - 1"


def _enum(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    _alerts()
    _actions()
    _signals()


def _alerts() -> None:
    for column in (
        sa.Column(
            "cause",
            _enum("alertcause", "SCORE", "SIGNAL"),
            server_default="SCORE",
            nullable=False,
        ),
        sa.Column("value_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        # A stored column rewrites the table, closed alerts too, and holds it meanwhile: with millions
        # of them migrate while no console works the queue.
        sa.Column(
            "expected_loss_fen",
            sa.BigInteger(),
            sa.Computed(LOSS, persisted=True),
            nullable=False,
        ),
        sa.Column("acknowledged_at", INSTANT, nullable=True),
        sa.Column("acknowledged_by", sa.Uuid(), nullable=True),
        sa.Column("taken_by", sa.Uuid(), nullable=True),
        sa.Column("taken_at", INSTANT, nullable=True),
        sa.Column("held_until", INSTANT, nullable=True),
        sa.Column("muted_until", INSTANT, nullable=True),
    ):
        op.add_column("churn_alert", column)
    for name, rule in (
        ("value", "value_fen >= 0"),
        ("acknowledged_by_somebody", "(acknowledged_at IS NULL) = (acknowledged_by IS NULL)"),
        (
            "taken_for_a_time",
            "(taken_by IS NULL) = (taken_at IS NULL) AND (taken_by IS NULL) = (held_until IS NULL)",
        ),
        ("held_after_taken", "taken_at < held_until"),
        ("muted_until", "muted_until IS NULL OR state = 'MUTED'"),
    ):
        op.create_check_constraint(op.f(f"ck_churn_alert_{name}"), "churn_alert", rule)
    op.create_index(
        "ix_churn_alert_loss",
        "churn_alert",
        ["expected_loss_fen", "id"],
        postgresql_where=sa.text(OPEN),
    )
    op.create_index(
        op.f("ix_churn_alert_state_expected_loss_fen_id"),
        "churn_alert",
        ["state", "expected_loss_fen", "id"],
    )
    op.create_index(
        "ix_churn_alert_owner",
        "churn_alert",
        ["taken_by", "held_until"],
        postgresql_where=sa.text(f"taken_by IS NOT NULL AND {OPEN}"),
    )


def _actions() -> None:
    op.create_table(
        "churn_alert_action",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            _enum(
                "alertactionkind",
                "ACKNOWLEDGED",
                "TAKEN_OVER",
                "HANDED_BACK",
                "HOLD_ENDED",
                "UNMUTED",
            ),
            nullable=False,
        ),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("until", INSTANT, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_churn_alert_action_member_id")
        ),
        sa.PrimaryKeyConstraint("member_id", "alert_id", "id", name=op.f("pk_churn_alert_action")),
    )


def _signals() -> None:
    op.create_table(
        "churn_signal",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("kind", _enum("signalkind", "LOGINS", "USAGE"), nullable=False),
        sa.Column("opened_at", INSTANT, nullable=False),
        sa.Column("as_of", INSTANT, nullable=False),
        sa.Column("baseline", sa.BigInteger(), nullable=False),
        sa.Column("recent", sa.BigInteger(), nullable=False),
        sa.Column("change", sa.Double(), sa.Computed(CHANGE, persisted=True), nullable=False),
        sa.Column("closed_at", INSTANT, nullable=True),
        sa.Column("outcome", _enum("signaloutcome", "RECOVERED", "FADED"), nullable=True),
        sa.CheckConstraint("baseline > 0 AND recent >= 0", name=op.f("ck_churn_signal_figures")),
        sa.CheckConstraint(
            "(closed_at IS NULL) = (outcome IS NULL)",
            name=op.f("ck_churn_signal_ended_when_closed"),
        ),
        sa.CheckConstraint(
            "opened_at <= as_of AND opened_at < closed_at", name=op.f("ck_churn_signal_in_time")
        ),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_churn_signal_member_id")
        ),
        sa.PrimaryKeyConstraint("member_id", "kind", "opened_at", name=op.f("pk_churn_signal")),
    )
    op.create_index(
        "uq_churn_signal_open",
        "churn_signal",
        ["member_id", "kind"],
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("churn_signal")
    op.drop_table("churn_alert_action")
    op.drop_index("ix_churn_alert_owner", table_name="churn_alert")
    op.drop_index(op.f("ix_churn_alert_state_expected_loss_fen_id"), table_name="churn_alert")
    op.drop_index("ix_churn_alert_loss", table_name="churn_alert")
    for name in (
        "muted_until",
        "held_after_taken",
        "taken_for_a_time",
        "acknowledged_by_somebody",
        "value",
    ):
        op.drop_constraint(op.f(f"ck_churn_alert_{name}"), "churn_alert", type_="check")
    for column in (
        "muted_until",
        "held_until",
        "taken_at",
        "taken_by",
        "acknowledged_by",
        "acknowledged_at",
        "expected_loss_fen",
        "value_fen",
        "cause",
    ):
        op.drop_column("churn_alert", column)
