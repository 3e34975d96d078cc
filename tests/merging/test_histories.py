"""Random histories of several members who turn out to be one: sums before are sums after."""

import asyncio
from itertools import count
from uuid import UUID, uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from app import coupons, members, merging, points
from app.kernel.db import Database, Tx
from app.kernel.errors import Refusal
from tests.conftest import TestClock
from tests.make import coupons as make_coupons
from tests.make import members as make_members
from tests.make import orders as make_orders
from tests.make import points as make_points

PEOPLE = 3
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["earn", "spend", "order", "debt", "coupon", "check in", "merge", "merge", "merge"]
        ),
        st.integers(0, PEOPLE - 1),
        st.integers(0, PEOPLE - 1),
        st.integers(1, 50),
    ),
    min_size=8,
    max_size=16,
)
SUMS = text(
    """
    SELECT (SELECT coalesce(sum(active - debt), 0) FROM points_account) AS net,
           (SELECT coalesce(sum(pending), 0) FROM points_account) AS pending,
           (SELECT count(*) FROM coupon) AS coupons,
           (SELECT count(*) FROM coupon_redemption) AS redemptions,
           (SELECT count(*) FROM member_order) AS orders,
           (SELECT count(*) FROM order_line) AS lines,
           (SELECT coalesce(sum(total_fen - refunded_fen), 0) FROM member_order) AS fen
    """
)
NUMBERS = count()


async def sums(tx: Tx) -> tuple[int, ...]:
    await tx.session.flush()
    return tuple(int(value) for value in (await tx.session.execute(SUMS)).one())


async def step(tx: Tx, batch_id: UUID, kind: str, one: UUID, two: UUID, amount: int) -> None:
    number = next(NUMBERS)
    if kind == "earn":
        await make_points.lot(tx, member_id=one, amount=amount, subject=f"h{number}")
    elif kind == "spend":
        await points.spend(tx, member_id=one, amount=amount, subject=f"h{number}")
    elif kind == "order":
        await make_orders.order(tx, member_id=one, total_fen=amount * 100)
    elif kind == "coupon":
        await coupons.grant(
            tx, batch_id=batch_id, member_ids=[one], source=coupons.Source.STAFF, source_id=None
        )
    elif kind == "check in":
        await points.check_in(tx, member_id=one)
    elif kind == "debt":
        row = await make_orders.order(tx, member_id=one, total_fen=amount * 100)
        facts = make_points.order_facts(
            row.id, one, row.placed_at, total_fen=amount * 100, settled_at=row.placed_at
        )
        await points.earn_for_order(tx, facts)
    else:
        before = await sums(tx)
        await merging.merge(
            tx, from_id=one, into_id=two, actor_kind="staff", actor_id=uuid4(), reason="同一人"
        )
        assert await sums(tx) == before, "nothing is lost and nothing is made"
        assert await points.audit(tx) == []
        # Settling it again changes nothing.
        row = await tx.session.get_one(merging.Merge, (two, one))
        assert row.figures is not None


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(steps=STEPS)
def run_histories(steps: list[tuple[str, int, int, int]]) -> None:
    HISTORIES.append(steps)


HISTORIES: list[list[tuple[str, int, int, int]]] = []


async def test_sums_before_are_sums_after(database: Database, clock: TestClock) -> None:
    await asyncio.to_thread(run_histories)
    merges = 0
    for history in HISTORIES:
        async with database.begin() as tx:
            people = [(await make_members.member(tx)).id for _ in range(PEOPLE)]
            template = await make_coupons.template(tx, per_member=1_000)
            batch = await make_coupons.batch(tx, template_id=template.id, quantity=1_000)
        for kind, one, two, amount in history:
            try:
                async with database.begin() as tx:
                    await step(tx, batch.id, kind, people[one], people[two], amount)
            except Refusal:
                continue
            merges += kind == "merge"
            clock.advance(hours=1)
        async with database.read() as read:
            ends = set((await members.survivors(read, people)).values())
            left = await read.session.scalar(
                text("SELECT count(*) FROM coupon WHERE member_id = ANY(:gone)").bindparams(
                    gone=[one for one in people if one not in ends]
                )
            )
        assert left == 0, "a merged member keeps no coupon"
    assert merges > 20, "the histories merge often enough to tell"
