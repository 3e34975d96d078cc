"""Whatever the product does to members between two nights, only they are read, and it shows."""

import asyncio
import contextlib
import os
import random
import signal
import sys
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from app import coupons, leaving, merging, points
from app.churn import kept as keeping
from app.kernel.db import Database, Tx
from app.kernel.errors import Refusal
from app.orders import Order
from tests.churn.test_churn_facts import Shop, grant, lived
from tests.churn.test_churn_kept import RowsRead, read, require_alike, rows, rows_read
from tests.conftest import NOON, TestClock
from tests.make.members import member
from tests.make.orders import order, refund

__all__ = ["rows_read"]

DAY = timedelta(days=1)


async def open_shop(database: Database, seed: int, members: int = 30) -> Shop:
    async with database.begin() as tx:
        shop = Shop(tx, seed)
        await shop.join(members)
        lived(shop, NOON - DAY)
    return shop


class Day:
    """What may happen between two nights, by the product's own commands where it has one."""

    def __init__(self, tx: Tx, shop: Shop, roll: random.Random) -> None:
        self.tx, self.shop, self.roll = tx, shop, roll
        shop.tx = tx

    def one(self) -> UUID:
        return self.roll.choice(list(self.shop.histories))

    async def stored(self) -> Order:
        old = self.roll.choice(self.shop.orders)[0]
        found = await self.tx.session.execute(
            text("SELECT member_id FROM member_order WHERE id = :id"), {"id": old.id}
        )
        return await self.tx.session.get_one(Order, (found.scalar_one(), old.id))

    async def order_anew(self) -> None:
        self.shop.order(self.one(), self.tx.now - timedelta(hours=1))

    async def order_reported_late(self) -> None:
        self.shop.order(self.one(), self.tx.now - self.roll.randint(20, 300) * DAY)

    async def act(self) -> None:
        self.shop.act(self.one(), self.tx.now - timedelta(hours=self.roll.randint(0, 90)))

    async def pay_back(self) -> None:
        row = await self.stored()
        if row.refunded_fen < row.total_fen:
            row.refunded_fen += 1
            await refund(
                self.tx, member_id=row.member_id, order_id=row.id, amount_fen=1, at=self.tx.now
            )

    async def pay_back_something(self) -> None:
        await refund(self.tx, member_id=self.one(), order_id=None, amount_fen=3, at=self.tx.now)

    async def cancel(self) -> None:
        (await self.stored()).cancelled_at = self.tx.now

    async def deliver_late(self) -> None:
        row = await self.stored()
        row.delivered_at, row.late = self.tx.now, True

    async def give_a_coupon(self) -> None:
        await grant(self.tx, self.one(), self.tx.now - DAY, self.tx.now + DAY, 1)

    async def expire_coupons(self) -> None:
        await self.tx.session.execute(text("UPDATE coupon SET state = 'EXPIRED'"))

    async def use_a_coupon(self) -> None:
        own = await grant(self.tx, self.one(), self.tx.now - DAY, self.tx.now + DAY, 1)
        own.state = coupons.CouponState.REDEEMED
        self.tx.session.add(
            coupons.Redemption(
                member_id=own.member_id, coupon_id=own.id, order_ref="1", discount_fen=5,
                explanation={}, at=self.tx.now,
            )
        )  # fmt: skip

    async def check_in(self) -> None:
        await points.check_in(self.tx, member_id=self.one())

    async def join(self) -> None:
        newcomer = await member(self.tx)
        await order(self.tx, member_id=newcomer.id)

    async def merge(self) -> None:
        kwargs = {"actor_kind": "staff", "actor_id": uuid4(), "reason": "同一人"}
        await merging.merge(self.tx, from_id=self.one(), into_id=self.one(), **kwargs)

    async def erase(self) -> None:
        await leaving.erase(self.tx, member_id=self.one())

    async def forget_an_event(self) -> None:
        await self.tx.session.execute(
            text("DELETE FROM activity WHERE ctid = (SELECT max(ctid) FROM activity)")
        )


EVERYTHING = [name for name, value in vars(Day).items() if asyncio.iscoroutinefunction(value)]
EVERYTHING.remove("stored")


@pytest.mark.parametrize("seed", range(3))
async def test_random_days_leave_what_reading_everything_gives(
    database: Database, clock: TestClock, tmp_path: Path, seed: int
) -> None:
    kept, roll = tmp_path / "orders", random.Random(seed)
    shop = await open_shop(database, seed)
    await require_alike(database, clock.now, kept, "first")
    turns = roll.sample(EVERYTHING, len(EVERYTHING)) + roll.choices(EVERYTHING, k=6)
    while turns:
        done = [turns.pop() for _ in range(min(roll.randint(1, 3), len(turns)))]
        for name in done:
            with contextlib.suppress(Refusal):
                async with database.begin() as tx:
                    await getattr(Day(tx, shop, roll), name)()
        clock.advance(days=1)
        await require_alike(database, clock.now, kept, ", ".join(done))


@pytest.mark.parametrize("name", [one for one in EVERYTHING if one != "forget_an_event"])
async def test_nobody_else_is_read(
    database: Database, clock: TestClock, tmp_path: Path, rows_read: RowsRead, name: str
) -> None:
    kept, roll = tmp_path / "orders", random.Random(5)
    shop = await open_shop(database, 7)
    everything = await rows_read(database, kept)
    assert everything > 400
    async with database.begin() as tx:
        await getattr(Day(tx, shop, roll), name)()
    assert await rows_read(database, kept) < everything / 5
    await require_alike(database, clock.now, kept)


async def test_if_too_many_changed_everything_is_read(
    database: Database,
    clock: TestClock,
    tmp_path: Path,
    rows_read: RowsRead,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping, "FEW", 2)
    kept = tmp_path / "orders"
    shop = await open_shop(database, 8)
    everything = await rows_read(database, kept)
    for number in (2, 12):
        async with database.begin() as tx:
            shop.tx = tx
            for owner in list(shop.histories)[:number]:
                shop.act(owner, clock.now - DAY)
        everything += number
        took = await rows_read(database, kept)
        assert (took < everything / 2) if number == 2 else (took == everything)
        await require_alike(database, clock.now, kept)


async def test_a_transaction_that_ends_after_the_night_is_read_in_the_next_in_every_table(
    database: Database, clock: TestClock, tmp_path: Path
) -> None:
    """Fifty that began before the night's snapshot end after it, others in between."""
    kept = tmp_path / "orders"
    shop = await open_shop(database, 9, members=60)
    await read(database, clock.now, kept)
    roll = random.Random(9)
    owners = list(shop.histories)
    names = ["order_anew", "act", "pay_back_something", "give_a_coupon", "use_a_coupon", "check_in"]
    begun, let_go = asyncio.Semaphore(0), asyncio.Event()

    async def change(number: int) -> None:
        late = number % 2 == 0
        async with database.begin() as tx:
            day = Day(tx, Shop(tx, number), random.Random(number))
            day.shop.histories = {owners[number]: shop.histories[owners[number]]}
            await getattr(day, names[number % len(names)])()
            await tx.session.flush()
            begun.release()
            if late:
                await let_go.wait()

    # As many at once as there are connections, less the night's own.
    for start in range(0, 48, 3):
        let_go.clear()
        changes = [asyncio.create_task(change(start + nth)) for nth in range(3)]
        for _ in changes:
            await begun.acquire()
        before = await read(database, clock.now, kept)
        let_go.set()
        await asyncio.gather(*changes)
        if roll.random() < 0.3:
            await require_alike(database, clock.now, kept)
        assert len(before.member_ids) == 60
    await require_alike(database, clock.now, kept)


_NIGHT = """
import asyncio, sys
from datetime import datetime
from pathlib import Path
from app import churn
from app.kernel.db import Database

async def night():
    database = Database(sys.argv[1], pool_size=2)
    while True:
        as_of = datetime.fromisoformat(sys.argv[3])
        await churn.read_facts(database, as_of=as_of, zone="UTC", kept=Path(sys.argv[2]))
        print("read", flush=True)

asyncio.run(night())
"""


async def test_nights_that_are_killed_leave_a_file_that_serves_or_none(
    database: Database, clock: TestClock, tmp_path: Path
) -> None:
    kept, roll = tmp_path / "orders", random.Random(3)
    shop = await open_shop(database, 10)
    url = database.engine.url.render_as_string(hide_password=False)
    for _ in range(3):
        running = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _NIGHT, url, str(kept), clock.now.isoformat(),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert running.stdout is not None
        assert await running.stdout.readline() == b"read\n"
        async with database.begin() as tx:
            await Day(tx, shop, roll).order_anew()
        await asyncio.sleep(roll.random() / 5)
        os.kill(running.pid, signal.SIGKILL)
        await running.wait()
        await require_alike(database, clock.now, kept)


async def test_facts_lie_by_member_and_instant(
    database: Database, clock: TestClock, tmp_path: Path
) -> None:
    """So that nothing has to be put in order again before features are built."""
    shop = await open_shop(database, 11)
    kept = tmp_path / "orders"
    for turn in range(2):
        facts = await read(database, clock.now, kept)
        for owner, at in (
            (facts.order_member, facts.order_at),
            (facts.event_member, facts.event_at),
        ):
            placed = list(zip(owner.tolist(), at.tolist(), strict=True))
            assert placed == sorted(placed)
            assert len(placed) > 50
        assert facts.line_order.tolist() == sorted(facts.line_order)
        assert rows(facts) == rows(await read(database, clock.now, None)), turn
        async with database.begin() as tx:
            shop.tx = tx
            for owner in list(shop.histories)[::4]:
                shop.order(owner, clock.now - 40 * DAY)
