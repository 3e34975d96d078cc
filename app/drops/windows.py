"""Changing the early access of a drop that nobody can claim from yet."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete

from app.drops.commands import announce, locked_drop
from app.drops.creating import checked_windows, store_windows
from app.drops.errors import DropNotScheduled, EarlyAccessBegun
from app.drops.events import DropChanged
from app.drops.rules import Window
from app.drops.tables import Drop, DropState, EarlyWindow
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput


async def set_early_access(tx: Tx, *, drop_id: UUID, early: Sequence[Window]) -> Drop:
    """Give a scheduled drop these windows of early access instead of those it has; none for none.

    Until the first of them begins. Raises DropNotFound, DropNotScheduled, EarlyAccessBegun,
    InvalidInput.
    """
    drop = await locked_drop(tx, drop_id)
    if drop.state is not DropState.SCHEDULED or drop.opens_at <= tx.now:
        raise DropNotScheduled(state=drop.state)
    if drop.early_opens_at is not None and drop.early_opens_at <= tx.now:
        raise EarlyAccessBegun()
    windows = checked_windows(early, drop.opens_at, drop.stock)
    if windows and windows[0].opens_at <= tx.now:
        raise InvalidInput(
            field="earlyAccess", reason="must begin after now", reason_zh="须晚于现在"
        )
    await tx.session.execute(delete(EarlyWindow).where(EarlyWindow.drop_id == drop_id))
    await store_windows(tx, drop_id, windows)
    drop.early_opens_at = windows[0].opens_at if windows else None
    drop.early_stock = sum(window.stock for window in windows)
    drop.terms += 1
    announce(tx, drop, DropChanged)
    await tx.session.flush()
    return drop
