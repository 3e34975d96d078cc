"""A week of orders: who orders when, and what becomes of each order until its last consequence.

All instants are epoch seconds; NEVER stands for what does not happen. Times beyond the week are
planned here already, and shown only once they have come (see `shown`).
"""

from typing import NamedTuple

import numpy as np

from simulation.lives import NEW, Lived, Pace, State
from simulation.roster import Habits
from simulation.seasons import DAY, HOUR, ZONE, Days, hours_of
from simulation.streams import Bools, Floats, Ints
from simulation.tables import NEVER

MINI_PROGRAM, APP, STORE = range(3)
CHANNELS = ("MINI_PROGRAM", "APP", "STORE")
PLACED, PAID, SETTLED, PARTLY_REFUNDED, REFUNDED, CANCELLED = range(6)
STATUSES = ("PLACED", "PAID", "SETTLED", "PARTLY_REFUNDED", "REFUNDED", "CANCELLED")
SPOILED, MISSING, DAMAGED, WITHDRAWN = range(4)
REASONS = ("spoiled", "missing", "not as described", "cancelled before delivery")
LAST_ORDERS_HOUR = 23  # placed later, it comes a day later
REFUND_WINDOW = 7 * DAY
_PEAK_HOURS = np.array([7.8, 12.2, 20.9, 15.5])
_PEAK_WIDTHS = np.array([0.6, 0.6, 1.0, 3.2])


class Orders(NamedTuple):
    """Orders of one week in one part; `member` is the place in the part."""

    member: Ints
    placed: Ints
    paid: Ints
    cancelled: Ints
    promised: Ints
    delivered: Ints
    settled: Ints
    complained: Ints
    refunded: Ints
    late: Bools
    spoiled: Bools
    whole: Bools  # refunded as a whole
    reason: Ints
    channel: Ints
    first: Bools  # the member's first order
    wooed: Bools  # the member came back lately


def clock(rng: np.random.Generator, habits: Habits, member: Ints, wide: float = 1.0) -> Ints:
    """A second of the local day for each member, after the member's habits; nobody at dawn."""
    size = len(member)
    peak = np.minimum((rng.random(size)[:, None] >= habits.peaks[member]).sum(axis=1), 3)
    hour = _PEAK_HOURS[peak] + habits.shift[member]
    hour = hour + rng.normal(0.0, 1.0, size) * _PEAK_WIDTHS[peak] * wide
    hour = np.where(hour >= 23.9, 19.5 + (hour - 23.9) % 4.0, hour)
    hour = np.where(hour < 5.5, 8.0 + (5.5 - hour) % 4.0, hour)
    return (hour * HOUR).astype(np.int64)


def week_of(
    rng: np.random.Generator, habits: Habits, state: State, pace: Pace, week: tuple[int, Days]
) -> Orders:
    """The orders placed in a week; `week` is its first instant and its days."""
    monday, days = week
    member, placed = _placed(rng, habits, state, pace, week)
    size = len(member)
    store = rng.random(size) < habits.store[member]
    channel = np.where(store, STORE, np.where(habits.app[member], APP, MINI_PROGRAM))
    paid, cancelled = _paid(rng, placed, store)
    promised = _promised(placed, habits.community[member])
    day = (promised - monday) // DAY
    late = (rng.random(size) < days.late[habits.community[member], day]) & ~store
    gone = cancelled < NEVER
    delivered = _delivered(rng, promised, late)
    settled = delivered + (0.2 * HOUR + rng.exponential(1.5 * HOUR, size)).astype(np.int64)
    settled = np.minimum(settled, delivered + 30 * HOUR)
    delivered, settled = np.where(store, paid, delivered), np.where(store, paid + 30, settled)
    spoiled = rng.random(size) < 0.012 + 0.05 * late + 0.022 * days.hot[day]
    late, spoiled = late & ~gone, spoiled & ~gone
    refunded, whole, reason = _refunds(rng, settled, spoiled, gone)
    first = np.diff(member, prepend=-1) != 0
    return Orders(
        member=member,
        placed=placed,
        paid=paid,
        cancelled=cancelled,
        promised=np.where(store, NEVER, promised),
        delivered=np.where(gone, NEVER, delivered),
        settled=np.where(gone, NEVER, settled),
        complained=_complaints(rng, settled, late, spoiled, gone),
        refunded=np.where(gone & (paid < NEVER), cancelled, refunded),
        late=late,
        spoiled=spoiled,
        whole=whole | gone,
        reason=np.where(gone, WITHDRAWN, reason),
        channel=channel,
        first=first & (state.orders[member] == 0),
        wooed=(state.warmth[member] < 1.0) & (state.week - state.since[member] < 4),
    )


def _placed(
    rng: np.random.Generator, habits: Habits, state: State, pace: Pace, week: tuple[int, Days]
) -> tuple[Ints, Ints]:
    """Members (ascending) and instants. A member orders at most twice a day."""
    monday, days = week
    joined_day = (habits.joined - monday) // DAY
    day = np.arange(7)
    rate = pace.orders[:, None] * habits.weekday / 7.0
    new = (state.phase == NEW)[:, None]
    age = day - joined_day[:, None]
    eager = pace.orders[:, None] * (0.42 * np.exp(-np.maximum(age, 0) / 2.5) + 0.07)
    rate = np.where(new, eager, rate) * days.demand[:7]
    rate[age < 0] = 0.0
    chance = 1.0 - np.exp(-rate)
    draws = rng.random(chance.shape)
    times = (draws < chance).astype(np.int64) + (draws < 0.03 * chance)
    member, on = np.nonzero(times)
    repeats = times[member, on]
    member, on = np.repeat(member, repeats), np.repeat(on, repeats)
    at = monday + on * DAY + clock(rng, habits, member)
    # On the day of joining, looking around comes first.
    at = np.maximum(at, habits.joined[member] + 240 + (rng.random(len(at)) * 2400).astype(np.int64))
    order = np.lexsort((at, member))
    return member[order], at[order]


def _paid(rng: np.random.Generator, placed: Ints, store: Bools) -> tuple[Ints, Ints]:
    """When paid and when cancelled: unpaid after half an hour, or withdrawn before packing."""
    size = len(placed)
    waits = np.minimum(8.0 + np.exp(rng.normal(3.0, 0.9, size)), 1500.0).astype(np.int64)
    draws = rng.random(size)
    unpaid = (draws < 0.024) & ~store
    withdrawn = (draws > 0.988) & ~store
    regret = placed + waits + (300 + rng.random(size) * 2.5 * HOUR).astype(np.int64)
    cancelled = np.where(unpaid, placed + 1800, np.where(withdrawn, regret, NEVER))
    return np.where(unpaid, NEVER, placed + waits), cancelled


def _promised(placed: Ints, community: Ints) -> Ints:
    """The next day at the community's hour (16:00 to 18:00), a day later for late orders."""
    days = (placed + ZONE) // DAY + np.where(hours_of(placed) < LAST_ORDERS_HOUR, 1, 2)
    return days * DAY - ZONE + (16 + community % 3) * HOUR


def _delivered(rng: np.random.Generator, promised: Ints, late: Bools) -> Ints:
    early = rng.uniform(0.1, 3.5, len(promised))
    delay = 0.3 + np.minimum(rng.exponential(2.6, len(promised)), 18.0)
    return promised + (np.where(late, delay, -early) * HOUR).astype(np.int64)


def _refunds(
    rng: np.random.Generator, settled: Ints, spoiled: Bools, gone: Bools
) -> tuple[Ints, Bools, Ints]:
    """When refunded within the window, whether wholly, and why."""
    size = len(settled)
    draws = rng.random((3, size))
    other = draws[0] > 0.991
    wanted = ((spoiled & (draws[0] < 0.8)) | other) & ~gone
    waits = np.clip(np.exp(rng.normal(1.6, 1.1, size)) * HOUR, 600, REFUND_WINDOW - HOUR)
    reason = np.where(spoiled, SPOILED, np.where(draws[1] < 0.5, MISSING, DAMAGED))
    at = np.where(wanted, settled + waits.astype(np.int64), NEVER)
    return at, wanted & (draws[2] < 0.09), reason


def _complaints(
    rng: np.random.Generator, settled: Ints, late: Bools, spoiled: Bools, gone: Bools
) -> Ints:
    chance = np.where(spoiled, 0.4, np.where(late, 0.22, 0.004))
    happens = (rng.random(len(settled)) < chance) & ~gone
    waits = rng.exponential(3.0 * HOUR, len(settled)).astype(np.int64)
    return np.where(happens, settled + np.minimum(waits, 3 * DAY), NEVER)


def lived(orders: Orders, size: int) -> Lived:
    """What the week's orders mean to each of `size` members."""
    paid = orders.paid < NEVER
    trouble = 0.5 * orders.late + 0.8 * orders.spoiled + 0.4 * (orders.complained < NEVER)
    felt: Floats = np.bincount(orders.member, trouble, minlength=size).astype(np.float64)
    return Lived(
        np.bincount(orders.member[paid], minlength=size).astype(np.int64),
        felt,
    )


def status_at(orders: Orders, until: int) -> Ints:
    """The status of each order by what has happened before `until`."""
    steps = [
        orders.cancelled < until,
        (orders.refunded < until) & orders.whole,
        orders.refunded < until,
        orders.settled < until,
        orders.paid < until,
    ]
    return np.select(steps, [CANCELLED, REFUNDED, PARTLY_REFUNDED, SETTLED, PAID], PLACED)


def changed(orders: Orders, since: int, until: int) -> Bools:
    """Which orders placed before `since` changed in [since, until)."""
    steps = (
        orders.paid,
        orders.cancelled,
        orders.delivered,
        orders.settled,
        orders.complained,
        orders.refunded,
        np.where(orders.late, orders.promised, NEVER),
    )
    moved = np.zeros(len(orders.placed), dtype=np.bool_)
    for at in steps:
        moved |= (at >= since) & (at < until)
    return moved & (orders.placed < since)
