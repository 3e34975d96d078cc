"""What the ledger ought to do, in plain Python: lots in a list, walked one by one.

It shares no code with the ledger. One `Books` is one person's account; whoever is merged gives
theirs to another.
"""

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

DAY = timedelta(days=1)
FAR = timedelta(days=10_000)


def midnight(at: datetime) -> datetime:
    """The last midnight in Shanghai, which has no summer time."""
    day = at.replace(hour=16, minute=0, second=0, microsecond=0)
    return day if day <= at else day - DAY


@dataclass(slots=True)
class Lot:
    """A lot as the oracle has it; lots are numbered as they come, over all accounts."""

    number: int
    amount: int
    left: int
    available: datetime | None
    expires: datetime | None
    order: str | None = None
    released: bool = False
    clawed: int = 0
    ended: bool = False

    def rank(self) -> tuple[bool, datetime | None, int]:
        """Soonest end first, lots without one last, then the oldest."""
        return (self.expires is None, self.expires, self.number)


@dataclass(slots=True)
class Part:
    """What a spending took from a lot and has not got back."""

    lot: Lot
    left: int


@dataclass(slots=True)
class Books:
    """One person's account."""

    lots: list[Lot] = field(default_factory=list[Lot])
    debt: int = 0
    spends: dict[str, list[Part]] = field(default_factory=dict[str, list[Part]])
    days: set[date] = field(default_factory=set[date])

    def alive(self) -> list[Lot]:
        return [lot for lot in self.lots if lot.left and not lot.ended]

    def active(self) -> list[Lot]:
        return sorted((lot for lot in self.alive() if lot.released), key=Lot.rank)

    def figures(self) -> tuple[int, int, int]:
        alive = self.alive()
        active = sum(lot.left for lot in alive if lot.released)
        return active, sum(lot.left for lot in alive) - active, self.debt

    def copied(self) -> "Books":
        """The same for trying something: what is spent and ended already is left out."""
        return Books([replace(lot) for lot in self.alive()], self.debt)

    def settle(self) -> None:
        for lot in self.active() if self.debt else []:
            part = min(lot.left, self.debt)
            lot.left -= part
            self.debt -= part

    def sweep(self, now: datetime) -> None:
        """Release what is due, pay debts from it, end what is over: in this order."""
        for lot in self.alive():
            if lot.available is not None and lot.available <= now:
                lot.released = True
        self.settle()
        for lot in self.active():
            if lot.expires is not None and lot.expires <= now:
                lot.left, lot.ended = 0, True

    def earn(self, lot: Lot, now: datetime) -> None:
        self.lots.append(lot)
        lot.released = lot.available is not None and lot.available <= now
        self.settle()

    def take(self, amount: int, lots: list[Lot]) -> list[Part]:
        parts: list[Part] = []
        for lot in lots:
            part = min(lot.left, amount)
            if part:
                lot.left -= part
                amount -= part
                parts.append(Part(lot, part))
        return parts

    def claw(self, order: str, refunded: int, total: int) -> None:
        own = [lot for lot in self.lots if lot.order == order]
        due = 0
        for lot in own:
            target = lot.amount if refunded >= total else lot.amount * refunded // total
            due += target - lot.clawed
            lot.clawed = target
        mine = sorted((lot for lot in own if lot.left and not lot.ended), key=Lot.rank)
        others = [lot for lot in self.active() if lot.order != order]
        self.debt += due - sum(part.left for part in self.take(due, [*mine, *others]))

    def give_back(self, subject: str, amount: int, now: datetime, number: int) -> None:
        """Return points to the lots they came from, the last taken first, or to their children."""
        for part in sorted(self.spends[subject], key=lambda part: part.lot.rank(), reverse=True):
            back = min(part.left, amount)
            if not back:
                continue
            part.left -= back
            amount -= back
            lot = part.lot
            reversed_ = lot.left == 0 and lot.clawed == lot.amount
            if lot.ended or reversed_ or (lot.expires is not None and lot.expires <= now):
                least = midnight(now) + 8 * DAY
                ends = least if lot.expires is None else max(least, lot.expires)
                self.lots.append(Lot(number, back, back, now, ends, released=True))
                number += 1
            else:
                lot.left += back
        self.settle()

    def absorb(self, other: "Books") -> None:
        """Take over all that another account has."""
        self.lots += other.lots
        self.debt += other.debt
        self.spends |= other.spends
        self.days |= other.days
        self.settle()

    def streak(self, day: date) -> int:
        count = 1
        while day - count * DAY in self.days:
            count += 1
        return count
