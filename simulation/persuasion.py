"""What measures do to members: some are persuaded to stay, and most would have done as they do.

Whoever drifts or is silent may take to the shop again at the end of a week in which something was
done for them. How likely that is, is a member's own secret: it goes with a liking for bargains and
with opening messages, so that it can be learned, but never read off. Members who are well are not
moved by anything, which is what makes most measures a waste.
"""

from collections import defaultdict
from dataclasses import replace
from datetime import datetime

import numpy as np

from simulation.lives import ACTIVE, DRIFTING, SILENT, State
from simulation.roster import Habits
from simulation.seasons import WEEK
from simulation.streams import Floats, Stream, generator

# Whoever is gone already is harder to move than whoever is going.
_SILENT_SHARE = 0.4
# A member who was won back orders at this share of the old rate for a while.
_WARMTH = 0.75


class Measures:
    """What is done for whom, by week: grows while a world is lived, and never for weeks past.

    `strength` is the chance to persuade a member who can be persuaded at all; several in one week
    work one after the other.
    """

    def __init__(self, origin: int) -> None:
        """Nothing yet; `origin` is the first instant of the world's first week (epoch seconds)."""
        self._origin = origin
        self._by_week: dict[int, dict[int, float]] = defaultdict(dict)

    def add(self, at: datetime, member: int, strength: float) -> None:
        """Something is done for a member (their key) at an instant."""
        week = (int(at.timestamp()) - self._origin) // WEEK
        missed = 1.0 - self._by_week[week].get(member, 0.0)
        self._by_week[week][member] = 1.0 - missed * (1.0 - strength)

    def of(self, week: int, habits: Habits) -> Floats | None:
        """The strength for each member of a part in a week; None where nothing was done."""
        given = self._by_week.get(week)
        if not given:
            return None
        first = int(habits.key[0])
        strength = np.zeros(len(habits))
        for member, value in given.items():
            if first <= member < first + len(habits):
                strength[member - first] = value
        return strength

    def __contains__(self, week: int) -> bool:
        """Whether something is done in a week."""
        return week in self._by_week


def persuadable(seed: int, habits: Habits, part: int) -> Floats:
    """How far each member can be persuaded, 0 to 1: a fifth of them well, most hardly."""
    own = generator(seed, Stream.PERSUASION, 0, 2 * part).normal(0.0, 0.6, len(habits))
    liking = 4.0 * (habits.thrift - 0.5) + 3.0 * (habits.opens - 0.35)
    return 1.0 / (1.0 + np.exp(-(liking + own - 0.7)))


def moved(
    seed: int, part: int, state: State, habits: Habits, done: tuple[Measures, Floats]
) -> State:
    """The state at the beginning of a week, after what was done in the week before it.

    `done` is that with how far each member can be persuaded.
    """
    measures, open_to = done
    strength = measures.of(state.week - 1, habits)
    if strength is None:
        return state
    # Members have the same draw whatever is done, so that two worlds differ by what was done only.
    rng = generator(seed, Stream.PERSUASION, state.week - 1, 2 * part + 1)
    draws = rng.random(len(habits))
    within = np.select([state.phase == DRIFTING, state.phase == SILENT], [1.0, _SILENT_SHARE], 0.0)
    stays = draws < strength * open_to * within
    was_silent = stays & (state.phase == SILENT)
    return replace(
        state,
        phase=np.where(stays, ACTIVE, state.phase),
        since=np.where(stays, state.week, state.since),
        warmth=np.where(was_silent, _WARMTH, state.warmth),
    )
