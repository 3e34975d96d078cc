"""Keep packs, gifts and birthdays"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# What members see of them raises their version; see app/kernel/versions.py.
TRACKED = ("birthday_change", "gift_hold", "pack_claim", "pack_part")
TABLES = (
    "festival",
    "gift_offer",
    "occasion_progress",
    "pack",
    "birthday_change",
    "gift_hold",
    "occasion_gift",
    "pack_claim",
    "pack_item",
    "occasion_grant",
    "pack_part",
)


def upgrade() -> None:
    op.create_table(
        "festival",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name_zh", sa.Text(), nullable=False),
        sa.Column("name_en", sa.Text(), nullable=False),
        sa.Column(
            "calendar",
            sa.Enum(
                "SOLAR",
                "LUNAR",
                name="calendar",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("month", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "month BETWEEN 1 AND 12 AND day BETWEEN 1 AND 31", name=op.f("ck_festival_day")
        ),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_festival")),
    )
    op.create_table(
        "gift_offer",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("price_fen", sa.BigInteger(), server_default=sa.text("100"), nullable=False),
        sa.Column("stock", sa.BigInteger(), nullable=False),
        sa.Column(
            "cycle",
            sa.Enum(
                "EVER",
                "MONTH",
                "YEAR",
                name="giftcycle",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("promised", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("held", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("taken", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("opens_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closes_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "closes_at IS NULL OR opens_at < closes_at", name=op.f("ck_gift_offer_hours")
        ),
        sa.CheckConstraint("price_fen > 0", name=op.f("ck_gift_offer_price")),
        sa.CheckConstraint(
            "promised >= 0 AND held >= 0 AND taken >= 0 AND promised + held + taken <= stock",
            name=op.f("ck_gift_offer_within_stock"),
        ),
        sa.CheckConstraint("stock > 0", name=op.f("ck_gift_offer_stock")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gift_offer")),
    )
    op.create_table(
        "occasion_progress",
        sa.Column("occasion", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("through", sa.Date(), nullable=False),
        sa.Column("position", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("occasion", "zone", name=op.f("pk_occasion_progress")),
    )
    op.create_table(
        "pack",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "DRAFT",
                "OPEN",
                "CLOSED",
                name="packstate",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "once",
            sa.Enum(
                "EVER",
                "PER_EPISODE",
                name="packonce",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("stock", sa.BigInteger(), nullable=False),
        sa.Column("claimed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("claimed BETWEEN 0 AND stock", name=op.f("ck_pack_claimed")),
        sa.CheckConstraint("stock > 0", name=op.f("ck_pack_stock")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pack")),
    )
    op.create_table(
        "birthday_change",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("from_cycle", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_birthday_change_member_id")
        ),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_birthday_change")),
    )
    op.create_table(
        "gift_hold",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("offer_id", sa.Uuid(), nullable=False),
        sa.Column("cycle", sa.Text(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "HELD",
                "TAKEN",
                "RELEASED",
                "EXPIRED",
                name="holdstate",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("held_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("order_ref", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(state = 'HELD') = (ended_at IS NULL)", name=op.f("ck_gift_hold_ended")
        ),
        sa.CheckConstraint(
            "(state = 'TAKEN') = (order_ref IS NOT NULL)", name=op.f("ck_gift_hold_taken")
        ),
        sa.CheckConstraint("held_at < expires_at", name=op.f("ck_gift_hold_hours")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_gift_hold_member_id")),
        sa.ForeignKeyConstraint(
            ["offer_id"], ["gift_offer.id"], name=op.f("fk_gift_hold_offer_id")
        ),
        sa.PrimaryKeyConstraint("member_id", "id", name=op.f("pk_gift_hold")),
    )
    op.create_index(
        "ix_gift_hold_due",
        "gift_hold",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("state = 'HELD'"),
    )
    op.create_index(
        "ix_gift_hold_held",
        "gift_hold",
        ["offer_id"],
        unique=False,
        postgresql_where=sa.text("state = 'HELD'"),
    )
    op.create_index(
        "uq_gift_hold_cycle",
        "gift_hold",
        ["member_id", "offer_id", "cycle"],
        unique=True,
        postgresql_where=sa.text("state IN ('HELD', 'TAKEN')"),
    )
    op.create_table(
        "occasion_gift",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("occasion", sa.Text(), nullable=False),
        sa.Column("tier_code", sa.Text(), nullable=True),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["coupon_batch.id"], name=op.f("fk_occasion_gift_batch_id")
        ),
        sa.ForeignKeyConstraint(
            ["tier_code"], ["tier.code"], name=op.f("fk_occasion_gift_tier_code")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_occasion_gift")),
    )
    op.create_index(
        "uq_occasion_gift_for_all",
        "occasion_gift",
        ["occasion"],
        unique=True,
        postgresql_where=sa.text("tier_code IS NULL AND ended_at IS NULL"),
    )
    op.create_index(
        "uq_occasion_gift_for_tier",
        "occasion_gift",
        ["occasion", "tier_code"],
        unique=True,
        postgresql_where=sa.text("tier_code IS NOT NULL AND ended_at IS NULL"),
    )
    op.create_table(
        "pack_claim",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("pack_id", sa.Uuid(), nullable=False),
        sa.Column("once_for", sa.Uuid(), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_pack_claim_member_id")),
        sa.ForeignKeyConstraint(["pack_id"], ["pack.id"], name=op.f("fk_pack_claim_pack_id")),
        sa.PrimaryKeyConstraint("member_id", "id", name=op.f("pk_pack_claim")),
    )
    op.create_index(
        op.f("ix_pack_claim_member_id_pack_id_once_for"),
        "pack_claim",
        ["member_id", "pack_id", "once_for"],
        unique=True,
    )
    op.create_index(op.f("ix_pack_claim_pack_id"), "pack_claim", ["pack_id"], unique=False)
    op.create_table(
        "pack_item",
        sa.Column("pack_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column(
            "unlock",
            sa.Enum(
                "AT_ONCE",
                "DAY_N",
                "WHEN_PREVIOUS_REDEEMED",
                name="unlock",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("day", sa.BigInteger(), nullable=True),
        sa.Column("batch_id", sa.Uuid(), nullable=True),
        sa.Column("points", sa.BigInteger(), nullable=True),
        sa.Column("offer_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "(unlock = 'DAY_N') = (day IS NOT NULL) AND day > 1", name=op.f("ck_pack_item_day")
        ),
        sa.CheckConstraint(
            "position > 0 AND (position > 1 OR unlock <> 'WHEN_PREVIOUS_REDEEMED')",
            name=op.f("ck_pack_item_position"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(batch_id, points, offer_id) = 1", name=op.f("ck_pack_item_one_thing")
        ),
        sa.CheckConstraint("points > 0", name=op.f("ck_pack_item_points")),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["coupon_batch.id"], name=op.f("fk_pack_item_batch_id")
        ),
        sa.ForeignKeyConstraint(
            ["offer_id"], ["gift_offer.id"], name=op.f("fk_pack_item_offer_id")
        ),
        sa.ForeignKeyConstraint(["pack_id"], ["pack.id"], name=op.f("fk_pack_item_pack_id")),
        sa.PrimaryKeyConstraint("pack_id", "position", name=op.f("pk_pack_item")),
    )
    op.create_table(
        "occasion_grant",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("occasion", sa.Text(), nullable=False),
        sa.Column("cycle", sa.BigInteger(), nullable=False),
        sa.Column("gift_id", sa.Uuid(), nullable=False),
        sa.Column(
            "outcome",
            sa.Enum(
                "PENDING",
                "GRANTED",
                "AT_LIMIT",
                "NO_STOCK",
                name="grantoutcome",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("coupon_id", sa.Uuid(), nullable=True),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["gift_id"], ["occasion_gift.id"], name=op.f("fk_occasion_grant_gift_id")
        ),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_occasion_grant_member_id")
        ),
        sa.PrimaryKeyConstraint("member_id", "occasion", "cycle", name=op.f("pk_occasion_grant")),
    )
    op.create_table(
        "pack_part",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("claim_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("pack_id", sa.Uuid(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "LOCKED",
                "GIVEN",
                "LAPSED",
                name="partstate",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("unlocks_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("coupon_id", sa.Uuid(), nullable=True),
        sa.Column("hold_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "(state = 'LOCKED') = (ended_at IS NULL)", name=op.f("ck_pack_part_ended")
        ),
        sa.ForeignKeyConstraint(
            ["member_id", "claim_id"],
            ["pack_claim.member_id", "pack_claim.id"],
            name=op.f("fk_pack_part_member_id_claim_id"),
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["pack_id", "position"],
            ["pack_item.pack_id", "pack_item.position"],
            name=op.f("fk_pack_part_pack_id_position"),
        ),
        sa.PrimaryKeyConstraint("member_id", "claim_id", "position", name=op.f("pk_pack_part")),
    )
    op.create_index(
        "ix_pack_part_due",
        "pack_part",
        ["unlocks_at"],
        unique=False,
        postgresql_where=sa.text("state = 'LOCKED'"),
    )
    op.create_index(
        "ix_pack_part_waiting",
        "pack_part",
        ["member_id", "claim_id"],
        unique=False,
        postgresql_where=sa.text("state = 'LOCKED' AND unlocks_at IS NULL"),
    )
    for table in TRACKED:
        op.execute(f"SELECT track_member_changes('{table}')")


def downgrade() -> None:
    # Indexes and triggers go with their tables.
    for table in reversed(TABLES):
        op.drop_table(table)
