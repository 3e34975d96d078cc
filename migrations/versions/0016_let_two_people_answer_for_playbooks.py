"""Let two people answer for playbooks"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Who drafts what comes with the product (app.staff.PRODUCT): nobody of staff.
PRODUCT = "00000000-0000-0000-0000-000000000001"
CHECKS = {
    "four_eyes": "approved_by <> created_by OR approved_alone",
    "approved": "(approved_by IS NULL) = (approved_at IS NULL)",
    "approved_first": "state <> 'ACTIVE' OR NOT needs_approval OR approved_by IS NOT NULL",
}
OF_THE_PRODUCT = """
UPDATE coupon_batch b SET drafted_by = {who}
FROM playbook_measure t JOIN playbook p ON p.id = t.playbook_id AND p.ready_key IS NOT NULL
WHERE t.batch_id = b.id AND b.drafted_by {was}
"""


def upgrade() -> None:
    for name in ("needs_approval", "approved_alone"):
        op.add_column(
            "playbook", sa.Column(name, sa.Boolean(), server_default=sa.false(), nullable=False)
        )
    op.add_column("playbook", sa.Column("approved_by", sa.Uuid(), nullable=True))
    op.add_column("playbook", sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True))
    for name, condition in CHECKS.items():
        op.create_check_constraint(op.f(f"ck_playbook_{name}"), "playbook", condition)
    op.create_table(
        "audit_words",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("given", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("after", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("member_id", "entry_id", name=op.f("pk_audit_words")),
    )
    op.create_index(op.f("ix_audit_words_entry_id"), "audit_words", ["entry_id"], unique=True)
    op.execute(OF_THE_PRODUCT.format(who=f"'{PRODUCT}'", was="IS NULL"))
    op.execute(
        f"UPDATE playbook SET created_by = '{PRODUCT}'"
        " WHERE ready_key IS NOT NULL AND created_by IS NULL"
    )


def downgrade() -> None:
    op.drop_table("audit_words")
    op.execute(f"UPDATE playbook SET created_by = NULL WHERE created_by = '{PRODUCT}'")
    op.execute(OF_THE_PRODUCT.format(who="NULL", was=f"= '{PRODUCT}'"))
    for name in reversed(CHECKS):
        op.drop_constraint(op.f(f"ck_playbook_{name}"), "playbook", type_="check")
    for name in ("approved_at", "approved_by", "approved_alone", "needs_approval"):
        op.drop_column("playbook", name)
