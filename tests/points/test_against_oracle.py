"""Long random histories of several members, held against a slow oracle after every step.

Hypothesis draws the seeds; each history is hundreds of commands, one transaction a step: orders,
settlements, refunds in part and in whole, cancellations, spendings and their refunds, check-ins,
corrections by staff, nightly runs, merges and leaps of the clock. After each step the audit must
find nothing, and every account must hold what the oracle says, lot by lot.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from app import points
from app.kernel.clock import business_day
from app.kernel.db import Database, Tx
from app.kernel.errors import Refusal
from app.kernel.statements import Lines
from tests.conftest import NOON
from tests.make.members import member
from tests.make.points import order_facts
from tests.points.oracle import DAY, Books, Lot, midnight

# Parts run side by side where there are processors: 10,400 steps together.
PARTS = 4
HISTORIES = 10
STEPS = 260
PEOPLE = 3
WEEK = 7 * DAY
LEAPS = (1, 60, 60 * 8, 60 * 24, 60 * 24, 60 * 24 * 6, 60 * 24 * 8)
OWN_TABLES = ("points_allocation", "points_entry", "points_lot", "check_in", "points_account")

_STATE = Lines(
    """
SELECT a.member_id, a.active, a.pending, a.debt, coalesce((
    SELECT array_agg(l.remaining ORDER BY l.remaining) FROM points_lot l
    WHERE l.member_id = a.member_id AND l.currency = a.currency AND l.remaining > 0), '{}') AS lots
FROM points_account a WHERE a.currency = 'POINTS'
""",
    "member_id active pending debt lots",
)


def ids() -> Callable[[datetime], UUID]:
    """Ids that only rise, so that lots of one instant have an order to agree on."""
    numbers = count(1)
    return lambda _: UUID(int=next(numbers))


@dataclass(slots=True)
class Ordered:
    """An order and whose it was when it was made."""

    key: UUID
    member_id: UUID
    total: int
    paid: datetime
    settled: datetime | None
    refunded: int = 0
    cancelled: bool = False


@dataclass(slots=True)
class History:
    """Some members, what was done with them, and what ought to have come of it."""

    database: Database
    random: Random
    now: datetime = NOON
    people: list[UUID] = field(default_factory=list[UUID])
    heirs: dict[UUID, UUID] = field(default_factory=dict[UUID, UUID])
    books: dict[UUID, Books] = field(default_factory=dict[UUID, Books])
    orders: dict[str, Ordered] = field(default_factory=dict[str, Ordered])
    labels: "count[int]" = field(default_factory=count)
    numbers: "count[int]" = field(default_factory=lambda: count(0, 100))
    done: Counter[str] = field(default_factory=Counter[str])

    def heir(self, who: UUID) -> UUID:
        while who in self.heirs:
            who = self.heirs[who]
        return who

    def somebody(self) -> tuple[UUID, Books]:
        """A member, now and then one who was merged long ago, and the account that is theirs."""
        who = self.random.choice(self.people)
        if self.heirs and self.random.random() < 0.15:
            who = self.random.choice(list(self.heirs))
        return who, self.books[self.heir(who)]

    def label(self) -> str:
        return f"{next(self.labels):05}"

    def lot(self, amount: int, days: int) -> Lot:
        ends = midnight(self.now) + days * DAY
        return Lot(next(self.numbers), amount, amount, self.now, ends)

    async def command(self, work: Callable[[Tx], Awaitable[Any]]) -> Any:
        """Run a command in a transaction of its own; None if it was refused."""
        try:
            async with self.database.begin(now=self.now) as tx:
                return await work(tx)
        except Refusal:
            return None

    async def join(self) -> None:
        async with self.database.begin(now=self.now) as tx:
            who = (await member(tx)).id
        self.people.append(who)
        self.books[who] = Books()

    async def earn(self) -> None:
        who, books = self.somebody()
        amount, ends = self.random.randint(1, 60), self.now + self.random.randint(1, 15) * DAY
        subject = self.label()
        assert await self.command(
            lambda tx: points.earn(
                tx,
                member_id=who,
                amount=amount,
                source=points.Source.CAMPAIGN,
                rule="test",
                subject=subject,
                expires_at=ends,
            )
        )
        books.sweep(self.now)
        books.earn(Lot(next(self.numbers), amount, amount, self.now, ends), self.now)

    async def check_in(self) -> None:
        who, books = self.somebody()
        day = business_day(self.now)
        row = await self.command(lambda tx: points.check_in(tx, member_id=who))
        assert (row is None) is (day in books.days)
        if row is not None:
            assert row.streak == books.streak(day)
            books.days.add(day)
            books.sweep(self.now)
            books.earn(self.lot(15 if row.streak % 7 == 0 else 5, 180), self.now)

    async def adjust(self) -> None:
        who, books = self.somebody()
        amount = self.random.choice([-40, -7, -1, 1, 9, 30])
        tried = books.copied()
        tried.sweep(self.now)
        active, _, debt = tried.figures()
        subject = self.label()
        done = await self.command(
            lambda tx: points.adjust(
                tx, member_id=who, amount=amount, actor_id=who, reason="test", subject=subject
            )
        )
        assert (done is not None) is (amount > 0 or (not debt and active >= -amount))
        if done is None:
            return
        books.sweep(self.now)
        if amount > 0:
            books.earn(self.lot(amount, 365), self.now)
        else:
            books.take(-amount, books.active())

    async def order(self) -> None:
        who, _ = self.somebody()
        settled = self.now if self.random.random() < 0.5 else None
        total = self.random.randint(1, 60) * 100
        label = self.label()
        self.orders[label] = Ordered(uuid4(), who, total, self.now, settled)
        await self.follow(label)

    async def settle_order(self) -> None:
        if self.orders:
            label = self.random.choice(list(self.orders))
            order = self.orders[label]
            order.settled = order.settled or self.now
            await self.follow(label)

    async def refund_order(self) -> None:
        if self.orders:
            label = self.random.choice(list(self.orders)[-12:])
            order = self.orders[label]
            whole = self.random.random() < 0.3
            order.refunded = (
                order.total if whole else self.random.randint(order.refunded, order.total)
            )
            order.cancelled = order.cancelled or self.random.random() < 0.05
            await self.follow(label)

    async def follow(self, label: str) -> None:
        order = self.orders[label]
        # The facts of an order name whoever made it, or whoever has it by now.
        owner = self.random.choice([order.member_id, self.heir(order.member_id)])
        facts = order_facts(
            order.key,
            owner,
            order.paid,
            total_fen=order.total,
            settled_at=order.settled,
            refunded_fen=order.refunded,
            cancelled=order.cancelled,
        )

        async def work(tx: Tx) -> bool:
            await points.follow_order(tx, facts)
            return True

        assert await self.command(work)
        books = self.books[self.heir(order.member_id)]
        if not order.cancelled:
            books.sweep(self.now)
            self._earned(books, label, order)
        if order.refunded or order.cancelled:
            # The two halves are commands of their own: what the first dated is due for the second.
            books.sweep(self.now)
            books.claw(label, order.total if order.cancelled else order.refunded, order.total)

    def _earned(self, books: Books, label: str, order: Ordered) -> None:
        available = None if order.settled is None else order.settled + WEEK
        ends = None if available is None else midnight(available) + 365 * DAY
        found = next((lot for lot in books.lots if lot.order == label), None)
        if found is None:
            amount = order.total // 100
            lot = Lot(next(self.numbers), amount, amount, available, ends, label)
            books.earn(lot, self.now)
        elif found.available is None and found.left:
            found.available, found.expires = available, ends

    async def spend(self) -> None:
        who, books = self.somebody()
        tried = books.copied()
        tried.sweep(self.now)
        active, _, debt = tried.figures()
        amount = self.random.randint(1, max(active, 20))
        subject = self.label()
        done = await self.command(
            lambda tx: points.spend(tx, member_id=who, amount=amount, subject=subject)
        )
        assert (done is not None) is (not debt and active >= amount)
        if done is not None:
            books.sweep(self.now)
            books.spends[subject] = books.take(amount, books.active())

    async def refund_spend(self) -> None:
        who, books = self.somebody()
        if not books.spends:
            return
        spent = self.random.choice(list(books.spends)[-12:])
        amount, subject = self.random.randint(1, 40), self.label()
        done = await self.command(
            lambda tx: points.refund_spend(
                tx, member_id=who, spent=spent, amount=amount, subject=subject
            )
        )
        left = sum(part.left for part in books.spends[spent])
        assert (done is not None) is (amount <= left)
        if done is not None:
            books.sweep(self.now)
            books.give_back(spent, amount, self.now, next(self.numbers))

    async def nightly(self) -> None:
        async def work(tx: Tx) -> bool:
            await points.release_due(tx)
            await points.expire_due(tx)
            return True

        assert await self.command(work)
        for books in self.books.values():
            books.sweep(self.now)

    async def merge(self) -> None:
        giver, taker = self.random.sample(self.people, 2)

        async def work(tx: Tx) -> bool:
            await points.merge(tx, giver, taker)
            return True

        assert await self.command(work)
        given = self.books.pop(giver)
        for books in (given, self.books[taker]):
            books.sweep(self.now)
        self.books[taker].absorb(given)
        self.people.remove(giver)
        self.heirs[giver] = taker
        await self.join()

    async def step(self) -> None:
        if self.random.random() < 0.25:
            self.now += timedelta(minutes=self.random.choice(LEAPS))
        self.now += timedelta(seconds=1)
        names, weights = zip(*WEIGHTS.items(), strict=True)
        [name] = self.random.choices(names, weights)
        self.done[name] += 1
        await getattr(self, name)()

    async def agrees(self) -> None:
        async with self.database.read(now=self.now) as read:
            assert await points.audit(read) == []
            rows = await read.fetch(_STATE)
        for row in rows:
            books = self.books.get(row["member_id"])
            figures = (0, 0, 0) if books is None else books.figures()
            lots = [] if books is None else sorted(lot.left for lot in books.lots if lot.left)
            assert (row["active"], row["pending"], row["debt"]) == figures
            assert row["lots"] == lots

    async def reconciles(self) -> None:
        async with self.database.read(now=self.now) as read:
            for who in [*self.people, *self.heirs]:
                cut = NOON + (self.now - NOON) * self.random.random()
                span = points.Span(who, points.Currency.POINTS, cut, None)
                assert (await points.statement(read, span)).reconciles


WEIGHTS = {
    "earn": 12,
    "check_in": 12,
    "adjust": 5,
    "order": 16,
    "settle_order": 10,
    "refund_order": 10,
    "spend": 18,
    "refund_spend": 12,
    "nightly": 4,
    "merge": 1.5,
}


async def play(database: Database, seed: str) -> Counter[str]:
    history = History(database, Random(seed))
    for _ in range(PEOPLE):
        await history.join()
    for n in range(STEPS):
        await history.step()
        await history.agrees()
        if n % 50 == 49:
            await history.reconciles()
    async with database.begin() as tx:
        await tx.session.execute(text("SET LOCAL session_replication_role = replica"))
        for table in OWN_TABLES:
            await tx.session.execute(text(f"DELETE FROM {table}"))
    return history.done


@pytest.mark.parametrize("part", range(PARTS))
async def test_the_ledger_agrees_with_the_oracle(
    database: Database, schema_ready: str, part: int
) -> None:
    """`database` is asked for so that the tables are emptied afterwards."""
    loop = asyncio.get_running_loop()
    ordered = Database(schema_ready, pool_size=2, ids=ids())
    done: Counter[str] = Counter()

    @settings(
        max_examples=HISTORIES,
        deadline=None,
        # A smaller seed is no simpler history: there is nothing to shrink.
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
        database=None,
    )
    @given(seed=st.integers(0, 2**63))
    def histories(seed: int) -> None:
        work = play(ordered, f"{part}:{seed}")
        done.update(asyncio.run_coroutine_threadsafe(work, loop).result(600))

    try:
        await loop.run_in_executor(None, histories)
    finally:
        await ordered.close()
    assert done.total() * PARTS >= 10_000
    assert set(done) == set(WEIGHTS)
