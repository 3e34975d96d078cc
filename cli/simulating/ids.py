"""Ids of simulated things: the same in every run, so that a run can go on after any other.

An id is a version 7 UUID whose random bits are a hash of the world's seed and the thing's own key.
The instant in front keeps ids in the order of time, as everywhere in Linli; the hash makes it
unnecessary to store which key became which id.
"""

from datetime import datetime
from functools import cached_property
from hashlib import blake2b
from uuid import UUID

from simulation import World

_RANDOM_LOW = (1 << 62) - 1


def stable_id(at: datetime | int, name: str) -> UUID:
    """The id of the thing of that name which began at an instant (or epoch second).

    >>> stable_id(0, "a") == stable_id(0, "a") != stable_id(0, "b")
    True
    >>> stable_id(1_700_000_000, "a").version
    7
    """
    seconds = at if isinstance(at, int) else at.timestamp()
    millis = int(seconds * 1000) & ((1 << 48) - 1)
    noise = int.from_bytes(blake2b(name.encode(), digest_size=10).digest(), "big")
    high = (millis << 16) | 0x7000 | (noise & 0x0FFF)
    low = (0b10 << 62) | ((noise >> 12) & _RANDOM_LOW)
    return UUID(int=(high << 64) | low)


class Ids:
    """The ids of one world's things."""

    def __init__(self, world: World) -> None:
        """Ids of this world; those of members are made when first needed."""
        self._world = world

    def of(self, kind: str, key: object, at: datetime | int) -> UUID:
        """The id of a thing by its kind and its key in the world."""
        return stable_id(at, f"{self._world.seed}:{kind}:{key}")

    @cached_property
    def members(self) -> list[UUID]:
        """The id of every member, by key."""
        joined: list[int] = self._world.roster.joined.tolist()
        return [self.of("member", key, at) for key, at in enumerate(joined)]

    def batch_of(self, coupon: str) -> tuple[UUID, UUID]:
        """The template and the batch of a coupon of the world."""
        begin = self._world.start
        return self.of("template", coupon, begin), self.of("batch", coupon, begin)
