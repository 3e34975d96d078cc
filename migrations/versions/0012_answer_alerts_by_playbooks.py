"""Answer alerts by playbooks, and measure what they do"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


# Members see their messages; see app/kernel/versions.py.
TRACKED = ("playbook_message",)
TABLES = (
    "uplift_model",
    "playbook",
    "playbook_measure",
    "playbook_action",
    "playbook_message",
    "playbook_task",
    "alert_rank",
)


def upgrade() -> None:
    op.create_table(
        "uplift_model",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("experiment_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("treated", sa.BigInteger(), nullable=False),
        sa.Column("control", sa.BigInteger(), nullable=False),
        sa.Column("mean_effect", sa.Double(), nullable=False),
        sa.Column("qini", sa.Double(), nullable=False),
        sa.Column("qini_low", sa.Double(), nullable=False),
        sa.Column("qini_high", sa.Double(), nullable=False),
        sa.Column("manifest", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("artifact", sa.LargeBinary(), nullable=False),
        sa.Column("in_force", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_uplift_model_sha256")),
        sa.CheckConstraint(
            "NOT in_force OR qini_low > 0", name=op.f("ck_uplift_model_better_than_chance")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uplift_model")),
    )
    op.create_index(op.f("ix_uplift_model_version"), "uplift_model", ["version"], unique=True)
    op.create_index(
        "uq_uplift_model_in_force",
        "uplift_model",
        ["experiment_id"],
        unique=True,
        postgresql_where=sa.text("in_force"),
    )
    op.create_table(
        "playbook",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("line_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("experiment_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("community_id", sa.Uuid(), nullable=True),
        sa.Column("holdout_permille", sa.BigInteger(), nullable=False),
        sa.Column("level_holdout_permille", sa.BigInteger(), nullable=False),
        sa.Column("horizon_days", sa.BigInteger(), nullable=False),
        sa.Column(
            "persuadable_only", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column(
            "state",
            sa.Enum(
                "DRAFT",
                "ACTIVE",
                "RETIRED",
                name="playbookstate",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("ready_key", sa.Text(), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'RETIRED') = (retired_at IS NOT NULL)", name=op.f("ck_playbook_retired")
        ),
        sa.CheckConstraint(
            "state = 'DRAFT' OR activated_at IS NOT NULL", name=op.f("ck_playbook_activated")
        ),
        sa.CheckConstraint("holdout_permille BETWEEN 0 AND 500", name=op.f("ck_playbook_holdout")),
        sa.CheckConstraint("horizon_days BETWEEN 7 AND 180", name=op.f("ck_playbook_horizon")),
        sa.CheckConstraint(
            "level_holdout_permille BETWEEN 0 AND 500", name=op.f("ck_playbook_level_holdout")
        ),
        sa.CheckConstraint("version > 0", name=op.f("ck_playbook_version")),
        sa.ForeignKeyConstraint(
            ["community_id"], ["community.id"], name=op.f("fk_playbook_community_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_playbook")),
    )
    op.create_index(
        op.f("ix_playbook_line_id_version"), "playbook", ["line_id", "version"], unique=True
    )
    op.create_index(
        op.f("ix_playbook_ready_key"),
        "playbook",
        ["ready_key"],
        unique=True,
        postgresql_where=sa.text("ready_key IS NOT NULL"),
    )
    op.create_index(
        "uq_playbook_active",
        "playbook",
        ["community_id"],
        unique=True,
        postgresql_where=sa.text("state = 'ACTIVE'"),
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "alert_rank",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("value_fen", sa.BigInteger(), nullable=False),
        sa.Column("loss_fen", sa.BigInteger(), nullable=False),
        sa.Column("effect", sa.Double(), nullable=True),
        sa.Column("model_id", sa.Uuid(), nullable=True),
        sa.Column(
            "ranked_by",
            sa.Enum(
                "UPLIFT",
                "EXPECTED_LOSS",
                name="rankedby",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("priority_fen", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(ranked_by = 'UPLIFT') = (effect IS NOT NULL AND model_id IS NOT NULL)",
            name=op.f("ck_alert_rank_by"),
        ),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_alert_rank_member_id")),
        sa.ForeignKeyConstraint(
            ["model_id"], ["uplift_model.id"], name=op.f("fk_alert_rank_model_id")
        ),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_alert_rank")),
    )
    op.create_index(
        op.f("ix_alert_rank_priority_fen_alert_id"),
        "alert_rank",
        ["priority_fen", "alert_id"],
        unique=False,
    )
    op.create_table(
        "playbook_action",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column(
            "level",
            sa.Enum(
                "L1", "L2", "L3", name="level", native_enum=False, create_constraint=True, length=32
            ),
            nullable=False,
        ),
        sa.Column("playbook_id", sa.Uuid(), nullable=False),
        sa.Column("experiment_id", sa.Uuid(), nullable=False),
        sa.Column(
            "audience",
            sa.Enum(
                "NEWCOMER",
                "LOW_FREQUENCY",
                "POTENTIAL",
                "LAPSED_HIGH_VALUE",
                "VIP",
                "OTHERS",
                name="audience",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "arm",
            sa.Enum(
                "TREATED",
                "CONTROL",
                "LEVEL_CONTROL",
                name="arm",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "kind",
            sa.Enum(
                "MESSAGE",
                "COUPON",
                "POINTS",
                "TASK",
                "NOTHING",
                name="measurekind",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "outcome",
            sa.Enum(
                "DONE",
                "HELD_OUT",
                "LEFT_ALONE",
                "NOTHING",
                "OUT_OF_STOCK",
                "BATCH_NOT_ACTIVE",
                "VALIDITY_OVER",
                "AT_LIMIT",
                "MEMBER_NOT_ACTIVE",
                name="actionoutcome",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("left_alone", sa.Boolean(), nullable=False),
        sa.Column("coupon_id", sa.Uuid(), nullable=True),
        sa.Column("cost_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("features", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(arm = 'TREATED') <> (outcome = 'HELD_OUT')", name=op.f("ck_playbook_action_held_out")
        ),
        sa.CheckConstraint(
            "coupon_id IS NULL OR outcome = 'DONE'", name=op.f("ck_playbook_action_coupon")
        ),
        sa.CheckConstraint("cost_fen >= 0", name=op.f("ck_playbook_action_cost")),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_playbook_action_member_id")
        ),
        sa.ForeignKeyConstraint(
            ["playbook_id"], ["playbook.id"], name=op.f("fk_playbook_action_playbook_id")
        ),
        sa.PrimaryKeyConstraint("member_id", "alert_id", "level", name=op.f("pk_playbook_action")),
    )
    op.create_index(
        op.f("ix_playbook_action_experiment_id_member_id_at"),
        "playbook_action",
        ["experiment_id", "member_id", "at"],
        unique=False,
    )
    op.create_index(
        op.f("ix_playbook_action_playbook_id_at"),
        "playbook_action",
        ["playbook_id", "at"],
        unique=False,
    )
    op.create_table(
        "playbook_measure",
        sa.Column("playbook_id", sa.Uuid(), nullable=False),
        sa.Column(
            "level",
            sa.Enum(
                "L1", "L2", "L3", name="level", native_enum=False, create_constraint=True, length=32
            ),
            nullable=False,
        ),
        sa.Column(
            "audience",
            sa.Enum(
                "NEWCOMER",
                "LOW_FREQUENCY",
                "POTENTIAL",
                "LAPSED_HIGH_VALUE",
                "VIP",
                "OTHERS",
                name="audience",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "kind",
            sa.Enum(
                "MESSAGE",
                "COUPON",
                "POINTS",
                "TASK",
                "NOTHING",
                name="measurekind",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("batch_id", sa.Uuid(), nullable=True),
        sa.Column("points", sa.BigInteger(), nullable=True),
        sa.Column("text_zh", sa.Text(), nullable=True),
        sa.Column("text_en", sa.Text(), nullable=True),
        sa.Column("contact_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("for_leader", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint(
            "(kind = 'COUPON') = (batch_id IS NOT NULL)", name=op.f("ck_playbook_measure_batch")
        ),
        sa.CheckConstraint(
            "(kind = 'POINTS') = (points IS NOT NULL)", name=op.f("ck_playbook_measure_points")
        ),
        sa.CheckConstraint(
            "(kind IN ('MESSAGE', 'TASK')) = (text_zh IS NOT NULL) AND (text_zh IS NULL) = (text_en IS NULL)",
            name=op.f("ck_playbook_measure_text"),
        ),
        sa.CheckConstraint(
            "kind = 'TASK' OR NOT for_leader", name=op.f("ck_playbook_measure_leader")
        ),
        sa.CheckConstraint("contact_fen >= 0", name=op.f("ck_playbook_measure_contact")),
        sa.CheckConstraint("points BETWEEN 1 AND 100000", name=op.f("ck_playbook_measure_amount")),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["coupon_batch.id"], name=op.f("fk_playbook_measure_batch_id")
        ),
        sa.ForeignKeyConstraint(
            ["playbook_id"], ["playbook.id"], name=op.f("fk_playbook_measure_playbook_id")
        ),
        sa.PrimaryKeyConstraint(
            "playbook_id", "level", "audience", name=op.f("pk_playbook_measure")
        ),
    )
    op.create_table(
        "playbook_message",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column(
            "level",
            sa.Enum(
                "L1", "L2", "L3", name="level", native_enum=False, create_constraint=True, length=32
            ),
            nullable=False,
        ),
        sa.Column("text_zh", sa.Text(), nullable=False),
        sa.Column("text_en", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_playbook_message_member_id")
        ),
        sa.PrimaryKeyConstraint("member_id", "id", name=op.f("pk_playbook_message")),
    )
    op.create_index(
        op.f("ix_playbook_message_member_id_alert_id_level"),
        "playbook_message",
        ["member_id", "alert_id", "level"],
        unique=True,
    )
    op.create_table(
        "playbook_task",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column(
            "level",
            sa.Enum(
                "L1", "L2", "L3", name="level", native_enum=False, create_constraint=True, length=32
            ),
            nullable=False,
        ),
        sa.Column("community_id", sa.Uuid(), nullable=False),
        sa.Column("for_leader", sa.Boolean(), nullable=False),
        sa.Column("reasons", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("script_zh", sa.Text(), nullable=False),
        sa.Column("script_en", sa.Text(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "OPEN",
                "DONE",
                "CANCELLED",
                name="taskstate",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_by", sa.Uuid(), nullable=True),
        sa.Column(
            "result",
            sa.Enum(
                "REACHED",
                "NOT_REACHED",
                "DECLINED",
                name="taskresult",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=True,
        ),
        sa.Column("note", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(state = 'DONE') = (closed_by IS NOT NULL)", name=op.f("ck_playbook_task_by_somebody")
        ),
        sa.CheckConstraint(
            "(state = 'DONE') = (result IS NOT NULL)",
            name=op.f("ck_playbook_task_result_when_done"),
        ),
        sa.CheckConstraint(
            "(state = 'OPEN') = (closed_at IS NULL)", name=op.f("ck_playbook_task_closed")
        ),
        sa.ForeignKeyConstraint(
            ["community_id"], ["community.id"], name=op.f("fk_playbook_task_community_id")
        ),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_playbook_task_member_id")
        ),
        sa.PrimaryKeyConstraint("member_id", "id", name=op.f("pk_playbook_task")),
    )
    op.create_index(op.f("ix_playbook_task_id"), "playbook_task", ["id"], unique=True)
    op.create_index(
        op.f("ix_playbook_task_member_id_alert_id_level"),
        "playbook_task",
        ["member_id", "alert_id", "level"],
        unique=True,
    )
    op.create_index(
        "ix_playbook_task_queue",
        "playbook_task",
        ["state", "community_id", "due_at", "id"],
        unique=False,
    )
    for table in TRACKED:
        op.execute(f"SELECT track_member_changes('{table}')")


def downgrade() -> None:
    # Indexes and triggers go with their tables.
    for table in reversed(TABLES):
        op.drop_table(table)
