"""What a report adds to an order: forward only, each refund once, never beyond what was paid."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.orders import (
    ActivityKind,
    Channel,
    Complaint,
    ReportedEvent,
    ReportedLine,
    ReportedOrder,
    ReportedRefund,
    Whose,
)
from app.orders.rules import (
    Change,
    StoredLine,
    StoredOrder,
    advance,
    fault_of_event,
    fault_of_order,
)

AT = datetime(2026, 3, 1, tzinfo=UTC)
LINES = [ReportedLine("A", "apple", 2, 500), ReportedLine("B", "pear", 1, 300)]
ORDER = ReportedOrder(Whose(), "1", Channel.APP, AT, LINES, paid_at=AT)
STORED = StoredOrder(UUID(int=1), [StoredLine("A", 2, 500), StoredLine("B", 1, 300)], paid_at=AT)


def back(fen: int, number: str = "R1", **facts: int) -> ReportedRefund:
    return ReportedRefund(number, fen, AT, **facts)


def test_what_is_known_already_changes_nothing() -> None:
    assert advance(STORED, ORDER) == Change()
    assert not advance(STORED, replace(ORDER, lines=(), paid_at=AT + timedelta(days=1)))


@pytest.mark.parametrize(
    ("stored", "given", "complaint"),
    [
        (STORED, replace(ORDER, lines=LINES[:1]), Complaint.ORDER_DIFFERS),
        (STORED, replace(ORDER, lines=LINES[::-1]), Complaint.ORDER_DIFFERS),
        (STORED, replace(ORDER, refunds=[back(801)]), Complaint.REFUND_EXCEEDS),
        (STORED, replace(ORDER, refunds=[back(501, line_no=1)]), Complaint.REFUND_EXCEEDS),
        (STORED, replace(ORDER, refunds=[back(1, line_no=3)]), Complaint.REFUND_EXCEEDS),
        (STORED, replace(ORDER, refunds=[back(1, line_no=0)]), Complaint.REFUND_EXCEEDS),
        (
            STORED,
            replace(ORDER, refunds=[back(1, line_no=1, quantity=3)]),
            Complaint.REFUND_EXCEEDS,
        ),
        (
            replace(STORED, paid_at=None),
            replace(ORDER, paid_at=None, settled_at=AT),
            Complaint.NOT_PAID,
        ),
        (
            replace(STORED, paid_at=None),
            replace(ORDER, paid_at=None, refunds=[back(1)]),
            Complaint.NOT_PAID,
        ),
        (STORED, replace(ORDER, settled_at=AT - timedelta(minutes=6)), Complaint.BAD_INSTANT),
        (STORED, replace(ORDER, cancelled_at=AT - timedelta(minutes=6)), Complaint.BAD_INSTANT),
        (
            replace(STORED, paid_at=AT + timedelta(hours=1)),
            replace(ORDER, settled_at=AT + timedelta(minutes=54)),
            Complaint.BAD_INSTANT,
        ),
        (
            replace(STORED, paid_at=AT + timedelta(hours=1)),
            replace(ORDER, refunds=[back(1)]),
            Complaint.BAD_INSTANT,
        ),
    ],
)
def test_complaints(stored: StoredOrder, given: ReportedOrder, complaint: Complaint) -> None:
    assert advance(stored, given) is complaint


def test_clocks_of_two_systems_need_not_agree_to_the_minute() -> None:
    given = replace(ORDER, settled_at=AT - timedelta(minutes=5), paid_at=AT - timedelta(minutes=5))
    assert isinstance(advance(replace(STORED, paid_at=None), given), Change)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 400)), max_size=12))
def test_refunds_add_up_once_each_and_never_beyond_the_total(
    reports: list[tuple[str, int]],
) -> None:
    stored, expected = STORED, {}
    for number, fen in reports:
        change = advance(stored, replace(ORDER, refunds=[back(fen, number)]))
        if number in expected:
            assert change == (Change() if expected[number] == fen else Complaint.REFUND_NO_TAKEN), (
                "the same again, or another refund under its number"
            )
        elif sum(expected.values()) + fen > 800:
            assert change is Complaint.REFUND_EXCEEDS
        else:
            assert isinstance(change, Change)
            assert [item.amount_fen for item in change.refunds] == [fen]
            expected[number] = fen
            numbers = {**stored.refund_nos, number: fen}
            stored = replace(stored, refunded_fen=stored.refunded_fen + fen, refund_nos=numbers)
    assert stored.refunded_fen == sum(expected.values()) <= 800


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (ORDER, None),
        (replace(ORDER, lines=()), None),
        (replace(ORDER, promised_at=AT + timedelta(days=30)), None),
        (replace(ORDER, order_no=""), Complaint.BAD_TEXT),
        (replace(ORDER, order_no="9" * 65), Complaint.BAD_TEXT),
        (replace(ORDER, lines=[ReportedLine("A", "a\0", 1, 1)]), Complaint.BAD_TEXT),
        (replace(ORDER, lines=[ReportedLine("\ud800", "a", 1, 1)]), Complaint.BAD_TEXT),
        (replace(ORDER, refunds=[back(1, " ")]), Complaint.BAD_TEXT),
        (replace(ORDER, paid_at=AT + timedelta(hours=2)), Complaint.BAD_INSTANT),
        (replace(ORDER, placed_at=datetime(1989, 1, 1, tzinfo=UTC)), Complaint.BAD_INSTANT),
        (replace(ORDER, lines=[ReportedLine("A", "a", 0, 1)]), Complaint.BAD_NUMBER),
        (replace(ORDER, lines=[ReportedLine("A", "a", 1, -1)]), Complaint.BAD_NUMBER),
        (replace(ORDER, refunds=[back(-1)]), Complaint.BAD_NUMBER),
        (replace(ORDER, discount_fen=10**12), Complaint.BAD_NUMBER),
        (replace(ORDER, refunds=[back(1), back(1)]), Complaint.REFUND_NO_TAKEN),
        (replace(ORDER, refunds=[back(801)]), Complaint.REFUND_EXCEEDS),
        (replace(ORDER, lines=LINES * 251), Complaint.TOO_MANY),
    ],
)
def test_faults_of_an_order(given: ReportedOrder, complaint: Complaint | None) -> None:
    assert fault_of_order(given, AT + timedelta(hours=1)) is complaint


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({}, None),
        ({"event_id": ""}, Complaint.BAD_TEXT),
        ({"sku": "x" * 65}, Complaint.BAD_TEXT),
        ({"at": AT + timedelta(minutes=6)}, Complaint.BAD_INSTANT),
        ({"seconds": -1}, Complaint.BAD_NUMBER),
        ({"seconds": 86_401}, Complaint.BAD_NUMBER),
    ],
)
def test_faults_of_an_event(change: dict[str, object], complaint: Complaint | None) -> None:
    event = ReportedEvent(Whose(), "e1", ActivityKind.BROWSE, AT)
    assert fault_of_event(replace(event, **change), AT) is complaint  # type: ignore[arg-type]
