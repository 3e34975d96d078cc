"""Keyset connections: pages that stay right while rows come and go."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, TypeVar
from uuid import UUID

import orjson
import strawberry

from app.kernel.errors import InvalidInput
from app.kernel.numbers import check_within

T = TypeVar("T")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
K = TypeVar("K")
LARGEST_PAGE = 100

# The arguments of every connection.
First = Annotated[int, strawberry.argument(description="How many at most, 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on after.")]


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="True if more items follow this page.")
    has_previous_page: bool = strawberry.field(
        description="True if items precede this page: that is, if the page began after a cursor."
    )
    start_cursor: str | None = strawberry.field(description="The cursor of the first item.")
    end_cursor: str | None = strawberry.field(
        description="The cursor of the last item: pass it as `after` for the next page."
    )


@strawberry.type(description="An item of a page with its cursor.")
class Edge(Generic[T]):
    node: T = strawberry.field(description="The item.")
    cursor: str = strawberry.field(description="The item's place in the list.")


@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):
    # Rows become items, and items get cursors, only where they are asked for.
    page: strawberry.Private["Page"]

    @strawberry.field(description="The items with their cursors.")
    def edges(self) -> list[Edge[T]]:
        page = self.page
        return [Edge(node=page.node(row), cursor=page.cursor(row)) for row in page.rows]

    @strawberry.field(description="Where this page lies in the list.")
    def page_info(self) -> PageInfo:
        page = self.page
        return PageInfo(
            has_next_page=page.has_more,
            has_previous_page=page.after is not None,
            start_cursor=page.cursor(page.rows[0]) if page.rows else None,
            end_cursor=page.cursor(page.rows[-1]) if page.rows else None,
        )

    @strawberry.field(description="The items alone.")
    def nodes(self) -> list[T]:
        node = self.page.node
        return [node(row) for row in self.page.rows]


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of a page, and how they become items and cursors."""

    rows: Sequence[Any]
    node: Callable[[Any], Any]
    cursor: Callable[[Any], str]
    after: str | None
    has_more: bool


def encode_cursor(*values: object) -> str:
    """An opaque cursor of keyset values (integers, floats, texts, instants, ids)."""
    return base64.urlsafe_b64encode(orjson.dumps(values, default=str)).decode().rstrip("=")


def decode_cursor(cursor: str, *readers: Callable[[Any], Any]) -> tuple[Any, ...]:
    """The keyset values of a cursor, each read by its reader (int, str, UUID, `instant`).

    Raises InvalidInput.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        values = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(values, list) or len(values) != len(readers):
            raise ValueError("of another list")
        return tuple(read(value) for read, value in zip(readers, values, strict=True))
    except (ValueError, TypeError, AttributeError, OverflowError, binascii.Error) as error:
        raise InvalidInput(
            field="after", reason="this is not a cursor of this list", reason_zh="游标无效"
        ) from error


def instant(value: str) -> datetime:
    """An instant of a keyset in UTC.

    Raises ValueError without an offset, OverflowError outside the years 1 to 9999.
    """
    instant = datetime.fromisoformat(value)
    if instant.tzinfo is None:
        raise ValueError("an instant has an offset")
    return instant.astimezone(UTC)


def word(value: Any) -> str:
    """A text of a keyset; raises ValueError unless it is one that a row can have."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("no row has this text")
    return value


def ordinal(value: Any) -> int:
    """A number of a keyset; raises ValueError unless it is one that a row can have."""
    number = int(value)
    if not 0 <= number < 2**63:
        raise ValueError("no row has this number")
    return number


def amount(value: Any) -> int:
    """The same of a number that may be below zero."""
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError("no row has this number")
    return number


@dataclass(frozen=True, slots=True)
class Asked(Generic[K]):
    """Which page of a list a client asks for: so many rows, after the one with these values."""

    size: int
    position: K | None
    after: str | None
    order: tuple[str, ...] = ()

    def page(
        self, rows: Sequence[R] | None, *, node: Callable[[R], T], key: Callable[[R], K]
    ) -> Connection[T]:
        """The page of rows that were read with `limit size + 1`; `key` gives a row's values."""
        found = rows or []

        def cursor(row: R) -> str:
            values: Any = key(row)
            return encode_cursor(*self.order, *(values if isinstance(values, tuple) else (values,)))

        more = len(found) > self.size
        return Connection(page=Page(found[: self.size], node, cursor, self.after, has_more=more))


@dataclass(frozen=True, slots=True)
class Keyset(Generic[K]):
    """By which values the rows of a list are in order, and how a cursor's are read.

    A list with several orders names in a cursor of which it is.
    """

    read: Callable[[tuple[Any, ...]], K]
    readers: tuple[Callable[[Any], Any], ...]
    order: tuple[str, ...] = ()

    def asked(self, first: int, after: str | None) -> Asked[K]:
        """What the arguments of a connection ask for. Raises InvalidInput."""
        check_within(first, 1, LARGEST_PAGE, field="first")
        position = None
        if after is not None:
            named = decode_cursor(after, *map(_exactly, self.order), *self.readers)
            position = self.read(named[len(self.order) :])
        return Asked(first, position, after, self.order)


def _exactly(name: str) -> Callable[[Any], None]:
    def read(value: Any) -> None:
        if value != name:
            raise ValueError("of another order")

    return read


def by_one(reader: Callable[[Any], A]) -> Keyset[A]:
    """A list in the order of one value."""
    return Keyset(lambda values: values[0], (reader,))


def by_two(
    first: Callable[[Any], A], second: Callable[[Any], B], *, order: str | None = None
) -> Keyset[tuple[A, B]]:
    """A list in the order of two values, the second of which tells equal first ones apart."""
    named = () if order is None else (str(order),)
    return Keyset(lambda values: (values[0], values[1]), (first, second), named)


BY_ID: Final = by_one(UUID)
BY_INSTANT: Final = by_two(instant, UUID)
