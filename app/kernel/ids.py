"""UUIDv7 ids (RFC 9562, section 5.7): ordered by time, so that B-trees grow at one end."""

import os
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

IdSource = Callable[[datetime], UUID]


def uuid7(at: datetime) -> UUID:
    """A new id for the instant `at`: 48 bits of milliseconds, 74 random bits."""
    millis = int(at.timestamp() * 1000) & ((1 << 48) - 1)
    noise = int.from_bytes(os.urandom(10), "big")
    high = (millis << 16) | 0x7000 | (noise & 0x0FFF)
    low = (0b10 << 62) | ((noise >> 12) & ((1 << 62) - 1))
    return UUID(int=(high << 64) | low)
