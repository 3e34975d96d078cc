"""Derive silences of new orders alone"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# An episode is derived from orders, which have this key themselves: checking it a second time was
# half of the cost of storing one.
MEMBER_KEY = "fk_silence_episode_member_id"


def upgrade() -> None:
    op.add_column("member_stage", sa.Column("orders_digest", sa.BigInteger(), nullable=True))
    op.drop_constraint(op.f(MEMBER_KEY), "silence_episode", type_="foreignkey")


def downgrade() -> None:
    op.create_foreign_key(op.f(MEMBER_KEY), "silence_episode", "member", ["member_id"], ["id"])
    op.drop_column("member_stage", "orders_digest")
