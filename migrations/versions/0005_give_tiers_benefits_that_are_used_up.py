"""Give tiers benefits that are used up"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

REASONS = ("GROWTH", "MONTHLY_UPGRADE", "MONTHLY_DOWNGRADE", "OVERRIDE")
TRACKED = ("entitlement", "benefit_use", "tier_notice")

# The benefits that tiers hold so far become rows of the catalogue, under the first name found.
CATALOGUE = """
INSERT INTO benefit (code, name_zh, name_en, kind)
SELECT DISTINCT ON (b ->> 'code') b ->> 'code', b ->> 'zh', b ->> 'en',
    CASE b ->> 'code'
        WHEN 'priority-delivery' THEN 'DELIVERY'
        WHEN 'new-product-trial' THEN 'TRIAL'
        WHEN 'vip-group' THEN 'GROUP'
        WHEN 'dedicated-service' THEN 'SERVICE'
        WHEN 'early-purchase' THEN 'EARLY_ACCESS'
        WHEN 'offline-event' THEN 'EVENT'
        WHEN 'birthday-gift' THEN 'GIFT'
        ELSE 'OTHER' END
FROM tier t CROSS JOIN LATERAL jsonb_array_elements(t.benefits) AS b
WHERE b ->> 'code' IS NOT NULL AND b ->> 'zh' IS NOT NULL AND b ->> 'en' IS NOT NULL
ORDER BY b ->> 'code', t.rank
"""
GRANTED = """
INSERT INTO tier_benefit (tier_code, benefit_code, place, quota, window_kind)
SELECT t.code, c.code, b.place,
    CASE WHEN l.limited THEN (b.value ->> 'quota')::bigint END,
    CASE WHEN l.limited THEN b.value ->> 'window' END
FROM tier t
CROSS JOIN LATERAL jsonb_array_elements(t.benefits) WITH ORDINALITY AS b(value, place)
JOIN benefit c ON c.code = b.value ->> 'code'
CROSS JOIN LATERAL (
    SELECT (b.value ->> 'quota')::bigint > 0 AND b.value ->> 'window' IN ('MONTH', 'YEAR')
) AS l(limited)
ON CONFLICT DO NOTHING
"""


def _checked(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def _window(*, nullable: bool) -> sa.Column[str]:
    kind = _checked("benefitwindow", "MONTH", "QUARTER", "YEAR", "LIFETIME")
    return sa.Column("window_kind", kind, nullable=nullable)


def _key(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=op.f(f"fk_{table}_{column}"))


def _reasons(*values: str) -> None:
    listed = ", ".join(f"'{value}'" for value in values)
    op.drop_constraint(op.f("ck_tier_change_reason"), "tier_change", type_="check")
    op.execute(
        "ALTER TABLE tier_change ADD CONSTRAINT ck_tier_change_reason"
        f" CHECK (reason IN ({listed})) NOT VALID"
    )
    op.execute("ALTER TABLE tier_change VALIDATE CONSTRAINT ck_tier_change_reason")


def _catalogue() -> None:
    op.create_table(
        "benefit",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name_zh", sa.Text(), nullable=False),
        sa.Column("name_en", sa.Text(), nullable=False),
        sa.Column("description_zh", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("description_en", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column(
            "kind",
            _checked(
                "benefitkind",
                "DELIVERY",
                "TRIAL",
                "GROUP",
                "BUNDLE",
                "SERVICE",
                "EARLY_ACCESS",
                "EVENT",
                "PARTNER",
                "GIFT",
                "OTHER",
            ),
            nullable=False,
        ),
        sa.Column("needs_booking", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("partner", sa.Text(), nullable=True),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_benefit")),
    )
    op.create_table(
        "tier_benefit",
        sa.Column("tier_code", sa.Text(), nullable=False),
        sa.Column("benefit_code", sa.Text(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("quota", sa.BigInteger(), nullable=True),
        _window(nullable=True),
        sa.CheckConstraint("quota > 0", name=op.f("ck_tier_benefit_quota")),
        sa.CheckConstraint(
            "(quota IS NULL) = (window_kind IS NULL)", name=op.f("ck_tier_benefit_limited")
        ),
        _key("tier_benefit", "tier_code", "tier.code"),
        _key("tier_benefit", "benefit_code", "benefit.code"),
        sa.PrimaryKeyConstraint("tier_code", "benefit_code", name=op.f("pk_tier_benefit")),
    )
    op.create_index(op.f("ix_tier_benefit_benefit_code"), "tier_benefit", ["benefit_code"])
    op.execute(CATALOGUE)
    op.execute(GRANTED)


def _slots() -> None:
    op.create_table(
        "benefit_slot",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("benefit_code", sa.Text(), nullable=False),
        sa.Column("community_id", sa.Uuid(), nullable=True),
        sa.Column("venue", sa.Text(), nullable=True),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("capacity", sa.BigInteger(), nullable=False),
        sa.Column("booked", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("capacity > 0", name=op.f("ck_benefit_slot_capacity")),
        sa.CheckConstraint("booked BETWEEN 0 AND capacity", name=op.f("ck_benefit_slot_booked")),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("ck_benefit_slot_ends")),
        _key("benefit_slot", "benefit_code", "benefit.code"),
        _key("benefit_slot", "community_id", "community.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_benefit_slot")),
    )
    op.create_index(
        op.f("ix_benefit_slot_benefit_code_starts_at_id"),
        "benefit_slot",
        ["benefit_code", "starts_at", "id"],
    )


def _uses() -> None:
    op.create_table(
        "benefit_use",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("benefit_code", sa.Text(), nullable=False),
        sa.Column("tier_code", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column(
            "state",
            _checked("usestate", "BOOKED", "USED", "NO_SHOW", "CANCELLED", "REVERSED"),
            nullable=False,
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("slot_id", sa.Uuid(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("reversal_reason", sa.Text(), nullable=True),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_benefit_use_quantity")),
        sa.CheckConstraint(
            "slot_id IS NOT NULL OR state NOT IN ('BOOKED', 'NO_SHOW', 'CANCELLED')",
            name=op.f("ck_benefit_use_booking"),
        ),
        sa.CheckConstraint(
            "(state = 'REVERSED') = (reversal_reason IS NOT NULL)",
            name=op.f("ck_benefit_use_reversed"),
        ),
        _key("benefit_use", "member_id", "member.id"),
        _key("benefit_use", "benefit_code", "benefit.code"),
        _key("benefit_use", "tier_code", "tier.code"),
        _key("benefit_use", "slot_id", "benefit_slot.id"),
        sa.PrimaryKeyConstraint("member_id", "id", name=op.f("pk_benefit_use")),
    )
    op.create_index(
        "uq_benefit_use_slot",
        "benefit_use",
        ["member_id", "slot_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('BOOKED', 'USED', 'NO_SHOW')"),
    )
    op.create_index(
        "uq_benefit_use_reference",
        "benefit_use",
        ["benefit_code", "reference"],
        unique=True,
        postgresql_where=sa.text("state <> 'REVERSED'"),
    )
    op.create_index(op.f("ix_benefit_use_slot_id"), "benefit_use", ["slot_id"])


def _counters() -> None:
    op.create_table(
        "entitlement",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("benefit_code", sa.Text(), nullable=False),
        _window(nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("quota", sa.BigInteger(), nullable=True),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("used >= 0", name=op.f("ck_entitlement_used")),
        sa.CheckConstraint("quota IS NULL OR used <= quota", name=op.f("ck_entitlement_quota")),
        _key("entitlement", "member_id", "member.id"),
        _key("entitlement", "benefit_code", "benefit.code"),
        sa.PrimaryKeyConstraint(
            "member_id", "benefit_code", "window_kind", "starts_on", name=op.f("pk_entitlement")
        ),
    )
    op.create_table(
        "tier_notice",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("days", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        _key("tier_notice", "member_id", "member.id"),
        sa.PrimaryKeyConstraint("member_id", "month", "days", name=op.f("pk_tier_notice")),
    )


def upgrade() -> None:
    _reasons(*REASONS, "MERGE")
    _catalogue()
    _slots()
    _uses()
    _counters()
    op.create_index(
        "ix_tier_standing_unsafe",
        "tier_standing",
        ["member_id"],
        postgresql_where=sa.text("state <> 'STEADY'"),
    )
    for table in TRACKED:
        op.execute(f"SELECT track_member_changes('{table}')")


def downgrade() -> None:
    op.drop_index("ix_tier_standing_unsafe", table_name="tier_standing")
    for table in (
        "tier_notice",
        "entitlement",
        "benefit_use",
        "benefit_slot",
        "tier_benefit",
        "benefit",
    ):
        op.drop_table(table)
    op.execute("DELETE FROM tier_change WHERE reason = 'MERGE'")
    _reasons(*REASONS)
