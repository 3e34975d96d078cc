"""Brakes on guessing and on costs: growing delays by account and by address, in PostgreSQL.

An attempt is counted in a transaction of its own, before it is judged, under a row lock: however
many come at once, no more get through than the policy lets.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network

from sqlalchemy import delete, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.db import Tx
from app.kernel.errors import TooManyAttempts
from app.kernel.table import Table

LONGEST_NAME = 120
# What one subscriber is given of IPv6; single addresses of it cost an attacker nothing.
SUBSCRIBER_BITS = 64


class LoginBrake(Table):
    """Attempts under one name (an account or an address) since they were last forgotten."""

    __tablename__ = "login_brake"

    name: Mapped[str] = mapped_column(primary_key=True)
    attempts: Mapped[int]
    last_at: Mapped[datetime]


@dataclass(frozen=True, slots=True)
class Policy:
    """So many attempts are free; each one more doubles the delay before the next."""

    free: int
    first: timedelta
    longest: timedelta
    forgotten: timedelta

    def delay(self, attempts: int) -> timedelta:
        """How long to wait after so many attempts.

        >>> [int(ACCOUNT.delay(n).total_seconds()) for n in (4, 5, 6, 7, 30)]
        [0, 1, 2, 4, 900]
        """
        if attempts < self.free:
            return timedelta()
        return min(self.first * 2 ** min(attempts - self.free, 20), self.longest)


HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# Guesses of one account's password, or of the codes of one phone.
ACCOUNT = Policy(5, timedelta(seconds=1), timedelta(minutes=15), HOUR)
# Guesses from one address. A mobile carrier has thousands of subscribers behind one, so successes
# are taken off again.
ADDRESS = Policy(50, timedelta(seconds=1), timedelta(minutes=15), HOUR)
# Messages to one phone: 3 at once, 9 in the first four hours, at most 14 a day.
MESSAGES = Policy(3, timedelta(minutes=2), timedelta(hours=4), DAY)
# Messages asked for from one address, whether they led to a log-in or not.
MESSAGES_FROM_ADDRESS = Policy(30, timedelta(seconds=10), HOUR, HOUR * 4)


async def brake(tx: Tx, name: str, policy: Policy = ACCOUNT) -> None:
    """Count an attempt under a name; commit before the attempt is judged.

    Raises TooManyAttempts while the delay of earlier attempts lasts; a refused one is not counted.
    """
    key = name[:LONGEST_NAME]
    await tx.session.execute(
        insert(LoginBrake)
        .values(name=key, attempts=0, last_at=tx.now)
        .on_conflict_do_nothing(index_elements=[LoginBrake.name])
    )
    row = await tx.session.get_one(LoginBrake, key, with_for_update=True)
    if tx.now - row.last_at >= policy.forgotten:
        row.attempts = 0
    left = row.last_at + policy.delay(row.attempts) - tx.now
    if left > timedelta():
        raise TooManyAttempts(seconds=int(left.total_seconds()) + 1)
    row.attempts += 1
    row.last_at = max(row.last_at, tx.now)
    await tx.session.flush()


async def release(tx: Tx, name: str) -> None:
    """Forget the attempts under an account's name after a success."""
    await tx.session.execute(delete(LoginBrake).where(LoginBrake.name == name[:LONGEST_NAME]))


async def take_off(tx: Tx, name: str) -> None:
    """Take one attempt off an address after a success, which was no guess."""
    await tx.session.execute(
        update(LoginBrake)
        .where(LoginBrake.name == name[:LONGEST_NAME], LoginBrake.attempts > 0)
        .values(attempts=LoginBrake.attempts - 1)
    )


def subscriber(address: str | None) -> str | None:
    """Whom an address stands for: itself, or of IPv6 the network that a subscriber has.

    >>> subscriber("192.0.2.7"), subscriber("2001:db8:1:2:3::4"), subscriber("::ffff:192.0.2.7")
    ('192.0.2.7', '2001:db8:1:2::/64', '192.0.2.7')
    """
    try:
        found = ip_address(address or "")
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ip_network((int(found), SUBSCRIBER_BITS), strict=False))
    return str(found)
