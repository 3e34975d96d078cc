"""Let triggers follow what happened, and keep when complaints were made"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "churn_trigger",
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("precision", sa.Double(), nullable=False),
        sa.Column("trigger", sa.Double(), nullable=True),
        sa.Column("share", sa.Double(), nullable=True),
        sa.Column("share_error", sa.Double(), nullable=True),
        sa.Column("rises", sa.BigInteger(), nullable=True),
        sa.Column("days", sa.SmallInteger(), nullable=True),
        sa.Column("nights", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("precision BETWEEN 0 AND 1", name=op.f("ck_churn_trigger_precision")),
        sa.CheckConstraint("trigger BETWEEN 0 AND 1", name=op.f("ck_churn_trigger_trigger")),
        sa.CheckConstraint(
            "num_nonnulls(trigger, share, share_error, rises, days) IN (0, 5)",
            name=op.f("ck_churn_trigger_with_evidence"),
        ),
        sa.PrimaryKeyConstraint("precision", "as_of", name=op.f("pk_churn_trigger")),
    )
    # Of orders from before, nobody wrote down when: they are seen two weeks after the delivery.
    op.add_column(
        "member_order", sa.Column("complained_at", sa.DateTime(timezone=True), nullable=True)
    )


def downgrade() -> None:
    op.drop_column("member_order", "complained_at")
    op.drop_table("churn_trigger")
