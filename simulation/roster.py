"""Who lives in the world: when each member joins, where, and with what habits."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulation import names
from simulation.goods import APPETITE, CATEGORIES, shelf
from simulation.places import Places
from simulation.seasons import DAY, HOUR, ZONE
from simulation.streams import Bools, Floats, Ints, Stream, generator, pick
from simulation.tables import Column, Table, instants, named, numbers

LOOKER, TRYER, OCCASIONAL, REGULAR, DEVOTED = range(5)
PART = 4096  # members simulated together; changing it changes every world
Shares = NDArray[np.float32]
KINDS = ("LOOKER", "TRYER", "OCCASIONAL", "REGULAR", "DEVOTED")
_SHARES = np.array([0.14, 0.34, 0.24, 0.2, 0.08])
_RATE = np.array([0.12, 0.35, 0.4, 1.0, 2.3])  # orders a week once settled in
_VISITS = np.array([0.5, 0.8, 1.3, 2.6, 4.6])  # looks a week beside those for orders
_STAY = np.array([0.1, 0.1, 0.72, 0.88, 0.96])  # chance to stay after the first tries
_BASKET = np.array([0.8, 0.9, 1.2, 1.5, 2.9])  # goods in an order beyond the first
_DRIFT = np.array([0.09, 0.08, 0.022, 0.015, 0.008])  # weekly chance to begin drifting
_WEEKEND = np.array([0.92, 0.88, 0.92, 0.96, 1.12, 1.25, 1.05])
FAVOURITES = 4
_MEMBERS_PER_LEADER = 350


@dataclass(frozen=True)
class Roster:
    """Who joins when and where (epoch seconds); a member's key is the place in this order."""

    joined: Ints
    community: Ints
    leader: Ints
    leads: Bools
    kind: Ints

    def __len__(self) -> int:
        """The number of members."""
        return len(self.joined)

    @property
    def parts(self) -> int:
        """In how many parts the members are simulated."""
        return -(-len(self) // PART)

    def members_of(self, part: int) -> slice:
        """The members of one part."""
        return slice(part * PART, min((part + 1) * PART, len(self)))


@dataclass(frozen=True)
class Habits:
    """What does not change about the members of one part, one row a member."""

    key: Ints
    joined: Ints
    community: Ints
    leader: Ints
    leads: Bools
    kind: Ints
    rate: Floats
    visits: Floats
    stay: Floats
    drift: Floats
    returns: Floats
    basket: Floats
    thrift: Floats
    weekday: Shares
    peaks: Shares
    shift: Floats
    tastes: Shares
    favourites: Ints
    app: Bools
    store: Floats
    lag: Ints
    posts: Floats
    streaks: Bools
    opens: Floats

    def __len__(self) -> int:
        """The number of members."""
        return len(self.key)


def make(seed: int, members: int, start: int, end: int, places: Places) -> Roster:
    """All members who will have joined by `end`, earliest first (epoch seconds)."""
    rng = generator(seed, Stream.ROSTER)
    joined = _joining(rng, members, start, end)
    open_now = np.searchsorted(places.opened, joined, side="right")
    edges = np.cumsum(places.size)
    community = np.searchsorted(edges, rng.random(members) * edges[open_now - 1], side="right")
    community = np.minimum(community, open_now - 1)
    leader, leads = _leaders(community)
    kind = np.where(leads, DEVOTED, pick(rng, _SHARES, members))
    return Roster(joined, community, leader, leads, kind)


def _joining(rng: np.random.Generator, members: int, start: int, end: int) -> Ints:
    """Three in ten join in the first three weeks, the rest in waves; by day, not by night."""
    span = end - start
    place = (np.arange(members) + rng.random(members)) / members
    # Some fortnights bring more people than others; three in ten come in the first three weeks.
    waves = np.cumsum(rng.gamma(3.0, 1.0, 26))
    shares = np.concatenate(([0.0, 0.3], 0.3 + 0.7 * waves / waves[-1]))
    times = np.concatenate(([0.0], np.linspace(min(21 * DAY, span / 2), span, 27)))
    moved = np.interp(place, shares, times)
    day = (start + moved.astype(np.int64) + ZONE) // DAY
    hour = np.where(rng.random(members) < 0.6, 20.3, 13.0) + rng.normal(0.0, 2.0, members)
    inside = np.clip(hour, 7.0, 23.9) * HOUR
    at = day * DAY - ZONE + inside.astype(np.int64)
    # Who would fall outside of the span on its first or last day keeps the drawn instant.
    at = np.where((at < start) | (at >= end), start + moved.astype(np.int64), at)
    return np.sort(at)


def _leaders(community: Ints) -> tuple[Ints, Bools]:
    """The leader's key for each member: every 350th to join a community leads the next 350."""
    order = np.argsort(community, kind="stable")
    sizes = np.bincount(community)
    begins = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    rank = np.arange(len(community)) - np.repeat(begins, sizes)
    head = np.repeat(begins, sizes) + rank // _MEMBERS_PER_LEADER * _MEMBERS_PER_LEADER
    leader = np.empty(len(community), dtype=np.int64)
    leader[order] = order[head]
    return leader, leader == np.arange(len(community))


def habits(seed: int, roster: Roster, part: int) -> Habits:
    """The habits of one part of the members."""
    rng = generator(seed, Stream.HABITS, 0, part)
    chosen = roster.members_of(part)
    kind, leads = roster.kind[chosen], roster.leads[chosen]
    size = len(kind)
    own = np.exp(rng.normal(-0.1, 0.45, size))
    tastes = rng.standard_gamma(np.tile(APPETITE * 6, (size, 1))) + 1e-6
    tastes[:, CATEGORIES.index("母婴")] *= np.where(rng.random(size) < 0.18, 8.0, 0.3)
    edges = np.cumsum(tastes / tastes.sum(axis=1, keepdims=True), axis=1).astype(np.float32)
    week = rng.standard_gamma(1.3, (size, 7)) * _WEEKEND
    app = rng.random(size) < 0.18
    lag = np.where(app, rng.exponential(30, size), rng.exponential(2, size))
    sociable = np.exp(rng.normal(-2.6, 1.1, size)) * np.where(kind >= REGULAR, 2.0, 0.7)
    return Habits(
        key=np.arange(chosen.start, chosen.stop),
        joined=roster.joined[chosen],
        community=roster.community[chosen],
        leader=roster.leader[chosen],
        leads=leads,
        kind=kind,
        rate=_RATE[kind] * own * np.where(leads, 1.3, 1.0),
        visits=_VISITS[kind] * np.exp(rng.normal(-0.08, 0.4, size)) * np.where(leads, 2.0, 1.0),
        stay=_STAY[kind],
        drift=np.where(leads, 0.0005, _DRIFT[kind] * np.exp(rng.normal(-0.1, 0.5, size))),
        returns=rng.gamma(2.0, 0.009, size),
        basket=_BASKET[kind] * np.exp(rng.normal(0.0, 0.3, size)),
        thrift=rng.beta(2.0, 2.5, size),
        weekday=(week / week.mean(axis=1, keepdims=True)).astype(np.float32),
        peaks=_peaks(rng, size),
        shift=rng.normal(0.0, 0.4, size),
        tastes=edges,
        favourites=_favourites(rng, seed, edges),
        app=app,
        store=np.where(rng.random(size) < 0.06, 0.6, 0.02),
        lag=lag.astype(np.int64),
        posts=np.where(leads, rng.uniform(3.0, 7.0, size), np.minimum(sociable, 2.0)),
        streaks=rng.random(size) < np.where(kind >= REGULAR, 0.45, 0.15),
        opens=rng.beta(1.6, 3.0, size),
    )


def _peaks(rng: np.random.Generator, size: int) -> Shares:
    """Running shares of the morning commute, noon, the evening and any hour of the day."""
    shares = np.tile(np.array([0.12, 0.12, 0.36, 0.14]), (size, 1))
    liked = pick(rng, np.array([0.18, 0.16, 0.54, 0.12]), size)
    shares[np.arange(size), liked] += 0.5
    return np.cumsum(shares / shares.sum(axis=1, keepdims=True), axis=1).astype(np.float32)


def _favourites(rng: np.random.Generator, seed: int, tastes: Shares) -> Ints:
    """Goods that a member takes again and again; out of season they are passed over."""
    draws = rng.random((len(tastes), FAVOURITES))
    categories = category_by_taste(
        np.repeat(tastes, FAVOURITES, axis=0), rng.random(len(tastes) * FAVOURITES)
    )
    return shelf(seed, 0, 5).draw(categories, draws.reshape(-1)).reshape(-1, FAVOURITES)


def category_by_taste(edges: Shares, draws: Floats) -> Ints:
    """One category for each row of running shares and draw."""
    return np.minimum((draws[:, None] >= edges).sum(axis=1), edges.shape[1] - 1)


def people(seed: int, roster: Roster, part: int) -> Table:
    """The `members` table of one part, earliest first."""
    chosen = roster.members_of(part)
    size = chosen.stop - chosen.start
    rng = generator(seed, Stream.NAMES, 1, part)
    english = rng.random(size) < 0.02
    told = rng.random(size) < 0.62
    lunar = rng.random(size) < 0.3
    month = rng.integers(1, 13, size)
    longest = np.array([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])[month - 1]
    day = 1 + (rng.random(size) * np.where(lunar, 30, longest)).astype(np.int64)
    digits = max(6, len(str(len(roster) - 1)))
    keys = range(chosen.start, chosen.stop)
    columns: dict[str, Column] = {
        "key": np.arange(chosen.start, chosen.stop),
        "nickname": names.nicknames(seed, part, english),
        "community": roster.community[chosen],
        "registered_at": instants(roster.joined[chosen]),
        "locale": named(("zh-CN", "en"), english.astype(np.int64)),
        "birthday_calendar": named((None, "SOLAR", "LUNAR"), told * (1 + lunar)),
        "birthday_month": numbers(month, told),
        "birthday_day": numbers(day, told),
        "openid": np.array([f"sim-{seed}-{key}" for key in keys], dtype=object),
        # Area code 10 followed by zeros is nobody's number, so nobody can be called by mistake.
        "phone": np.array([f"+8610000{key:0{digits}d}" for key in keys], dtype=object),
    }
    return Table(columns)
