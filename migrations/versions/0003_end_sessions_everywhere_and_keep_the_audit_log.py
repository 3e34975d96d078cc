"""End sessions everywhere, tie leaders to a community, keep the audit log for good"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ADDED = ("outcome", "subject_kind", "subject_id", "before", "after")

KEEP = """
CREATE FUNCTION keep_audit_entries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$
"""


def upgrade() -> None:
    op.create_index(
        op.f("ix_login_session_revoked_at"),
        "login_session",
        ["revoked_at"],
        postgresql_where=sa.text("revoked_at IS NOT NULL"),
    )
    op.add_column("staff_account", sa.Column("community_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_staff_account_community_id"),
        "staff_account",
        "community",
        ["community_id"],
        ["id"],
    )
    outcome = sa.Enum(
        "DONE", "REFUSED", name="outcome", native_enum=False, create_constraint=True, length=32
    )
    op.add_column(
        "audit_entry",
        sa.Column("outcome", outcome, server_default="DONE", nullable=False),
    )
    op.add_column("audit_entry", sa.Column("subject_kind", sa.Text(), nullable=True))
    op.add_column("audit_entry", sa.Column("subject_id", sa.Uuid(), nullable=True))
    for name in ("before", "after"):
        op.add_column("audit_entry", sa.Column(name, postgresql.JSONB(), nullable=True))
    op.create_index(op.f("ix_audit_entry_action_at"), "audit_entry", ["action", "at"])
    op.execute(KEEP)
    op.execute(
        "CREATE TRIGGER audit_entry_kept BEFORE UPDATE OR DELETE ON audit_entry"
        " FOR EACH ROW EXECUTE FUNCTION keep_audit_entries()"
    )
    op.execute(
        "CREATE TRIGGER audit_entry_not_emptied BEFORE TRUNCATE ON audit_entry"
        " FOR EACH STATEMENT EXECUTE FUNCTION keep_audit_entries()"
    )


def downgrade() -> None:
    # The triggers go with the function that they call.
    op.execute("DROP FUNCTION keep_audit_entries() CASCADE")
    op.drop_index(op.f("ix_audit_entry_action_at"), table_name="audit_entry")
    for name in reversed(ADDED):
        op.drop_column("audit_entry", name)
    op.drop_constraint(op.f("fk_staff_account_community_id"), "staff_account", type_="foreignkey")
    op.drop_column("staff_account", "community_id")
    op.drop_index(op.f("ix_login_session_revoked_at"), table_name="login_session")
