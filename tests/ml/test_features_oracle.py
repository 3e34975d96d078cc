"""Every column against a slow oracle, on histories that seek the edges of windows."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ml import facts as kinds
from ml import features
from ml.arrays import DAY
from ml.bgnbd import BgNbd
from ml.cnbd import Cnbd
from ml.expectations import Expectations
from tests.ml.oracle import Event, History, Order, as_facts, features_of, instant, zone_of

MIDNIGHT = 1_650_000_000 // DAY * DAY
MODEL = Expectations(
    BgNbd(r=0.6, alpha=12.0, a=0.8, b=2.3), Cnbd(k=3, r=0.7, alpha=9.0, a=0.4, b=2.1)
)
HORIZON = 45
EDGES = (0, 1, 6, 7, 14, 28, 30, 56, 60, 83, 84, 85, 90, 180, 319, 320, 365, 366, 500)

# Whole days before the cutoff, a second to either side of them, or any time of such a day.
_moment = st.builds(
    lambda days, shift: -days * DAY + shift,
    st.sampled_from(EDGES) | st.integers(0, 400),
    st.sampled_from([-1, 0, 1]) | st.integers(0, DAY - 1),
)
_soon = st.integers(-2 * DAY, 20 * DAY)


@st.composite
def _order(draw: st.DrawFn, as_of: int) -> Order:
    at = as_of + draw(_moment)
    lines = draw(st.lists(st.tuples(st.integers(-3, 3), st.integers(-1, 2)), max_size=4))
    paid = draw(st.integers(0, 50_000))
    refunds = draw(st.lists(st.tuples(_soon, st.integers(1, 20_000)), max_size=2))
    gone = draw(st.none() | st.sampled_from([at + 1, as_of - 1, as_of, as_of + 1]))
    return Order(
        at=instant(at),
        fen=paid,
        items=draw(st.integers(1, 9)),
        discount=draw(st.sampled_from([0, 0, 500])),
        products=draw(st.integers(1, 4)),
        refunds=[(instant(at + abs(wait)), fen) for wait, fen in refunds],
        gone=None if gone is None else instant(gone),
        lines=lines,
    )


@st.composite
def _world(draw: st.DrawFn) -> tuple[list[History], int, int]:
    as_of = MIDNIGHT + draw(st.sampled_from([0, 1, 57_600, DAY - 1]))
    event = st.builds(
        lambda at, kind, seconds: Event(instant(as_of + at), kind, seconds),
        _moment,
        st.integers(kinds.SESSION, kinds.COUPON_EXPIRED),
        st.integers(0, 900),
    )
    history = st.builds(History, st.lists(_order(as_of), max_size=7), st.lists(event, max_size=12))
    histories = draw(st.lists(history, min_size=1, max_size=4))
    return histories, as_of, draw(st.sampled_from([0, 8 * 3600, -3 * 3600]))


TWO_A_DAY = History(
    [Order(instant(MIDNIGHT - 5 * DAY + hour * 3600), lines=[(1, 1), (1, 1)]) for hour in (3, 20)]
)
AT_THE_CUTOFF = History(
    [Order(instant(MIDNIGHT)), Order(instant(MIDNIGHT - 1))], [Event(instant(MIDNIGHT), 1, 60)]
)
REFUNDED_LATER = History(
    [
        Order(
            instant(MIDNIGHT - 9 * DAY),
            refunds=[(instant(MIDNIGHT - DAY), 200), (instant(MIDNIGHT), 800)],
        )
    ]
)
CANCELLED = History(
    [Order(instant(MIDNIGHT - 9 * DAY), gone=instant(MIDNIGHT + at)) for at in (-1, 0)]
)


@given(_world())
@example(([History()], MIDNIGHT, 0))
@example(([TWO_A_DAY, History(), AT_THE_CUTOFF, REFUNDED_LATER, CANCELLED], MIDNIGHT, 0))
@settings(max_examples=250, deadline=None)
def test_every_column_equals_the_oracle(world: tuple[list[History], int, int]):
    histories, as_of, offset = world
    facts = as_facts(histories, offset)
    members = np.arange(len(histories), dtype=np.int32)
    matrix = features.build(facts, as_of, members, purchases=MODEL, horizon_days=HORIZON)
    for row, history in enumerate(histories):
        expected = features_of(history, instant(as_of), zone_of(offset), MODEL, HORIZON)
        assert set(matrix.names) == set(expected), "a column lacks its oracle"
        got = dict(zip(matrix.names, matrix.values[row].tolist(), strict=True))
        for name, value in expected.items():
            assert got[name] == pytest.approx(value, rel=2e-6, abs=2e-5, nan_ok=True), name


def test_parts_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch):
    random = np.random.default_rng(4)
    histories = [
        History(
            [Order(instant(MIDNIGHT - int(at))) for at in random.integers(-DAY, 300 * DAY, number)]
        )
        for number in random.integers(0, 9, 100)
    ]
    facts = as_facts(histories)
    members = np.arange(100, dtype=np.int32)
    whole = features.build(facts, MIDNIGHT, members, purchases=MODEL)
    monkeypatch.setattr(features, "_PART", 7)
    for threads in (1, 3):
        parts = features.build(facts, MIDNIGHT, members, purchases=MODEL, threads=threads)
        assert parts.values.tobytes() == whole.values.tobytes()
    some = members[::3]
    alone = features.build(facts, MIDNIGHT, some, purchases=MODEL)
    assert alone.values.tobytes() == whole.values[some].tobytes()


def test_the_oracle_itself_sees_what_it_should():
    seen = features_of(REFUNDED_LATER, instant(MIDNIGHT), zone_of(0), MODEL, HORIZON)
    later = features_of(
        REFUNDED_LATER, instant(MIDNIGHT) + timedelta(seconds=1), zone_of(0), MODEL, HORIZON
    )
    assert (seen["spend_30"], later["spend_30"]) == (8.0, 0.0)
    cancelled = features_of(CANCELLED, instant(MIDNIGHT), zone_of(0), MODEL, HORIZON)
    assert cancelled["orders_30"] == 1


def test_the_example_of_the_documents():
    shanghai = zone_of(8 * 3600)

    def noon(month: int, day: int) -> datetime:
        return datetime(2026, month, day, 12, tzinfo=shanghai)

    june = Order(noon(6, 11), 4000, refunds=[(noon(6, 13), 1000), (noon(7, 3), 1000)])
    history = History([Order(noon(5, 2), 8000), Order(noon(5, 22), 6000), june])
    as_of = int(datetime(2026, 7, 1, tzinfo=shanghai).timestamp())
    member = np.zeros(1, dtype=np.int32)
    matrix = features.build(as_facts([history], 8 * 3600), as_of, member, purchases=MODEL)
    expected = {
        "recency": 20, "interval_median": 20, "interval_sd": 0, "recency_in_medians": 1,
        "days_until_due": 0, "spend_30": 30, "spend_31_60": 140, "orders_90": 3,
        "basket_last_in_means": 0.53,
    }  # fmt: skip
    assert {name: round(matrix.column(name)[0], 2) for name in expected} == expected
