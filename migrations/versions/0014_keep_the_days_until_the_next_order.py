"""Keep the days until the next order"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # Scores from before tell none; the next night's do.
    op.add_column("churn_score", sa.Column("next_order_days", sa.Double(), nullable=True))
    op.create_check_constraint(
        op.f("ck_churn_score_next_order_days"), "churn_score", "next_order_days > 0"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_churn_score_next_order_days"), "churn_score", type_="check")
    op.drop_column("churn_score", "next_order_days")
