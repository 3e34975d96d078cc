"""Reserve and return coupons, make codes in advance and know persons across accounts"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Checked texts that know more values from now on: table, column, before, since.
WIDER = (
    ("coupon", "source", ("DROP", "CAMPAIGN", "STAFF"), ("CODE", "PACK", "GIFT")),
    ("coupon_batch", "code_mode", ("NONE", "UNIQUE"), ("BULK",)),
)
OUTCOMES = ("CAME_BACK", "POLICY", "TOO_LATE", "BATCH_REVOKED", "NO_BUDGET")
RESERVATION = (
    "(state = 'RESERVED') = (reserved_until IS NOT NULL)"
    " AND (reserved_until IS NULL) = (reserved_for IS NULL)"
)


def _check(table: str, name: str, condition: str) -> None:
    """Look at the rows that are there without keeping writers away."""
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID")
    op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def _allow(table: str, column: str, values: Sequence[str]) -> None:
    op.drop_constraint(op.f(f"ck_{table}_{column}"), table, type_="check")
    listed = ", ".join(f"'{value}'" for value in values)
    _check(table, f"ck_{table}_{column}", f"{column} IN ({listed})")


def upgrade() -> None:
    for table, column, before, more in WIDER:
        _allow(table, column, (*before, *more))
    op.add_column("coupon_template", sa.Column("per_identity", sa.BigInteger(), nullable=True))
    op.add_column("coupon_template", sa.Column("ready_key", sa.Text(), nullable=True))
    _check("coupon_template", "ck_coupon_template_per_identity", "per_identity > 0")
    op.create_index(
        op.f("ix_coupon_template_ready_key"),
        "coupon_template",
        ["ready_key"],
        unique=True,
        postgresql_where=sa.text("ready_key IS NOT NULL"),
    )
    op.add_column("coupon", sa.Column("reserved_for", sa.Text(), nullable=True))
    op.add_column("coupon", sa.Column("reserved_until", sa.DateTime(timezone=True), nullable=True))
    _check("coupon", "ck_coupon_reservation", RESERVATION)
    op.create_index(
        "ix_coupon_reserved",
        "coupon",
        ["reserved_until"],
        postgresql_where=sa.text("state = 'RESERVED'"),
    )
    op.add_column(
        "coupon_redemption",
        sa.Column("lost_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column("coupon_redemption", sa.Column("settlement", postgresql.JSONB(), nullable=True))
    _check("coupon_redemption", "ck_coupon_redemption_lost", "lost_fen BETWEEN 0 AND discount_fen")
    _create_return()
    _create_code()
    _create_person()


def _create_return() -> None:
    outcome = sa.Enum(
        *OUTCOMES, name="returnoutcome", native_enum=False, create_constraint=False, length=32
    )
    listed = ", ".join(f"'{value}'" for value in OUTCOMES)
    op.create_table(
        "coupon_return",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("coupon_id", sa.Uuid(), nullable=False),
        sa.Column("order_ref", sa.Text(), nullable=False),
        sa.Column("discount_fen", sa.BigInteger(), nullable=False),
        sa.Column("explanation", postgresql.JSONB(), nullable=False),
        sa.Column("redeemed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", outcome, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(f"outcome IN ({listed})", name=op.f("ck_coupon_return_outcome")),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_coupon_return_member_id")
        ),
        sa.PrimaryKeyConstraint(
            "member_id", "coupon_id", "order_ref", name=op.f("pk_coupon_return")
        ),
    )
    op.execute("SELECT track_member_changes('coupon_return')")


def _create_code() -> None:
    op.create_table(
        "coupon_code",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("coupon_id", sa.Uuid(), nullable=True),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(coupon_id IS NULL) = (taken_at IS NULL)", name=op.f("ck_coupon_code_taken")
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["coupon_batch.id"], name=op.f("fk_coupon_code_batch_id")
        ),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_coupon_code")),
    )
    op.create_index(op.f("ix_coupon_code_batch_id"), "coupon_code", ["batch_id"])


def _create_person() -> None:
    op.create_table(
        "coupon_person",
        sa.Column("template_id", sa.Uuid(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("nth", sa.BigInteger(), nullable=False),
        sa.Column("coupon_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("nth > 0", name=op.f("ck_coupon_person_nth")),
        sa.ForeignKeyConstraint(
            ["template_id"], ["coupon_template.id"], name=op.f("fk_coupon_person_template_id")
        ),
        sa.PrimaryKeyConstraint("template_id", "person", "nth", name=op.f("pk_coupon_person")),
    )
    op.create_index(op.f("ix_coupon_person_coupon_id"), "coupon_person", ["coupon_id"])


def downgrade() -> None:
    for table in ("coupon_person", "coupon_code", "coupon_return"):
        op.drop_table(table)
    op.drop_constraint(op.f("ck_coupon_redemption_lost"), "coupon_redemption", type_="check")
    op.drop_column("coupon_redemption", "settlement")
    op.drop_column("coupon_redemption", "lost_fen")
    op.drop_index("ix_coupon_reserved", table_name="coupon")
    op.drop_constraint(op.f("ck_coupon_reservation"), "coupon", type_="check")
    op.drop_column("coupon", "reserved_until")
    op.drop_column("coupon", "reserved_for")
    op.drop_index(op.f("ix_coupon_template_ready_key"), table_name="coupon_template")
    op.drop_constraint(op.f("ck_coupon_template_per_identity"), "coupon_template", type_="check")
    op.drop_column("coupon_template", "ready_key")
    op.drop_column("coupon_template", "per_identity")
    for table, column, before, _ in WIDER:
        _allow(table, column, before)
