"""How often a member gets a copy of their data, and how long it lies ready."""

from datetime import datetime, timedelta

EXPORT_PAUSE = timedelta(hours=24)
EXPORT_LASTS = timedelta(hours=48)
# A copy that waits for longer than this will not come: the job gave up long ago.
EXPORT_PATIENCE = timedelta(hours=6)
# Of the file, before it is sealed.
PART_BYTES = 256 * 1024


def seconds_to_wait(last: datetime | None, now: datetime) -> int:
    """How long until the next copy may be asked for; 0 is now.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    >>> seconds_to_wait(noon, noon + timedelta(hours=23)), seconds_to_wait(None, noon)
    (3600, 0)
    """
    if last is None or now >= last + EXPORT_PAUSE:
        return 0
    return int((last + EXPORT_PAUSE - now).total_seconds() + 0.999999)
