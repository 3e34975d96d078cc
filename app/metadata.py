"""Every table of Linli in one metadata object, for migrations and tests."""

from importlib import import_module
from pathlib import Path

from sqlalchemy import MetaData

from app.kernel.auth import brakes, sessions
from app.kernel.idempotency import IdempotencyRow
from app.kernel.outbox import OutboxRow
from app.kernel.schedule import ScheduleRun
from app.kernel.table import Table

KERNEL_TABLES = (
    OutboxRow,
    IdempotencyRow,
    ScheduleRun,
    sessions.LoginSession,
    brakes.LoginBrake,
)


def all_tables() -> MetaData:
    """The metadata after importing the tables of the kernel and of every slice."""
    here = Path(__file__).parent
    for file in sorted([*here.glob("*/tables.py"), *here.glob("*/tables/__init__.py")]):
        module = file.relative_to(here).with_suffix("").parts
        name = ".".join(part for part in module if part != "__init__")
        import_module(f"app.{name}")
    return Table.metadata
