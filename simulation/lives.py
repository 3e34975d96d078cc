"""How members come, stay, drift, fall silent and return: the latent state, one step a week.

Looks fall off in the first half of a drift, orders only in its second half; what goes wrong with
deliveries makes people more likely to drift. One drift in five is sudden and gives no warning.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from simulation.roster import LOOKER, Habits
from simulation.streams import Bools, Floats, Ints, Stream, generator

NOT_JOINED, NEW, ACTIVE, DRIFTING, SILENT = range(5)
PHASES = ("NOT_JOINED", "NEW", "ACTIVE", "DRIFTING", "SILENT")
UNKNOWN = -1


@dataclass(frozen=True)
class State:
    """Latent state of a part's members at the first instant of a week; arrays by member.

    `since`, `drift_week` and `silent_week` count weeks from the world's first; the last two belong
    to the present or last episode and are UNKNOWN before the first.
    """

    week: int
    phase: Ints
    since: Ints
    length: Ints  # of the drift, weeks
    drift_week: Ints
    silent_week: Ints
    tries: Ints  # orders a newcomer still means to try
    orders: Ints  # so far
    warmth: Floats  # share of the habitual rate that is left after a return
    mood: Floats
    slow_mood: Floats  # orders follow looks with a delay
    upset: Floats
    away_until: Ints
    streak: Bools
    grouped: Bools
    leaving: Bools  # leaves the group chat in this week


class Pace(NamedTuple):
    """What a week is like for each member: orders and looks a week, and engagement in 0–1."""

    orders: Floats
    visits: Floats
    engagement: Floats


class Lived(NamedTuple):
    """What the week brought each member: paid orders, and trouble with them."""

    orders: Ints
    trouble: Floats


def born(habits: Habits) -> State:
    """Everybody before joining, in the week before the first."""
    size = len(habits)
    zeros, none = np.zeros(size), np.full(size, UNKNOWN, dtype=np.int64)
    no = np.zeros(size, dtype=np.bool_)
    count = np.zeros(size, dtype=np.int64)
    return State(
        week=0,
        phase=count,
        since=count,
        length=count,
        drift_week=none,
        silent_week=none,
        tries=count,
        orders=count,
        warmth=np.ones(size),
        mood=zeros,
        slow_mood=zeros,
        upset=zeros,
        away_until=none,
        streak=no,
        grouped=no,
        leaving=no,
    )


def arrive(seed: int, part: int, state: State, habits: Habits, ends: int) -> State:
    """Those who join before `ends` (epoch seconds) become newcomers."""
    fresh = (state.phase == NOT_JOINED) & (habits.joined < ends)
    if not fresh.any():
        return state
    draws = generator(seed, Stream.LIVES, state.week, 2 * part).random((2, len(habits)))
    tries = np.where(habits.kind == LOOKER, 0, 1 + (draws[0] < 0.45) + (draws[0] < 0.15))
    return replace(
        state,
        phase=np.where(fresh, NEW, state.phase),
        since=np.where(fresh, state.week, state.since),
        tries=np.where(fresh, tries, state.tries),
        grouped=state.grouped | fresh,
        streak=state.streak | (fresh & habits.streaks & (draws[1] < 0.4)),
    )


def pace(state: State, habits: Habits) -> Pace:
    """Orders and looks to expect in the state's week."""
    age = state.week - state.since
    gone = np.clip((age + 1) / np.maximum(state.length, 1), 0.0, 1.0)
    phases = [state.phase == NEW, state.phase == ACTIVE, state.phase == DRIFTING]
    # A newcomer's orders are placed by day in orders.py; the rate here is what `tries` allows.
    orders = np.select(
        phases,
        [
            np.where(state.tries > 0, 1.0, 0.0),
            habits.rate * state.warmth * np.exp(state.slow_mood),
            habits.rate * state.warmth * (1.0 - 0.92 * np.clip((gone - 0.45) / 0.55, 0.0, 1.0)),
        ],
        0.0,
    )
    engagement = np.select(
        phases,
        [
            np.maximum(1.0 - 0.2 * age, 0.2),
            np.ones(len(habits)),
            1.0 - 0.88 * np.clip(gone / 0.5, 0.0, 1.0),
        ],
        np.where(state.phase == SILENT, 0.04 * np.exp(-age / 20.0) + 0.008, 0.0),
    )
    visits = (habits.visits + np.where(state.phase == NEW, 2.0, 0.0)) * engagement
    visits *= np.exp(state.mood) * np.where(state.phase == ACTIVE, state.warmth, 1.0)
    away = state.week < state.away_until
    return Pace(
        orders * np.where(away, 0.05, 1.0),
        visits * np.where(away, 0.35, 1.0),
        np.minimum(engagement, 1.0),
    )


def step(seed: int, part: int, state: State, habits: Habits, lived: Lived) -> State:
    """The state one week later, given what the week brought."""
    rng = generator(seed, Stream.LIVES, state.week, 2 * part + 1)
    draws = rng.random((5, len(habits)))
    upset = state.upset * 0.75 + lived.trouble
    orders = state.orders + lived.orders
    moved = _moved(state, habits, upset, draws, lived)
    mood = 0.88 * state.mood + rng.normal(0.0, 0.13, len(habits))
    leave = np.where(moved.phase == SILENT, 0.22, 0.015) * (moved.phase != state.phase)
    leave = leave * state.grouped + np.where(state.phase == DRIFTING, 0.01, 0.0) * state.grouped
    leaving = (draws[4] < leave) & ~habits.leads
    back = (state.phase == SILENT) & (moved.phase == ACTIVE)
    return replace(
        moved,
        week=state.week + 1,
        tries=np.maximum(state.tries - lived.orders, 0),
        orders=orders,
        mood=mood,
        slow_mood=0.7 * state.slow_mood + 0.3 * mood,
        upset=upset,
        away_until=_away(state, draws[3]),
        streak=_streak(state, moved, habits, draws[2]),
        grouped=(state.grouped & ~state.leaving) | back,
        leaving=leaving,
    )


def _moved(state: State, habits: Habits, upset: Floats, draws: Floats, lived: Lived) -> State:
    """Changes of phase at the end of the week."""
    age = state.week - state.since + 1
    new, active = state.phase == NEW, state.phase == ACTIVE
    drifting, silent = state.phase == DRIFTING, state.phase == SILENT
    settled = new & ((state.tries <= lived.orders) & (draws[0] < 0.6) | (age >= 5))
    tried = (state.orders + lived.orders) > 0
    stays = settled & tried & (draws[1] < habits.stay - 0.3 * np.minimum(upset, 1.0))
    hazard = habits.drift * np.minimum(np.exp(0.9 * upset), 5.0)
    hazard *= np.where((state.warmth < 1.0) & (age < 8), 2.0, 1.0)
    drifts = active & (draws[0] < hazard)
    recovers = drifting & (draws[0] < 0.05) & (age < 0.6 * state.length)
    falls = (drifting & ~recovers & (age >= state.length)) | (settled & ~stays)
    slow = np.where(tried, habits.returns, 0.25 * habits.returns) * np.exp(-age / 40.0)
    returns = silent & (draws[0] < slow)
    following = state.week + 1
    moves = [stays | recovers | returns, drifts, falls]
    moving = moves[0] | drifts | falls
    sudden = draws[2] < 0.2
    weeks = np.where(sudden, 1 + (draws[1] < 0.5), 5 + np.floor(draws[1] * 9)).astype(np.int64)
    return replace(
        state,
        phase=np.select(moves, [ACTIVE, DRIFTING, SILENT], state.phase),
        since=np.where(moving, following, state.since),
        length=np.where(drifts, weeks, state.length),
        drift_week=np.where(drifts, following, state.drift_week),
        silent_week=np.where(falls, following, state.silent_week),
        warmth=np.where(returns, 0.75, state.warmth),
    )


def _away(state: State, draws: Floats) -> Ints:
    """Now and then somebody travels for a week or two, which is not drifting."""
    leaves = draws < 0.014
    weeks = 2 + (draws < 0.005)
    return np.where(leaves, state.week + weeks, state.away_until).astype(np.int64)


def _streak(state: State, moved: State, habits: Habits, draws: Floats) -> Bools:
    """Check-in streaks begin and break by the week; drifting breaks them early."""
    well = (moved.phase == ACTIVE) | (moved.phase == NEW)
    keeps = state.streak & (draws < np.where(well, 0.9, 0.55)) & (moved.phase != SILENT)
    begins = ~state.streak & well & habits.streaks & (draws < 0.18)
    return keeps | begins


def at_week(state: State, week: int) -> State:
    """The same state in another week; for parts that nobody has joined yet."""
    return replace(state, week=week)
