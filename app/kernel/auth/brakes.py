"""A brake on guessing: growing delays per account and per address, kept in PostgreSQL."""

from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.db import Tx
from app.kernel.errors import TooManyAttempts
from app.kernel.table import Table

FREE = 5
LONGEST = timedelta(minutes=15)
FORGET = timedelta(hours=1)


class LoginBrake(Table):
    """Attempts under one name (an account or an address) since the last success."""

    __tablename__ = "login_brake"

    name: Mapped[str] = mapped_column(primary_key=True)
    attempts: Mapped[int]
    last_at: Mapped[datetime]


def delay(attempts: int) -> timedelta:
    """How long to wait after so many attempts: none for the first five, then doubling.

    >>> [int(delay(n).total_seconds()) for n in (4, 5, 6, 7, 30)]
    [0, 1, 2, 4, 900]
    """
    if attempts < FREE:
        return timedelta()
    return min(timedelta(seconds=2 ** min(attempts - FREE, 10)), LONGEST)


async def brake(tx: Tx, name: str) -> None:
    """Count an attempt, in a transaction of its own that commits before the attempt is judged.

    Raises TooManyAttempts while the delay of earlier attempts lasts.
    """
    row = await tx.session.get(LoginBrake, name, with_for_update=True)
    if row is not None and tx.now - row.last_at < FORGET:
        left = row.last_at + delay(row.attempts) - tx.now
        if left > timedelta():
            raise TooManyAttempts(seconds=int(left.total_seconds()) + 1)
        row.attempts += 1
        row.last_at = tx.now
        return
    await tx.session.execute(
        insert(LoginBrake)
        .values(name=name, attempts=1, last_at=tx.now)
        .on_conflict_do_update(
            index_elements=[LoginBrake.name], set_={"attempts": 1, "last_at": tx.now}
        )
    )


async def release(tx: Tx, name: str) -> None:
    """Forget the attempts after a success."""
    await tx.session.execute(delete(LoginBrake).where(LoginBrake.name == name))
