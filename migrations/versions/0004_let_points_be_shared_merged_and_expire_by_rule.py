"""Let points be shared, merged and expire by rule of their source"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Tables of 0004 whose rows are facts of a member that members see.
TRACKED = ("share", "invitation")


def _enum(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.add_column("points_account", sa.Column("merged_into", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_points_account_merged_into"), "points_account", "member", ["merged_into"], ["id"]
    )
    # Checked for new rows at once and for the others without keeping writers out.
    op.execute(
        "ALTER TABLE points_account ADD CONSTRAINT ck_points_account_merged_is_empty CHECK"
        " (merged_into IS NULL OR (active = 0 AND pending = 0 AND debt = 0)) NOT VALID"
    )
    op.execute("ALTER TABLE points_account VALIDATE CONSTRAINT ck_points_account_merged_is_empty")
    op.create_index(
        op.f("ix_points_account_merged_into"),
        "points_account",
        ["merged_into"],
        postgresql_where=sa.text("merged_into IS NOT NULL"),
    )
    op.create_table(
        "points_expiry_notice",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("currency", _enum("currency", "POINTS", "CARBON"), nullable=False),
        _instant("expires_at"),
        sa.Column("points", sa.BigInteger(), nullable=False),
        _instant("at"),
        sa.PrimaryKeyConstraint(
            "member_id", "currency", "expires_at", name=op.f("pk_points_expiry_notice")
        ),
    )
    _create_sharing()
    _create_notices()
    for table in TRACKED:
        op.execute(f"SELECT track_member_changes('{table}')")


def _create_sharing() -> None:
    op.create_table(
        "share",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "target_kind", _enum("target_kind", "PRODUCT", "DROP", "COMMUNITY"), nullable=False
        ),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        _instant("created_at"),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_share_member_id")),
        sa.PrimaryKeyConstraint("member_id", "id", name=op.f("pk_share")),
    )
    op.create_index(
        op.f("ix_share_member_id_target_kind_target"),
        "share",
        ["member_id", "target_kind", "target"],
        unique=True,
    )
    op.create_index(op.f("ix_share_code"), "share", ["code"], unique=True)
    op.create_table(
        "invitation",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("inviter_id", sa.Uuid(), nullable=False),
        sa.Column("share_id", sa.Uuid(), nullable=False),
        sa.Column("state", _enum("state", "ACCEPTED", "REWARDED", "VOID"), nullable=False),
        _instant("accepted_at"),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("points", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "inviter_id <> member_id OR state = 'VOID'", name=op.f("ck_invitation_not_oneself")
        ),
        sa.CheckConstraint(
            "(state = 'REWARDED') = (order_id IS NOT NULL)",
            name=op.f("ck_invitation_rewarded_for_order"),
        ),
        sa.ForeignKeyConstraint(
            ["inviter_id"], ["member.id"], name=op.f("fk_invitation_inviter_id")
        ),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_invitation_member_id")),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_invitation")),
    )
    op.create_index(
        op.f("ix_invitation_inviter_id_accepted_at"), "invitation", ["inviter_id", "accepted_at"]
    )
    kinds = ("WECHAT_OPENID", "WECHAT_UNIONID", "PHONE", "STORE_CARD")
    op.create_table(
        "invited_identity",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("kind", _enum("kind", *kinds), nullable=False),
        sa.Column("app", sa.Text(), nullable=False),
        sa.Column("blind", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_invited_identity_member_id")
        ),
        sa.PrimaryKeyConstraint(
            "member_id", "kind", "app", "blind", name=op.f("pk_invited_identity")
        ),
    )
    op.create_index(
        op.f("ix_invited_identity_kind_app_blind"),
        "invited_identity",
        ["kind", "app", "blind"],
        unique=True,
    )


def _create_notices() -> None:
    op.create_table(
        "staff_notice",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        _instant("at"),
        _instant("acknowledged_at", nullable=True),
        sa.Column("acknowledged_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "(acknowledged_at IS NULL) = (acknowledged_by IS NULL)",
            name=op.f("ck_staff_notice_acknowledged_by_somebody"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_notice")),
    )
    op.create_index(
        op.f("ix_staff_notice_kind_subject_day"),
        "staff_notice",
        ["kind", "subject", "day"],
        unique=True,
    )
    op.create_index(op.f("ix_staff_notice_at_id"), "staff_notice", ["at", "id"])


def downgrade() -> None:
    op.drop_table("staff_notice")
    op.drop_table("invited_identity")
    op.drop_table("invitation")
    op.drop_table("share")
    op.drop_table("points_expiry_notice")
    op.drop_index(op.f("ix_points_account_merged_into"), table_name="points_account")
    op.drop_constraint(op.f("ck_points_account_merged_is_empty"), "points_account", type_="check")
    op.drop_constraint(op.f("fk_points_account_merged_into"), "points_account", type_="foreignkey")
    op.drop_column("points_account", "merged_into")
