"""Objects that are rows: their fields read the row, and the row is read as far as it is asked for.

A type holds its row as `row` and declares `name: str = of_row("name", description=…)`. Making such
an object costs nothing but itself, and `columns_of` tells a query which of the row's attributes a
selection needs.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import strawberry
from strawberry.types.base import get_object_definition

from schema.fields import NEEDS, SHARED, Selected

# The metadata key under which the engine finds that a field is an attribute of the row.
OF_ROW = "of_row"


@dataclass(frozen=True, slots=True)
class OfRow:
    """Which attribute of the row a field is, and what makes it the field's value."""

    attribute: str
    make: Callable[[Any], Any] | None

    def value(self, source: Any) -> Any:
        """The field's value; what is None in the row is None."""
        found = getattr(source.row, self.attribute)
        return found if found is None or self.make is None else self.make(found)


def of_row(attribute: str, *, description: str, make: Callable[[Any], Any] | None = None) -> Any:
    """A field that is an attribute of the object's row; `make` turns it into the field's value.

    The annotation in the class is the field's type. Nothing in it depends on the caller.
    """
    read = OfRow(attribute, make)

    def resolver(self: object) -> Any:
        return read.value(self)

    del resolver.__annotations__["return"]  # the class says it
    metadata = {OF_ROW: read, SHARED: True}
    return strawberry.field(resolver=resolver, description=description, metadata=metadata)


def columns_of(kind: type, selected: Selected, always: str = "") -> tuple[str, ...] | None:
    """The attributes of rows of a type that a selection needs, with those that are always read.

    None is all of them: where nothing is known of the selection, or a field does not say its needs.
    """
    return _columns_of(kind, selected.names, always)


@lru_cache(maxsize=4_096)
def _columns_of(kind: type, names: frozenset[str], always: str) -> tuple[str, ...] | None:
    if not names:
        return None
    found = dict.fromkeys(always.split())
    for item in get_object_definition(kind, strict=True).fields:
        if item.python_name not in names:
            continue
        read = item.metadata.get(OF_ROW)
        needs: Iterable[str] | None = item.metadata.get(NEEDS)
        if isinstance(read, OfRow):
            found[read.attribute] = None
        elif needs is not None:
            found.update(dict.fromkeys(needs))
        else:
            return None
    return tuple(found)
