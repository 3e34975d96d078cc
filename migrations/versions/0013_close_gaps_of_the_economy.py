"""Bind coupons, drops and slots to the last of their rules"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Table, name and condition of each check that takes the place of one, with what it was before.
CHECKS = (
    (
        "gift_hold",
        "state",
        "state IN ('HELD', 'TAKEN', 'RELEASED', 'EXPIRED', 'RETURNED')",
        "state IN ('HELD', 'TAKEN', 'RELEASED', 'EXPIRED')",
    ),
    (
        "gift_hold",
        "taken",
        "(state IN ('TAKEN', 'RETURNED')) = (order_ref IS NOT NULL)",
        "(state = 'TAKEN') = (order_ref IS NOT NULL)",
    ),
)

MOST_LIVE_IN = """
UPDATE {table} SET zone = lived.time_zone FROM (
    SELECT c.time_zone FROM community c JOIN member m ON m.community_id = c.id
    GROUP BY c.time_zone ORDER BY count(*) DESC, c.time_zone LIMIT 1
) lived WHERE zone <> lived.time_zone
"""


def _check(table: str, name: str, condition: str) -> None:
    op.drop_constraint(op.f(f"ck_{table}_{name}"), table, type_="check")
    op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, condition)


def upgrade() -> None:
    op.add_column(
        "coupon_template",
        sa.Column("first_order", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.execute(
        "UPDATE coupon_template SET first_order = true WHERE ready_key = 'newcomer.first-order'"
    )
    op.add_column("coupon_batch", sa.Column("drafted_by", sa.Uuid(), nullable=True))
    op.add_column(
        "coupon_batch",
        sa.Column("approved_alone", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.create_check_constraint(
        op.f("ck_coupon_batch_four_eyes"),
        "coupon_batch",
        "approved_by <> drafted_by OR approved_alone",
    )
    for table, name, now, _ in CHECKS:
        _check(table, name, now)
    op.create_index(
        "ix_gift_hold_taken",
        "gift_hold",
        ["member_id", "order_ref"],
        postgresql_where=sa.text("state = 'TAKEN'"),
    )
    op.add_column(
        "benefit_slot", sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("benefit_slot", sa.Column("cancel_reason", sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("ck_benefit_slot_cancelled"),
        "benefit_slot",
        "(cancelled_at IS NULL) = (cancel_reason IS NULL) AND (cancelled_at IS NULL OR booked = 0)",
    )

    _part_runs_by_zone()
    op.create_index(op.f("ix_coupon_person_person"), "coupon_person", ["person"])
    op.add_column(
        "coupon_drop", sa.Column("terms", sa.BigInteger(), server_default="1", nullable=False)
    )


def _part_runs_by_zone() -> None:
    zone = "Asia/Shanghai"
    op.add_column("tier_run", sa.Column("zone", sa.Text(), server_default=zone, nullable=False))
    op.add_column("tier_move", sa.Column("zone", sa.Text(), server_default=zone, nullable=False))
    op.drop_constraint(op.f("fk_tier_move_month"), "tier_move", type_="foreignkey")
    op.drop_constraint(op.f("pk_tier_run"), "tier_run", type_="primary")
    # Past runs looked from one zone's midnight: that of most members, wherever it is.
    op.execute(MOST_LIVE_IN.format(table="tier_run"))
    op.execute(MOST_LIVE_IN.format(table="tier_move"))
    op.create_primary_key(op.f("pk_tier_run"), "tier_run", ["month", "zone"])
    op.create_foreign_key(
        op.f("fk_tier_move_month_zone"),
        "tier_move",
        "tier_run",
        ["month", "zone"],
        ["month", "zone"],
    )


def _join_runs() -> None:
    op.drop_constraint(op.f("fk_tier_move_month_zone"), "tier_move", type_="foreignkey")
    op.drop_constraint(op.f("pk_tier_run"), "tier_run", type_="primary")
    op.execute(
        "DELETE FROM tier_run r USING tier_run o WHERE o.month = r.month AND o.zone < r.zone"
    )
    op.create_primary_key(op.f("pk_tier_run"), "tier_run", ["month"])
    op.create_foreign_key(op.f("fk_tier_move_month"), "tier_move", "tier_run", ["month"], ["month"])
    op.drop_column("tier_move", "zone")
    op.drop_column("tier_run", "zone")


def downgrade() -> None:
    op.drop_column("coupon_drop", "terms")
    op.drop_index(op.f("ix_coupon_person_person"), table_name="coupon_person")
    _join_runs()
    op.drop_constraint(op.f("ck_benefit_slot_cancelled"), "benefit_slot", type_="check")
    # What is cancelled must not be bookable: without the mark only a past time is not.
    op.execute(
        "UPDATE benefit_slot SET starts_at = cancelled_at, ends_at = cancelled_at + interval '1 s'"
        " WHERE starts_at > cancelled_at"
    )
    op.drop_column("benefit_slot", "cancel_reason")
    op.drop_column("benefit_slot", "cancelled_at")
    op.drop_index("ix_gift_hold_taken", table_name="gift_hold")
    op.execute("UPDATE gift_hold SET state = 'RELEASED', order_ref = NULL WHERE state = 'RETURNED'")
    for table, name, _, before in CHECKS:
        _check(table, name, before)
    op.drop_constraint(op.f("ck_coupon_batch_four_eyes"), "coupon_batch", type_="check")
    op.drop_column("coupon_batch", "approved_alone")
    op.drop_column("coupon_batch", "drafted_by")
    op.drop_column("coupon_template", "first_order")
