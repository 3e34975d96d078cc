"""Domain enums in the schema, every value with its sentence."""

from enum import Enum

import strawberry
from strawberry.types.enum import StrawberryEnumDefinition


def describe(kind: type[Enum], description: str, *, name: str | None = None, **values: str) -> None:
    """Make a domain enum a GraphQL enum whose every value is described.

    Raises TypeError when a value is left out or unknown, so that a new state gets its sentence.
    """
    if set(values) != set(kind.__members__):
        odd = set(values) ^ set(kind.__members__)
        raise TypeError(f"{kind.__name__}: {', '.join(sorted(odd))}")
    strawberry.enum(kind, name=name, description=description)
    definition: StrawberryEnumDefinition = kind.__strawberry_definition__  # type: ignore[attr-defined]
    for value in definition.values:
        value.description = values[value.name]
