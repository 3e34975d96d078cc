"""Rows that the audit log names though their key is no UUID: a code, or a month."""

from uuid import UUID, uuid5

from app.staff import Subject

# The names' own space: any fixed UUID serves, as long as it stays.
_NAMES = UUID("0b1f6a52-5f3a-4b0e-9a54-6f0d3c6f2a11")


class NamedSubject(Subject):
    """The row that an action is about; its id is derived from its table and key, always alike."""

    __slots__ = ()

    @property
    def id(self) -> UUID:
        """The UUID that stands for the key."""
        return uuid5(_NAMES, f"{self.kind}:{next(iter(self.where.values()))}")
