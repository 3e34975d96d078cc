"""Linli's own scalars: bounded integers, instants only with an offset, days and years in reason."""

import re
from datetime import UTC, date, datetime
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


# Instants of a shop's life; a year outside is a slip of the pen.
YEARS = range(2000, 2200)
# Days may be of a birth.
YEARS_OF_DAYS = range(1900, 2200)
_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _parse_instant(value: object) -> datetime:
    if isinstance(value, str) and len(value) <= 40 and _INSTANT.fullmatch(value):
        try:
            instant = datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            instant = None
        if instant is not None and instant.year in YEARS:
            return instant
    raise GraphQLError(
        "DateTime takes an ISO 8601 instant with an offset, "
        f"from {YEARS.start} to {YEARS.stop - 1}."
    )


def _parse_day(value: object) -> date:
    if isinstance(value, str) and len(value) == 10 and _DAY.fullmatch(value):
        try:
            day = date.fromisoformat(value)
        except ValueError:
            day = None
        if day is not None and day.year in YEARS_OF_DAYS:
            return day
    raise GraphQLError(
        "Date takes a calendar day such as 2026-03-18, "
        f"from {YEARS_OF_DAYS.start} to {YEARS_OF_DAYS.stop - 1}."
    )


def show_instant(value: datetime) -> str:
    """An instant as it stands in answers, which is how orjson writes one with `OPT_UTC_Z`."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


SCALARS: dict[object, ScalarDefinition] = {
    Fen: _integer("Fen", "Money as an integer of fen (1/100 yuan), within ±2^53."),
    Points: _integer("Points", "A whole number of points, within ±2^53."),
    datetime: strawberry.scalar(
        name="DateTime",
        description="An instant in ISO 8601 with an offset, of the years 2000 to 2199; answers are "
        "in UTC.",
        specified_by_url="https://scalars.graphql.org/andimarek/date-time",
        serialize=show_instant,
        parse_value=_parse_instant,
    ),
    date: strawberry.scalar(
        name="Date",
        description="A calendar day such as 2026-03-18, of the years 1900 to 2199.",
        serialize=date.isoformat,
        parse_value=_parse_day,
    ),
}
