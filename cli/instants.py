"""The instant that a command looks from: `--as-of`."""

from datetime import date, datetime, timedelta

from app import orders
from app.kernel.clock import business_day, day_start
from app.kernel.db import Database
from cli.starting import SAYS

# Orders that ended longer ago than this are a history that was imported, not a platform at work.
LONG_PAST = timedelta(days=60)

EARLIEST = date(1900, 1, 1)


async def as_of_or_data_end(database: Database, text: str | None, zone: str) -> datetime:
    """The instant of `--as-of`; without it now, or the midnight after a history long past.

    The second is said on standard error. Raises ValueError as `parse_as_of` does.
    """
    now = database.clock()
    if text is not None:
        return parse_as_of(text, now=now, zone=zone)
    async with database.read() as read:
        newest = await orders.newest_payment(read)
    if newest is None or now - newest < LONG_PAST:
        return now
    day = business_day(newest, zone) + timedelta(days=1)
    SAYS.print(
        f"The newest order is of {newest:%Y-%m-%d}: looking from {day}; --as-of chooses another "
        f"day. 最新订单为 {newest:%Y-%m-%d}，以 {day} 为准，可用 --as-of 指定。",
        highlight=False,
    )
    return day_start(day, zone)


def parse_as_of(text: str | None, *, now: datetime, zone: str) -> datetime:
    """The instant of `--as-of`: now, the start of a business day, or an instant with an offset.

    Raises ValueError for anything else and for the future.

    >>> from datetime import UTC
    >>> parse_as_of("2011-09-01", now=datetime(2026, 1, 1, tzinfo=UTC), zone="Asia/Shanghai")
    datetime.datetime(2011, 8, 31, 16, 0, tzinfo=datetime.timezone.utc)
    """
    if text is None:
        return now
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    try:
        instant = (
            datetime.fromisoformat(text)
            if day is None
            else day_start(max(day, EARLIEST - timedelta(days=1)), zone)
        )
    except ValueError as error:
        raise ValueError(
            f"--as-of wants a day such as 2011-09-01 or an instant such as "
            f"2011-09-01T03:00+08:00, not {text!r}"
        ) from error
    if instant.tzinfo is None:
        raise ValueError("--as-of wants an offset with the time, such as 2011-09-01T03:00+08:00")
    if instant.date() < EARLIEST:
        raise ValueError(f"--as-of {text} is before any order: days begin with {EARLIEST}")
    if instant > now:
        raise ValueError(f"--as-of {text} is in the future")
    return instant
