"""Rows that the audit log names though their key is no UUID: a code, or a month and a zone."""

from uuid import UUID, uuid5

import orjson

from app.staff import Subject

# The names' own space: any fixed UUID serves, as long as it stays.
_NAMES = UUID("0b1f6a52-5f3a-4b0e-9a54-6f0d3c6f2a11")


class NamedSubject(Subject):
    """The row that an action is about; its id is derived from its table and key, always alike.

    All columns of the key count, in their order: two zones' runs of a month are two.
    """

    __slots__ = ()

    @property
    def id(self) -> UUID:
        """The UUID that stands for the key."""
        key = [None if part is None else str(part) for part in self.where.values()]
        # A key of one column keeps the id that it has had from the beginning.
        named = key[0] if len(key) == 1 else orjson.dumps(key).decode()
        return uuid5(_NAMES, f"{self.kind}:{named}")
