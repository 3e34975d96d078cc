"""Which world was simulated into this database, how far, and what the demo has set up."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Float, Integer, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.table import Table


class SimulatedWorld(Table):
    """The one world of this database and the cursor of its loading.

    The world is loaded up to `reached`. While a leg is under way, `leg_until` is where it leads
    and `leg_blocks` how many of its blocks are stored, counted by the transactions that store
    them.
    """

    __tablename__ = "simulated_world"
    __table_args__ = (
        CheckConstraint("id = 1", name="only_one"),
        CheckConstraint("members > 0 AND months > 0", name="someone_for_some_time"),
        CheckConstraint("leg_until > reached", name="forward"),
        CheckConstraint(
            "leg_blocks >= 0 AND (leg_until IS NOT NULL OR leg_blocks = 0)", name="leg_blocks"
        ),
    )

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    seed: Mapped[int]
    members: Mapped[int]
    months: Mapped[float] = mapped_column(Float)
    start: Mapped[datetime]
    reached: Mapped[datetime]
    leg_until: Mapped[datetime | None]
    leg_blocks: Mapped[int] = mapped_column(Integer, server_default=text("0"))


class DemoStep(Table):
    """A step of the demo that was done: written by the transaction that did it."""

    __tablename__ = "demo_step"

    name: Mapped[str] = mapped_column(primary_key=True)
    done_at: Mapped[datetime]
