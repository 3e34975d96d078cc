"""Random histories, with the limits hit to the microsecond, judged in SQL and in plain Python."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from app import orders, segments
from app.kernel.db import Database, Tx
from tests.conftest import NOON
from tests.make import segments as make
from tests.segments import oracle
from tests.segments.oracle import Bought, Judgement, Person

LIMITS = [0, 7, 14, 28, 30, 60, 75, 90, 365]
JITTER = [
    timedelta(),
    *(sign * timedelta(microseconds=step) for step in (1, 10**6) for sign in (1, -1)),
]
AS_OF = NOON - timedelta(days=20)

ages = st.one_of(
    st.builds(
        lambda days, off: timedelta(days=days) + off,
        st.sampled_from(LIMITS),
        st.sampled_from(JITTER),
    ),
    st.integers(-20 * 24, 130 * 24).map(lambda hours: timedelta(hours=hours)),
)
instants = ages.map(lambda age: AS_OF - age)
# A few amounts only, so that many tie.
amounts = st.sampled_from([0, 100, 101, 250, 1000])
categories = st.sampled_from(["fruit", "milk", None])


@st.composite
def bought(draw: st.DrawFn) -> Bought:
    order = Bought(draw(instants), draw(amounts), draw(categories))
    if draw(st.integers(0, 9)) == 0:
        order.cancelled_at = order.paid_at + draw(st.sampled_from([timedelta(), timedelta(days=3)]))
    left = order.total
    for _ in range(draw(st.integers(0, 2))):
        amount = draw(st.sampled_from([left, left // 2, 1]))
        if 0 < amount <= left:
            order.refunds.append((order.paid_at + timedelta(days=draw(st.integers(0, 20))), amount))
            left -= amount
    return order


people = st.lists(
    st.builds(
        Person,
        registered_at=instants,
        orders=st.lists(bought(), max_size=5, unique_by=lambda order: order.paid_at),
        browses=st.lists(st.tuples(instants, categories), max_size=6),
        loose_refunds=st.lists(st.tuples(instants, st.sampled_from([1, 300])), max_size=1),
    ),
    min_size=1,
    max_size=7,
)


def shown(row: segments.MemberStage) -> Judgement:
    scores = (row.rfm_r, row.rfm_f, row.rfm_m)
    return Judgement(
        stage=row.stage,
        reason=row.reason,
        orders=row.orders,
        last_order_at=row.last_order_at,
        average_order_fen=row.average_order_fen,
        orders30=row.orders30,
        net90=row.net90,
        rfm=None if None in scores else scores,  # pyright: ignore[reportArgumentType]
    )


async def stored(tx: Tx, ids: Sequence[UUID]) -> list[Judgement | None]:
    tx.session.expunge_all()
    rows = await segments.stage_by_member(tx, ids)
    return [shown(rows[id_]) if id_ in rows else None for id_ in ids]


async def episodes(tx: Tx, member_id: UUID) -> list[tuple[object, object]]:
    episode, order = segments.SilenceEpisode, orders.Order
    rows = await tx.session.execute(
        select(episode.silent_from, order.paid_at)
        .outerjoin(order, order.id == episode.order_id)
        .where(episode.member_id == member_id)
        .order_by(episode.silent_from)
    )
    return [(silent_from, woken_at) for silent_from, woken_at in rows]


@settings(
    max_examples=40,
    # Each try rolls a database back: a smaller example is not worth minutes of shrinking.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    histories=people,
    later=st.sampled_from([timedelta(days=4), timedelta(microseconds=1)]),
    late=st.lists(bought(), max_size=2, unique_by=lambda order: order.paid_at),
    called_off=st.sets(st.integers(0, 4), max_size=2),
)
async def test_sql_judges_as_plain_python_does(
    database: Database,
    histories: list[Person],
    later: timedelta,
    late: list[Bought],
    called_off: set[int],
) -> None:
    async with database.begin() as tx:
        ids = [await make.person(tx, who) for who in histories]
        before: list[Judgement | None] = [None] * len(histories)
        for as_of in (AS_OF, AS_OF + later):
            if as_of > AS_OF:
                # What the first run did not know: orders that came late, and others called off.
                taken = {order.paid_at for order in histories[0].orders}
                fresh = [order for order in late if order.paid_at not in taken]
                await make.bought(tx, ids[0], *fresh)
                histories[0].orders += fresh
                for number in called_off & set(range(len(histories[-1].orders))):
                    order = histories[-1].orders[number]
                    order.cancelled_at = order.paid_at
                    await make.call_off(tx, ids[-1], order)
            run = await segments.run(tx, as_of=as_of)
            expected = oracle.judge(histories, as_of)
            assert await stored(tx, ids) == expected
            for id_, who, judged, was in zip(ids, histories, expected, before, strict=True):
                if judged is not None:
                    assert await episodes(tx, id_) == oracle.silences(who, as_of)
                changes = await segments.transitions_by_member(tx, [id_])
                told = [item for item in changes.get(id_, []) if item.at == as_of]
                assert len(told) == ((judged and judged.stage) != (was and was.stage))
            assert run.members == sum(item is not None for item in expected)
            before = expected
        await tx.session.rollback()
        tx.events.clear()
