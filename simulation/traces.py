"""What members leave behind beside orders: sessions, looks, carts, check-ins, group chat, messages.

A trace of a week never lies before the week's first instant, so that the past stays as it was.
"""

from typing import NamedTuple

import numpy as np

from simulation.baskets import Baskets, draw_goods
from simulation.goods import CATEGORY_OF, Shelf
from simulation.lives import SILENT, Pace, State
from simulation.orders import APP, MINI_PROGRAM, STORE, Orders, clock
from simulation.roster import Habits, category_by_taste
from simulation.seasons import DAY, HOUR, ZONE, Days
from simulation.streams import Floats, Ints

SESSION, BROWSE, SEARCH, CART, SHARE, CHECK_IN, POST, LEAVE, OPEN, CLICK = range(10)
KINDS = (
    "session",
    "browse",
    "search",
    "cart",
    "share",
    "check-in",
    "group-post",
    "group-leave",
    "message-open",
    "message-click",
)
NOTHING = -1
_RELEASE_DAYS = 35
# The shop writes to everybody on Tuesday at 10:30 and on Friday at 17:00.
_MESSAGES = (1 * DAY + 10 * HOUR + 1800, 4 * DAY + 17 * HOUR)


class Traces(NamedTuple):
    """Events of one week in one part; NOTHING where a column does not apply."""

    member: Ints
    at: Ints
    kind: Ints
    seconds: Ints
    sku: Ints
    category: Ints
    channel: Ints
    version: Ints


class Scene(NamedTuple):
    """All that a week's traces come from."""

    rng: np.random.Generator
    habits: Habits
    state: State
    pace: Pace
    monday: int
    days: Days
    orders: Orders
    baskets: Baskets
    shelf: Shelf


def week_of(scene: Scene) -> Traces:
    """All traces of a week, in no particular order of time."""
    visits, visit_at = _visits(scene)
    found = [*_looks(scene, visits, visit_at), *_buying(scene), *_longing(scene)]
    found += [*_group(scene), *_letters(scene)]
    found.append(_check_ins(scene))
    merged = Traces(*(np.concatenate(column) for column in zip(*found, strict=True)))
    own = (merged.at >= scene.monday) & (merged.at >= scene.habits.joined[merged.member])
    return _equipped(scene, Traces(*(column[own] for column in merged)))


def _trace(member: Ints, at: Ints, kind: int, **known: Ints) -> Traces:
    none = np.full(len(member), NOTHING, dtype=np.int64)
    sku = known.get("sku", none)
    category = np.where(sku == NOTHING, known.get("category", none), CATEGORY_OF[sku])
    kinds = np.full(len(member), kind, dtype=np.int64)
    return Traces(member, at, kinds, known.get("seconds", none), sku, category, none, none)


def _visits(scene: Scene) -> tuple[Ints, Ints]:
    """Members and instants of looks around that are not for an order; joining is one."""
    habits, day = scene.habits, np.arange(7)
    joined_day = (habits.joined - scene.monday) // DAY
    # Days differ less for looking than for buying, and the smoothed weekday is cheaper to draw.
    rate = scene.pace.visits[:, None] * (0.5 + 0.5 * habits.weekday) / 7.0
    rate = rate * np.sqrt(scene.days.demand[:7]) * (day >= joined_day[:, None])
    member, on = np.nonzero(scene.rng.random(rate.shape) < 1.0 - np.exp(-rate))
    at = scene.monday + on * DAY + clock(scene.rng, habits, member, 1.5)
    fresh = np.flatnonzero((joined_day >= 0) & (joined_day < 7))
    return np.concatenate((member, fresh)), np.concatenate((at, habits.joined[fresh] + 20))


def _seconds(scene: Scene, member: Ints, median: float) -> Ints:
    spread = np.exp(scene.rng.normal(0.0, 0.7, len(member)))
    length = median * spread * (0.35 + 0.65 * scene.pace.engagement[member])
    return np.clip(length, 8, 3600).astype(np.int64)


def _looks(scene: Scene, member: Ints, at: Ints) -> list[Traces]:
    """Sessions without an order: some goods looked at, now and then a search or a left cart."""
    rng = scene.rng
    looks = rng.poisson(0.4 + 1.2 * scene.pace.engagement[member])
    seconds = _seconds(scene, member, 110.0) + 14 * looks
    viewer, within = np.repeat(member, looks), np.repeat(seconds, looks)
    seen = np.repeat(at, looks) + (rng.random(len(viewer)) * within).astype(np.int64)
    sku = draw_goods(rng, scene.habits, viewer, scene.shelf)
    left = rng.random(len(viewer)) < 0.06
    passed_on = rng.random(len(viewer)) < 0.006 * (1 + scene.habits.posts[viewer])
    asks = rng.random(len(member)) < 0.14
    tastes = category_by_taste(scene.habits.tastes[member[asks]], rng.random(int(asks.sum())))
    return [
        _trace(member, at, SESSION, seconds=seconds),
        _trace(viewer, seen, BROWSE, sku=sku),
        _trace(viewer[left], seen[left] + 12, CART, sku=sku[left]),
        _trace(viewer[passed_on], seen[passed_on] + 5, SHARE, sku=sku[passed_on]),
        _trace(member[asks], at[asks] + 6, SEARCH, category=tastes),
    ]


def _buying(scene: Scene) -> list[Traces]:
    """The session of each order, in which its goods are looked at and put into the cart."""
    rng, orders, baskets = scene.rng, scene.orders, scene.baskets
    online = orders.channel != STORE
    member, placed = orders.member[online], orders.placed[online]
    ahead = 40 + (rng.random(len(orders.member)) * 200).astype(np.int64)
    begins = orders.placed - ahead
    lines = np.flatnonzero(online[baskets.order])
    sku, buyer = baskets.sku[lines], orders.member[baskets.order[lines]]
    lead = ahead[baskets.order[lines]]
    ordered = orders.placed[baskets.order[lines]]
    draws = rng.random((3, len(lines)))
    looked, carted = draws[0] < 0.6, draws[1] < 0.55
    seen = ordered - (lead * (0.5 + 0.5 * draws[2])).astype(np.int64)
    put = ordered - (lead * 0.45 * draws[2]).astype(np.int64)
    tells = rng.random(len(member)) < 0.015 * (1 + scene.habits.posts[member])
    seconds = ahead[online] + _seconds(scene, member, 90.0)
    return [
        _trace(member, begins[online], SESSION, seconds=seconds),
        _trace(buyer[looked], seen[looked], BROWSE, sku=sku[looked]),
        _trace(buyer[carted], put[carted], CART, sku=sku[carted]),
        _trace(member[tells], placed[tells] + 90, SHARE),
    ]


def _longing(scene: Scene) -> list[Traces]:
    """A look at some of an order's goods in the two days before it, within the week."""
    rng, orders, baskets = scene.rng, scene.orders, scene.baskets
    draws = rng.random((3, len(orders.member)))
    begins = orders.placed - ((3.0 + 40.0 * draws[0]) * HOUR).astype(np.int64)
    awake = (begins + ZONE) % DAY >= 6 * HOUR
    looks = awake & (draws[1] < 0.35 * scene.pace.engagement[orders.member])
    lines = np.flatnonzero(looks[baskets.order])
    lines = lines[rng.random(len(lines)) < 0.6]
    of = baskets.order[lines]
    seen = begins[of] + 4 + (50 * rng.random(len(lines))).astype(np.int64)
    member = orders.member[looks]
    seconds = 60 + _seconds(scene, member, 60.0)
    return [
        _trace(member, begins[looks], SESSION, seconds=seconds),
        _trace(orders.member[of], seen, BROWSE, sku=baskets.sku[lines]),
    ]


def _group(scene: Scene) -> list[Traces]:
    """Posts in the community's chat, and those who leave it."""
    rng, habits, state = scene.rng, scene.habits, scene.state
    engaged = scene.pace.engagement * np.where(state.phase == SILENT, 0.3, 1.0)
    posts = rng.poisson(np.where(state.grouped, habits.posts * engaged, 0.0))
    member = np.repeat(np.arange(len(habits)), posts)
    on = rng.integers(0, 7, len(member))
    at = scene.monday + on * DAY + clock(rng, habits, member, 1.3)
    leaver = np.flatnonzero(state.leaving & state.grouped)
    left = scene.monday + rng.integers(0, 7, len(leaver)) * DAY + clock(rng, habits, leaver)
    return [_trace(member, at, POST), _trace(leaver, left, LEAVE)]


def _letters(scene: Scene) -> list[Traces]:
    """Who opens the week's two messages, and clicks on what they offer."""
    rng, size = scene.rng, len(scene.habits)
    found: list[Traces] = []
    for sent in _MESSAGES:
        draws = rng.random((2, size))
        member = np.flatnonzero(draws[0] < scene.habits.opens * scene.pace.engagement * 0.7)
        waits: Floats = np.minimum(rng.exponential(1.8 * HOUR, len(member)), 5.5 * HOUR)
        at = scene.monday + sent + 30 + waits.astype(np.int64)
        clicks = draws[1][member] < 0.28
        sku = scene.shelf.specials[rng.integers(0, len(scene.shelf.specials), len(member))]
        found.append(_trace(member, at, OPEN))
        found.append(_trace(member[clicks], at[clicks] + 9, CLICK, sku=sku[clicks]))
    return found


def _check_ins(scene: Scene) -> Traces:
    """At most one a day: nearly every day in a streak, hardly ever outside of one."""
    chance = np.where(scene.state.streak, 0.94, 0.02 * scene.pace.engagement)
    member, on = np.nonzero(scene.rng.random((len(chance), 7)) < chance[:, None])
    at = scene.monday + on * DAY + clock(scene.rng, scene.habits, member, 0.8)
    return _trace(member, at, CHECK_IN)


def _equipped(scene: Scene, traces: Traces) -> Traces:
    """Add the channel and the release of the app; the group chat belongs to neither."""
    outside = (traces.kind == POST) | (traces.kind == LEAVE)
    channel = np.where(scene.habits.app[traces.member], APP, MINI_PROGRAM)
    day = (traces.at - scene.monday) // DAY + (scene.monday + ZONE) // DAY
    release = (day - scene.habits.lag[traces.member]) // _RELEASE_DAYS
    return traces._replace(
        channel=np.where(outside, NOTHING, channel), version=np.where(outside, NOTHING, release)
    )


def version_name(release: int) -> str:
    """The text of a release, counted from the epoch.

    >>> version_name(587)
    '5.87.0'
    """
    return f"{release // 100}.{release % 100}.0"
