"""Which orders count, at present and at any instant, and what members net."""

from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.exc import IntegrityError

from app import orders
from app.kernel.db import Database
from app.orders import bulk
from tests.conftest import NOON
from tests.make import members as make_members
from tests.make import orders as make

DAY = timedelta(days=1)


async def test_net_spend_sees_only_what_had_happened(database: Database) -> None:
    async with database.begin() as tx:
        who = (await make_members.member(tx)).id
        await make.order(tx, member_id=who, at=NOON - 40 * DAY, total_fen=1000)
        kept = await make.order(tx, member_id=who, at=NOON - 20 * DAY, total_fen=500)
        gone = await make.order(tx, member_id=who, at=NOON - 10 * DAY, total_fen=300)
        await make.order(tx, member_id=who, at=NOON - 5 * DAY, total_fen=70, paid=False)
        called_off = await make.order(tx, member_id=who, at=NOON - 5 * DAY, total_fen=90)
        await make.refund(tx, member_id=who, order_id=kept.id, amount_fen=200, at=NOON - 4 * DAY)
        await make.refund(tx, member_id=who, order_id=gone.id, amount_fen=300, at=NOON - 3 * DAY)
        await make.refund(tx, member_id=who, amount_fen=25, at=NOON - 2 * DAY)
        kept.refunded_fen, gone.refunded_fen = 200, 300
        called_off.cancelled_at = NOON - DAY

    async def spend(since: int | None, until: int) -> tuple[object, ...] | None:
        start = None if since is None else NOON - since * DAY
        async with database.read() as read:
            found = await read.session.execute(orders.net_spend(start, NOON - until * DAY))
            row = found.one_or_none()
        return None if row is None else (row.net_fen, row.orders, NOON - row.last_paid_at)

    assert await spend(None, 0) == (1000 + 300 - 25, 2, 20 * DAY)
    assert await spend(30, 0) == (300 - 25, 1, 20 * DAY)
    assert await spend(None, 1) == (1000 + 300 + 90 - 25, 3, 5 * DAY)
    assert await spend(None, 4) == (1000 + 500 + 300 + 90, 4, 5 * DAY)
    assert await spend(20, 5) == (500 + 300, 2, 10 * DAY)  # half-open at both ends
    assert await spend(None, 40) is None


async def test_a_member_with_nothing_but_a_loose_refund(database: Database) -> None:
    async with database.begin() as tx:
        who = (await make_members.member(tx)).id
        await make.refund(tx, member_id=who, amount_fen=25, at=NOON - DAY)
    async with database.read() as read:
        [row] = await read.session.execute(orders.net_spend(None, NOON))
    assert tuple(row) == (who, -25, 0, None)


async def test_settled_count_and_has_bought_follow_what_counts(database: Database) -> None:
    async with database.begin() as tx:
        who = (await make_members.member(tx)).id
        other = (await make_members.member(tx)).id
        await make.order(tx, member_id=who, sku="A")
        await make.order(tx, member_id=who, sku="B", refunded_fen=1000)
        await make.order(tx, member_id=who, sku="C", settled=False)
        await make.order(tx, member_id=who, sku="D", cancelled=True)
        await make.order(tx, member_id=who, sku="E", paid=False)
    async with database.read() as read:
        assert await orders.settled_count(read, [who, other]) == {who: 1, other: 0}
        bought = await orders.has_bought(read, [(who, sku) for sku in "ABCDEF"] + [(other, "A")])
    assert {sku for (owner, sku), true in bought.items() if true and owner == who} == {"A", "C"}
    assert not bought[other, "A"]


async def test_pages_of_a_members_orders(database: Database) -> None:
    async with database.begin() as tx:
        who = (await make_members.member(tx)).id
        made = [(await make.order(tx, member_id=who, at=NOON - n // 2 * DAY)).id for n in range(5)]
    found: list[UUID] = []
    after = None
    while True:
        async with database.read() as read:
            rows = await orders.page_of_member(read, member_id=who, after=after, first=2)
        found += [row.id for row in rows[:2]]
        if len(rows) < 3:
            break
        after = rows[1].placed_at, rows[1].id
    assert sorted(found) == sorted(made)
    assert found[-1] == made[4]


async def test_the_database_itself_guards_amounts(database: Database) -> None:
    for wrong in ({"total_fen": -1}, {"refunded_fen": 1001}, {"paid": False, "refunded_fen": 1}):
        async with database.begin() as tx:
            who = (await make_members.member(tx)).id
            async with tx.session.begin_nested() as savepoint:
                with pytest.raises(IntegrityError):
                    await make.order(tx, member_id=who, **wrong)  # type: ignore[arg-type]
                await savepoint.rollback()


async def test_bulk_loading_and_advancing(database: Database) -> None:
    async with database.begin() as tx:
        who = (await make_members.member(tx)).id
        key = tx.new_id()
        instants = (NOON - DAY, NOON - DAY, None, None, None)
        order = (who, key, "s", "1", "APP", None, *instants, 500, 0, 0, None, None)
        flags = (False, False, False)
        line = (who, key, 1, 2, 0, 500, 0, "A", "apple", "fruit")
        connection = await bulk.connection_of(tx)
        assert await bulk.load_orders(connection, orders=[(*order, *flags)], lines=[line]) == 2
        settled = (*order[:8], NOON, *order[9:], True, False, False)
        assert await bulk.advance_orders(connection, orders=[settled]) == 1
        assert await bulk.advance_orders(connection, orders=[settled]) == 1
        event = (who, "e", NOON, "BROWSE", 5, None, "A", None, None, None)
        assert await bulk.load_events(connection, events=[event]) == 1
    async with database.read() as read:
        [stored] = await orders.page_of_member(read, member_id=who, after=None, first=5)
        assert (stored.status, stored.settled_at, stored.late) == ("SETTLED", NOON, True)
        lines = await orders.lines_by_order(read, [(who, key)])
        assert [item.name for item in lines[who, key]] == ["apple"]
    with pytest.raises(asyncpg.UniqueViolationError):
        async with database.begin() as tx:
            await bulk.load_events(await bulk.connection_of(tx), events=[event])
