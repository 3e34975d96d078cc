"""Tell each change of a member"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Tables whose rows are facts of a member by their member_id; `member` itself goes by its id.
TRACKED = (
    "badge_award",
    "ballot_roll",
    "check_in",
    "coupon",
    "coupon_redemption",
    "drop_claim",
    "eco_action",
    "identity",
    "leader",
    "member_order",
    "member_stage",
    "order_line",
    "points_account",
    "points_entry",
    "points_lot",
    "refund",
    "review",
    "tier_change",
    "tier_standing",
    "vote",
)

# A statement of more rows than this raises everybody's version by one row instead.
MANY = 2_000

# After a statement `touched` holds its new rows (of a deletion the old ones). A row that moves to
# another member is told for the old one too, by a trigger on rows that costs other updates nothing.
# The schema is named, so that writes under any search_path are told.
FUNCTION = """
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    everybody CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
    IF TG_LEVEL = 'ROW' THEN
        INSERT INTO {schema}.member_change (member_id) VALUES (OLD.{column})
        ON CONFLICT DO NOTHING;
        RETURN NULL;
    ELSIF TG_OP <> 'TRUNCATE' THEN
        IF NOT EXISTS (SELECT FROM touched OFFSET {many}) THEN
            INSERT INTO {schema}.member_change (member_id) SELECT {column} FROM touched
            ON CONFLICT DO NOTHING;
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO {schema}.member_change (member_id) VALUES (everybody) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$
"""

# Later migrations call this for their own tables: SELECT track_member_changes('table').
TRACK = """
CREATE FUNCTION track_member_changes(tracked regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    by_id CONSTANT boolean := tracked = 'member'::regclass;
    "column" CONSTANT text := CASE WHEN by_id THEN 'id' ELSE 'member_id' END;
    teller CONSTANT text :=
        CASE WHEN by_id THEN 'tell_changes_by_id()' ELSE 'tell_changes_by_member_id()' END;
BEGIN
    EXECUTE format('CREATE TRIGGER member_version_insert AFTER INSERT ON %s
        REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION %s', tracked, teller);
    EXECUTE format('CREATE TRIGGER member_version_update AFTER UPDATE ON %s
        REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION %s', tracked, teller);
    EXECUTE format('CREATE TRIGGER member_version_delete AFTER DELETE ON %s
        REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION %s', tracked, teller);
    EXECUTE format('CREATE TRIGGER member_version_truncate AFTER TRUNCATE ON %s
        FOR EACH STATEMENT EXECUTE FUNCTION %s', tracked, teller);
    EXECUTE format('CREATE TRIGGER member_version_move AFTER UPDATE OF %2$s ON %1$s
        FOR EACH ROW WHEN (OLD.%2$s IS DISTINCT FROM NEW.%2$s) EXECUTE FUNCTION %3$s',
        tracked, "column", teller);
END
$$
"""


def upgrade() -> None:
    op.create_table(
        "change_horizon",
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("xid", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("at", name=op.f("pk_change_horizon")),
    )
    op.create_table(
        "member_change",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column(
            "xid",
            sa.BigInteger(),
            server_default=sa.text("(pg_current_xact_id()::text::bigint)"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("member_id", "xid", name=op.f("pk_member_change")),
    )
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    for name, column in (("tell_changes_by_member_id", "member_id"), ("tell_changes_by_id", "id")):
        op.execute(FUNCTION.format(name=name, column=column, schema=schema, many=MANY))
    op.execute(TRACK)
    for table in ("member", *TRACKED):
        op.execute(f"SELECT track_member_changes('{table}')")


def downgrade() -> None:
    op.execute("DROP FUNCTION track_member_changes(regclass)")
    # The triggers go with the functions that they call.
    op.execute("DROP FUNCTION tell_changes_by_member_id() CASCADE")
    op.execute("DROP FUNCTION tell_changes_by_id() CASCADE")
    op.drop_table("member_change")
    op.drop_table("change_horizon")
