"""Cursors of lists: what a page ends with is where the next begins, and nothing else is taken."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from app.kernel.errors import InvalidInput
from schema.paging import BY_ID, BY_INSTANT, Connection, Keyset, by_two, encode_cursor, ordinal

NOON = datetime(2026, 3, 18, 4, 0, tzinfo=UTC)
ROWS = [(NOON.replace(second=second), uuid4()) for second in range(4)]


def end(page: Connection[UUID]) -> str:
    cursor = page.page_info().end_cursor
    assert cursor is not None
    return cursor


def test_a_page_ends_where_the_next_begins() -> None:
    asked = BY_INSTANT.asked(2, None)
    assert (asked.size, asked.position) == (2, None)
    page = asked.page(ROWS[:3], node=lambda row: row[1], key=lambda row: row)
    assert page.nodes() == [ROWS[0][1], ROWS[1][1]]
    assert page.page_info().has_next_page
    assert not page.page_info().has_previous_page
    following = BY_INSTANT.asked(2, end(page))
    assert following.position == ROWS[1]
    page = following.page(ROWS[2:], node=lambda row: row[1], key=lambda row: row)
    assert page.page_info().has_previous_page
    assert not page.page_info().has_next_page


def test_nothing_that_was_read_is_an_empty_page() -> None:
    page = BY_ID.asked(5, None).page(None, node=lambda row: row, key=lambda row: row)
    assert page.nodes() == []
    assert page.page_info().end_cursor is None


@pytest.mark.parametrize("first", [-1, 0, 101, 10**30])
def test_a_page_has_one_to_a_hundred_rows(first: int) -> None:
    with pytest.raises(InvalidInput):
        BY_ID.asked(first, None)


PLAIN = by_two(ordinal, UUID)
NAMED = by_two(ordinal, UUID, order="LOSS")
OTHER = by_two(ordinal, UUID, order="GAIN")


@pytest.mark.parametrize("keyset", [PLAIN, NAMED, OTHER])
@pytest.mark.parametrize("source", [PLAIN, NAMED, OTHER])
def test_a_cursor_is_of_one_order(
    keyset: Keyset[tuple[int, UUID]], source: Keyset[tuple[int, UUID]]
) -> None:
    row = 7, uuid4()
    cursor = end(source.asked(1, None).page([row], node=lambda one: one[1], key=lambda one: one))
    if keyset is source:
        assert keyset.asked(1, cursor).position == row
    else:
        with pytest.raises(InvalidInput):
            keyset.asked(1, cursor)


def test_a_cursor_of_before_orders_had_names_goes_on() -> None:
    key = uuid4()
    assert PLAIN.asked(1, encode_cursor(7, key)).position == (7, key)
