"""Merge, export and close members, and rotate the keys of their data"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TRACKED = ("member_closure", "member_merge", "data_export")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("member", sa.Column("merged_into", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_member_merged_into"), "member", "member", ["merged_into"], ["id"]
    )
    op.create_index(
        op.f("ix_member_merged_into"),
        "member",
        ["merged_into"],
        postgresql_where=sa.text("merged_into IS NOT NULL"),
    )
    op.create_check_constraint(
        op.f("ck_member_merged_is_closed"), "member", "merged_into IS NULL OR status = 'CLOSED'"
    )
    op.create_check_constraint(op.f("ck_member_merged_into_another"), "member", "merged_into <> id")
    op.add_column("identity", sa.Column("index_kid", sa.Text(), nullable=True))
    _create_closure()
    _create_merge()
    _create_exports()
    for table in TRACKED:
        op.execute(f"SELECT track_member_changes('{table}')")


def _create_closure() -> None:
    op.create_table(
        "member_closure",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("requested_at", INSTANT, nullable=False),
        sa.Column("erase_at", INSTANT, nullable=False),
        sa.Column("erased_at", INSTANT, nullable=True),
        sa.CheckConstraint("requested_at <= erase_at", name=op.f("ck_member_closure_grace")),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_member_closure_member_id")
        ),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_member_closure")),
    )
    op.create_index(
        op.f("ix_member_closure_erase_at"),
        "member_closure",
        ["erase_at"],
        postgresql_where=sa.text("erased_at IS NULL"),
    )


def _create_merge() -> None:
    op.create_table(
        "member_merge",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("merged_id", sa.Uuid(), nullable=False),
        sa.Column("merged_at", INSTANT, nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("figures", postgresql.JSONB(), nullable=False),
        sa.Column("settled_at", INSTANT, nullable=True),
        sa.CheckConstraint("member_id <> merged_id", name=op.f("ck_member_merge_two")),
        sa.CheckConstraint("reason <> ''", name=op.f("ck_member_merge_reason")),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_member_merge_member_id")
        ),
        sa.ForeignKeyConstraint(
            ["merged_id"], ["member.id"], name=op.f("fk_member_merge_merged_id")
        ),
        sa.PrimaryKeyConstraint("member_id", "merged_id", name=op.f("pk_member_merge")),
    )
    op.create_index(op.f("ix_member_merge_merged_id"), "member_merge", ["merged_id"], unique=True)
    op.create_index(
        "ix_member_merge_unsettled",
        "member_merge",
        ["merged_at"],
        postgresql_where=sa.text("settled_at IS NULL"),
    )


def _create_exports() -> None:
    state = sa.Enum(
        "WAITING",
        "READY",
        "FAILED",
        "ENDED",
        name="exportstate",
        native_enum=False,
        create_constraint=True,
        length=32,
    )
    op.create_table(
        "data_export",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("state", state, nullable=False),
        sa.Column("requested_at", INSTANT, nullable=False),
        sa.Column("ready_at", INSTANT, nullable=True),
        sa.Column("ends_at", INSTANT, nullable=True),
        sa.Column("bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "state <> 'READY' OR (ready_at IS NOT NULL AND ends_at > ready_at)",
            name=op.f("ck_data_export_ready"),
        ),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_data_export_member_id")
        ),
        sa.PrimaryKeyConstraint("member_id", "id", name=op.f("pk_data_export")),
    )
    op.create_index(op.f("ix_data_export_id"), "data_export", ["id"], unique=True)
    op.create_index(
        "uq_data_export_waiting",
        "data_export",
        ["member_id"],
        unique=True,
        postgresql_where=sa.text("state = 'WAITING'"),
    )
    op.create_index(
        "ix_data_export_due",
        "data_export",
        ["ends_at"],
        postgresql_where=sa.text("state = 'READY'"),
    )
    op.create_table(
        "data_export_part",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("export_id", sa.Uuid(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["member_id", "export_id"],
            ["data_export.member_id", "data_export.id"],
            name=op.f("fk_data_export_part_member_id_export_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("member_id", "export_id", "part", name=op.f("pk_data_export_part")),
    )


def downgrade() -> None:
    op.drop_table("data_export_part")
    op.drop_table("data_export")
    op.drop_table("member_merge")
    op.drop_table("member_closure")
    op.drop_column("identity", "index_kid")
    op.drop_constraint(op.f("ck_member_merged_into_another"), "member", type_="check")
    op.drop_constraint(op.f("ck_member_merged_is_closed"), "member", type_="check")
    op.drop_index(op.f("ix_member_merged_into"), table_name="member")
    op.drop_constraint(op.f("fk_member_merged_into"), "member", type_="foreignkey")
    op.drop_column("member", "merged_into")
