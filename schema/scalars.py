"""Linli's own scalars: bounded integers for money and points, instants only with an offset."""

from datetime import UTC, datetime
from typing import NewType

import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

LARGEST = 2**53

Fen = NewType("Fen", int)
Points = NewType("Points", int)


def _integer(name: str, description: str) -> ScalarDefinition:
    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST:
            raise GraphQLError(f"{name} takes an integer within ±2^53.")
        return value

    return strawberry.scalar(name=name, description=description, serialize=int, parse_value=parse)


def _parse_instant(value: object) -> datetime:
    if isinstance(value, str) and len(value) <= 40:
        try:
            instant = datetime.fromisoformat(value)
            if instant.tzinfo is not None:
                return instant.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise GraphQLError("DateTime takes an ISO 8601 instant with an offset.")


def _show_instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


SCALARS: dict[object, ScalarDefinition] = {
    Fen: _integer("Fen", "Money as an integer of fen (1/100 yuan), within ±2^53."),
    Points: _integer("Points", "A whole number of points, within ±2^53."),
    datetime: strawberry.scalar(
        name="DateTime",
        description="An instant in ISO 8601 with an offset; answers are in UTC.",
        specified_by_url="https://scalars.graphql.org/andimarek/date-time",
        serialize=_show_instant,
        parse_value=_parse_instant,
    ),
}
