"""Open drops early for some, and compensate those that are cancelled"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


SOLD_OUT = "(state = 'SOLD_OUT') = (claimed = stock)"
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    for column in (
        sa.Column("min_rank", sa.BigInteger(), nullable=True),
        sa.Column("guests_only", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("early_opens_at", INSTANT, nullable=True),
        sa.Column("early_stock", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    ):
        op.add_column("coupon_drop", column)
    op.drop_constraint(op.f("ck_coupon_drop_sold_out"), "coupon_drop", type_="check")
    for name, rule in (
        ("sold_out", f"state = 'CANCELLED' OR {SOLD_OUT}"),
        ("early_stock", "early_stock >= 0 AND early_stock <= stock"),
        ("early", "(early_opens_at IS NULL) = (early_stock = 0)"),
        ("min_rank", "min_rank > 0"),
    ):
        op.create_check_constraint(op.f(f"ck_coupon_drop_{name}"), "coupon_drop", rule)
    _windows()
    _guests()
    _identities()
    _cancellations()


def _windows() -> None:
    op.create_table(
        "drop_window",
        sa.Column("drop_id", sa.Uuid(), nullable=False),
        sa.Column("opens_at", INSTANT, nullable=False),
        sa.Column("rank", sa.BigInteger(), nullable=False),
        sa.Column("stock", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("rank > 0", name=op.f("ck_drop_window_rank")),
        sa.CheckConstraint("stock > 0", name=op.f("ck_drop_window_stock")),
        sa.ForeignKeyConstraint(
            ["drop_id"], ["coupon_drop.id"], name=op.f("fk_drop_window_drop_id")
        ),
        sa.PrimaryKeyConstraint("drop_id", "opens_at", name=op.f("pk_drop_window")),
    )
    op.create_index(
        op.f("ix_drop_window_drop_id_rank"), "drop_window", ["drop_id", "rank"], unique=True
    )


def _guests() -> None:
    op.create_table(
        "drop_guest",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("drop_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_drop_guest_member_id")),
        sa.ForeignKeyConstraint(
            ["drop_id"], ["coupon_drop.id"], name=op.f("fk_drop_guest_drop_id")
        ),
        sa.PrimaryKeyConstraint("member_id", "drop_id", name=op.f("pk_drop_guest")),
    )
    op.create_index(op.f("ix_drop_guest_drop_id"), "drop_guest", ["drop_id"])
    op.execute("SELECT track_member_changes('drop_guest')")


def _identities() -> None:
    kinds = ("WECHAT_OPENID", "WECHAT_UNIONID", "PHONE", "STORE_CARD")
    op.create_table(
        "drop_identity",
        sa.Column("drop_id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                *kinds, name="identitykind", native_enum=False, create_constraint=True, length=32
            ),
            nullable=False,
        ),
        sa.Column("app", sa.Text(), nullable=False),
        sa.Column("blind", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("drop_id", "kind", "app", "blind", name=op.f("pk_drop_identity")),
    )


def _cancellations() -> None:
    fate = sa.Enum(
        "KEEP", "REVOKE", name="claimsfate", native_enum=False, create_constraint=True, length=32
    )
    op.create_table(
        "drop_cancellation",
        sa.Column("drop_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("fate", fate, nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=True),
        sa.Column("batch_id", sa.Uuid(), nullable=True),
        sa.Column("promised", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("given", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("revoked", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("position_at", INSTANT, nullable=True),
        sa.Column("position", sa.Uuid(), nullable=True),
        sa.Column("cancelled_by", sa.Uuid(), nullable=True),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("done_at", INSTANT, nullable=True),
        sa.CheckConstraint("points > 0", name=op.f("ck_drop_cancellation_points")),
        sa.CheckConstraint(
            "fate = 'REVOKE' OR (points IS NULL AND batch_id IS NULL)",
            name=op.f("ck_drop_cancellation_compensation"),
        ),
        sa.CheckConstraint(
            "revoked >= 0 AND given >= 0 AND given <= revoked",
            name=op.f("ck_drop_cancellation_revoked"),
        ),
        sa.CheckConstraint("promised >= given", name=op.f("ck_drop_cancellation_promised")),
        sa.ForeignKeyConstraint(
            ["drop_id"], ["coupon_drop.id"], name=op.f("fk_drop_cancellation_drop_id")
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["coupon_batch.id"], name=op.f("fk_drop_cancellation_batch_id")
        ),
        sa.PrimaryKeyConstraint("drop_id", name=op.f("pk_drop_cancellation")),
    )
    op.create_index(
        "ix_drop_cancellation_open",
        "drop_cancellation",
        ["at"],
        postgresql_where=sa.text("done_at IS NULL"),
    )


def downgrade() -> None:
    for table in ("drop_cancellation", "drop_identity", "drop_guest", "drop_window"):
        op.drop_table(table)
    for name in ("min_rank", "early", "early_stock", "sold_out"):
        op.drop_constraint(op.f(f"ck_coupon_drop_{name}"), "coupon_drop", type_="check")
    # The older rule knows no cancelled drop of which everything was claimed.
    op.execute("UPDATE coupon_drop SET state = 'SOLD_OUT' WHERE claimed = stock")
    op.create_check_constraint(op.f("ck_coupon_drop_sold_out"), "coupon_drop", SOLD_OUT)
    for column in ("early_stock", "early_opens_at", "guests_only", "min_rank"):
        op.drop_column("coupon_drop", column)
