"""The ledger against a slow oracle in plain Python: random commands, the same totals and lots.

The oracle keeps lots as a list and walks it; it shares no code with the ledger but the builders'
facts. After every step totals, the lots' remainders and the audit must agree.
"""

import asyncio
from collections.abc import Awaitable, Callable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import select

from app import points
from app.kernel.db import Database
from app.kernel.errors import Refusal
from tests.conftest import NOON
from tests.make.members import member
from tests.make.points import order_facts

AMOUNTS = st.integers(1, 60)
WEEK = timedelta(days=7)


def midnight(at: datetime) -> datetime:
    """The last midnight in Shanghai, which has no summer time."""
    day = at.replace(hour=16, minute=0, second=0, microsecond=0)
    return day if day <= at else day - timedelta(days=1)


def ids() -> Callable[[datetime], UUID]:
    """Ids that only rise, so that lots of one instant have an order to agree on."""
    numbers = count(1)
    return lambda _: UUID(int=next(numbers))


@dataclass(slots=True)
class Lot:
    """A lot as the oracle has it."""

    label: str
    amount: int
    left: int
    available: datetime | None
    expires: datetime | None
    number: int
    order: str | None = None
    clawed: int = 0
    ended: bool = False

    def alive(self) -> bool:
        return self.left > 0 and not self.ended


@dataclass(slots=True)
class Oracle:
    """What the ledger ought to do, one lot at a time."""

    now: datetime
    lots: list[Lot] = field(default_factory=list[Lot])
    debt: int = 0
    released: set[str] = field(default_factory=set[str])
    spends: dict[str, list[list[Any]]] = field(default_factory=dict[str, list[list[Any]]])

    def active(self) -> list[Lot]:
        found = [lot for lot in self.lots if lot.alive() and lot.label in self.released]
        far = self.now + timedelta(days=10_000)
        return sorted(found, key=lambda lot: (lot.expires or far, lot.number))

    def balance(self) -> int:
        return sum(lot.left for lot in self.active())

    def pending(self) -> int:
        return sum(lot.left for lot in self.lots if lot.label not in self.released)

    def settle(self) -> None:
        for lot in self.active():
            part = min(lot.left, self.debt)
            lot.left -= part
            self.debt -= part

    def sweep(self) -> None:
        for lot in self.lots:
            due = lot.available is not None and lot.available <= self.now
            if due and lot.label not in self.released and lot.left:
                self.released.add(lot.label)
        self.settle()
        for lot in self.lots:
            over = lot.expires is not None and lot.expires <= self.now
            if over and lot.left and lot.label in self.released:
                lot.left, lot.ended = 0, True

    def earn(self, lot: Lot) -> None:
        self.lots.append(lot)
        if lot.available is not None and lot.available <= self.now:
            self.released.add(lot.label)
            self.settle()

    def take(self, amount: int, order: list[Lot]) -> list[list[Any]]:
        parts: list[list[Any]] = []
        for lot in order:
            part = min(lot.left, amount)
            if part:
                lot.left -= part
                amount -= part
                parts.append([lot, part])
        return parts

    def claw(self, order_id: str, refunded: int, total: int) -> None:
        own = [lot for lot in self.lots if lot.order == order_id]
        due = 0
        for lot in own:
            whole = refunded >= total
            target = lot.amount if whole else lot.amount * refunded // total
            due += target - lot.clawed
            lot.clawed = target
        far = self.now + timedelta(days=10_000)
        mine = sorted(
            (lot for lot in own if lot.alive()), key=lambda lot: (lot.expires or far, lot.number)
        )
        others = [lot for lot in self.active() if lot.order != order_id]
        taken = self.take(due, [*mine, *others])
        self.debt += due - sum(part for _, part in taken)

    def give_back(self, subject: str, amount: int) -> None:
        far = self.now + timedelta(days=10_000)
        parts = self.spends[subject]
        parts.sort(key=lambda part: (part[0].expires or far, part[0].number), reverse=True)
        for part in parts:
            lot, spent = part
            back = min(spent, amount)
            if not back:
                continue
            amount -= back
            part[1] -= back
            reversed_ = lot.left == 0 and lot.clawed == lot.amount
            expired = lot.expires is not None and lot.expires <= self.now
            if lot.ended or reversed_ or expired:
                self._child(lot, back)
            else:
                lot.left += back
        self.settle()

    def _child(self, parent: Lot, amount: int) -> None:
        least = midnight(self.now) + timedelta(days=8)
        ends = least if parent.expires is None else max(least, parent.expires)
        label = f"child {len(self.lots)}"
        self.lots.append(Lot(label, amount, amount, self.now, ends, len(self.lots)))
        self.released.add(label)


class Ledger(RuleBasedStateMachine):
    """One member's account under random commands."""

    run: Callable[[Awaitable[Any]], Any]
    database: Database

    def __init__(self) -> None:
        super().__init__()
        self.oracle = Oracle(NOON)
        self.orders: dict[str, dict[str, Any]] = {}
        self.labels = 0
        self.swept = self.oracle
        self.member_id: UUID = self.run(self._member())

    async def _member(self) -> UUID:
        async with self.database.begin(now=NOON) as tx:
            return (await member(tx)).id

    def command(self, work: Callable[[Any], Awaitable[Any]]) -> bool:
        """Run a command; False if it was refused."""

        async def inside() -> bool:
            try:
                async with self.database.begin(now=self.oracle.now) as tx:
                    await work(tx)
            except Refusal:
                return False
            return True

        before = deepcopy(self.oracle)
        self.oracle.now += timedelta(seconds=1)
        self.swept = deepcopy(self.oracle)
        self.swept.sweep()
        done = self.run(inside())
        # A refused command has booked nothing, not even what was due.
        self.oracle = self.swept if done else before
        return done

    @rule(minutes=st.sampled_from([1, 60, 60 * 24, 60 * 24 * 6, 60 * 24 * 7]))
    def time_passes(self, minutes: int) -> None:
        self.oracle.now += timedelta(minutes=minutes)

    @rule(amount=AMOUNTS, days=st.integers(1, 15))
    def earn(self, amount: int, days: int) -> None:
        label, ends = self.label(), self.oracle.now + timedelta(days=days)
        assert self.command(
            lambda tx: points.earn(
                tx,
                member_id=self.member_id,
                amount=amount,
                source=points.Source.CAMPAIGN,
                rule="test",
                subject=label,
                expires_at=ends,
            )
        )
        self.oracle.earn(Lot(label, amount, amount, self.oracle.now, ends, self.number()))

    @rule(amount=AMOUNTS, settles=st.booleans())
    def order(self, amount: int, settles: bool) -> None:
        label = self.label()
        self.orders[label] = {
            "key": UUID(int=len(self.orders) + 1),
            "total": amount * 100,
            "paid": self.oracle.now,
            "settled": self.oracle.now if settles else None,
            "back": 0,
        }
        self.follow(label)

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def settle_order(self, data: st.DataObject) -> None:
        label = data.draw(st.sampled_from(sorted(self.orders)))
        order = self.orders[label]
        order["settled"] = order["settled"] or self.oracle.now
        self.follow(label)

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def refund_order(self, data: st.DataObject) -> None:
        label = data.draw(st.sampled_from(sorted(self.orders)))
        order = self.orders[label]
        order["back"] = data.draw(st.integers(order["back"], order["total"]))
        self.follow(label)

    def follow(self, label: str) -> None:
        order = self.orders[label]
        facts = order_facts(
            order["key"],
            self.member_id,
            order["paid"],
            total_fen=order["total"],
            settled_at=order["settled"],
            refunded_fen=order["back"],
        )
        assert self.command(lambda tx: points.follow_order(tx, facts))
        available = None if order["settled"] is None else order["settled"] + WEEK
        ends = None if available is None else midnight(available) + timedelta(days=365)
        found = next((lot for lot in self.oracle.lots if lot.order == label), None)
        if found is None:
            amount = order["total"] // 100
            self.oracle.earn(Lot(label, amount, amount, available, ends, self.number(), label))
        elif found.available is None and found.left:
            found.available, found.expires = available, ends
        # The two halves are commands of their own: what the first dated is due for the second.
        if order["back"]:
            self.oracle.sweep()
            self.oracle.claw(label, order["back"], order["total"])

    @rule(amount=AMOUNTS)
    def spend(self, amount: int) -> None:
        subject = self.label()
        done = self.command(
            lambda tx: points.spend(tx, member_id=self.member_id, amount=amount, subject=subject)
        )
        able = not self.swept.debt and self.swept.balance() >= amount
        assert done is able
        if able:
            self.oracle.spends[subject] = self.oracle.take(amount, self.oracle.active())

    @precondition(lambda self: self.oracle.spends)
    @rule(data=st.data(), amount=AMOUNTS)
    def return_spend(self, data: st.DataObject, amount: int) -> None:
        subject = data.draw(st.sampled_from(sorted(self.oracle.spends)))
        left = sum(part for _, part in self.oracle.spends[subject])
        refund = self.label()
        done = self.command(
            lambda tx: points.refund_spend(
                tx,
                member_id=self.member_id,
                spent=subject,
                amount=amount,
                subject=refund,
            )
        )
        assert done is (amount <= left)
        if done:
            self.oracle.give_back(subject, amount)

    @rule()
    def nightly(self) -> None:
        assert self.command(points.release_due)
        assert self.command(points.expire_due)

    def number(self) -> int:
        return len(self.oracle.lots)

    def label(self) -> str:
        self.labels += 1
        return f"{self.labels:04}"

    @invariant()
    def agrees(self) -> None:
        self.run(self._agrees())

    async def _agrees(self) -> None:
        oracle = self.oracle
        async with self.database.read(now=oracle.now) as read:
            assert await points.audit(read) == []
            row = await read.session.get(points.Account, (self.member_id, "POINTS"))
            lots = await read.session.scalars(
                select(points.Lot.remaining).where(points.Lot.member_id == self.member_id)
            )
            left = sorted(amount for amount in lots if amount)
        booked = (0, 0, 0) if row is None else (row.active, row.pending, row.debt)
        assert booked == (oracle.balance(), oracle.pending(), oracle.debt)
        assert left == sorted(lot.left for lot in oracle.lots if lot.left)


async def test_the_ledger_agrees_with_the_oracle(database: Database, schema_ready: str) -> None:
    """`database` is asked for so that the tables are emptied afterwards."""
    loop = asyncio.get_running_loop()
    ordered = Database(schema_ready, pool_size=2, ids=ids())

    def run(work: Awaitable[Any]) -> Any:
        async def wrapped() -> Any:
            return await work

        return asyncio.run_coroutine_threadsafe(wrapped(), loop).result(60)

    machine = type("Bound", (Ledger,), {"run": staticmethod(run), "database": ordered})
    case = machine.TestCase
    case.settings = settings(
        max_examples=10,
        stateful_step_count=30,
        deadline=None,
        # Shrinking a failure over a real database would take longer than reading it.
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    try:
        await loop.run_in_executor(None, case("runTest").runTest)
    finally:
        await ordered.close()
