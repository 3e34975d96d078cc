"""The trigger that alerts need so that a stated share of them is right, from what has happened.

An alert rises when a score passes the trigger, and is right when no order comes within the horizon.
Counting only alerts whose horizon is over would look at the season before this one. So the chance
that a rise ends in silence is read off a period life table, as in `ml.thresholds`: orders by days
since the rise, of the last weeks of the calendar alone, over rises of every age; a rise enters when
it came or when those weeks began, and leaves with an order, at the horizon or today. From few rises
longer times are looked at, and from very few nothing is said.

What is asked is how many would have fallen silent had nothing been done: whoever was answered and
came back shows no longer what they would have done (selective labels). They are neither counted as
it was, nor left out, which would leave the low scores behind: an order after an answer counts as
so much less than one as members who are answered order more often, by the lot that held some of
them out (`ml.answered`).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.answered import NOTHING_DONE, Effect
from ml.arrays import DAY, F64, I64, Bools
from ml.lifetimes import by_week, spent_by_week, weeks_in

SPANS_DAYS: Final = (28, 56, 91)
"""How many days of the calendar are looked at: the fewest in which enough rises came."""

ENOUGH: Final = 100
FEWEST: Final = 30
"""Rises at a level: so many say enough, and fewer than the second say nothing."""

LEVELS: Final = tuple(round(0.01 * step, 2) for step in range(30, 96))
"""Triggers that are tried, ascending."""


@dataclass(frozen=True, eq=False)
class Rises:
    """Scores that were higher than every earlier one of the same member since their last order.

    One row each: the highest score before, the score, its instant, the instant of the member's
    next order, and that from which on the member was answered in that silence (both NEVER without
    one); instants in epoch seconds.
    """

    before: F64
    score: F64
    at: I64
    woken: I64
    answered: I64


@dataclass(frozen=True, slots=True)
class Found:
    """The lowest trigger whose alerts are right often enough, and what that rests on.

    `share` is how many of them are right by the life table, as if nobody were answered, `error`
    its standard error, `rises` how many passed that trigger in `days` of the calendar.
    """

    trigger: float
    share: float
    error: float
    rises: int
    days: int


def find(
    rises: Rises,
    *,
    now: int,
    horizon_days: int,
    precision: float,
    effect: Effect = NOTHING_DONE,
) -> Found | None:
    """The lowest level from which on alerts are right at least so often; None if none is known.

    `effect` is what answering does. A higher level whose alerts seem to be right less often is
    chance, so levels share their neighbours' evidence until shares ascend (isotonic regression,
    weighted by rises).
    """
    looked = _Looked(rises, now, horizon_days, effect)
    known = [found for level in LEVELS if (found := looked.at(level))]
    if not known:
        return None
    shares = _ascending(
        np.array([found.share for found in known]), np.array([float(f.rises) for f in known])
    )
    good = np.flatnonzero(shares >= precision - 1e-12)
    if not len(good):
        return None
    chosen = known[int(good[0])]
    share = float(shares[good[0]])
    return Found(chosen.trigger, share, chosen.error, chosen.rises, chosen.days)


@dataclass(frozen=True, eq=False)
class _Looked:
    """What one search looks at, for every level."""

    rises: Rises
    now: int
    horizon_days: int
    effect: Effect

    def at(self, level: float) -> Found | None:
        """What the life table says of one level."""
        rises = self.rises
        over = (rises.before < level) & (rises.score >= level) & (rises.at < self.now)
        found = None
        for days in SPANS_DAYS:
            fresh = int((rises.at[over] >= self.now - days * DAY).sum())
            if fresh < FEWEST:
                continue
            table = self._survival(over, days)
            if table is not None:
                found = Found(level, *table, fresh, days)
                if fresh >= ENOUGH:
                    return found
        return found

    def _survival(self, over: Bools, days: int) -> tuple[float, float] | None:
        """The chance that no order comes within the horizon of a rise, and its standard error.

        Days of one week of age share a daily chance. None where some age was not seen.
        """
        at, woken, answered = (
            column[over] for column in (self.rises.at, self.rises.woken, self.rises.answered)
        )
        horizon = self.horizon_days * DAY
        entered = np.maximum(at, self.now - days * DAY)
        left = np.minimum(np.minimum(woken, at + horizon), self.now)
        seen: Bools = left > entered
        ended = (woken == left) & (woken < at + horizon) & (woken < self.now) & seen
        begin, end = (entered - at)[seen], (left - at)[seen]
        spent = spent_by_week(begin, end, self.horizon_days)
        if (spent <= 0).any():
            return None
        helped = ended & (answered <= left)
        alone = by_week((left - at)[ended & ~helped], self.horizon_days)
        brought = by_week((left - at)[helped], self.horizon_days) / self.effect.times
        length, ends = weeks_in(self.horizon_days), alone + brought
        share = float(np.exp(-np.sum(length * ends / spent)))
        # The variance of a rate is its count by the squared time at risk; one end more than was
        # seen, since nobody leaving in a week does not prove that nobody will. What is not known
        # of the effect is added.
        chance = np.sum(length**2 * np.maximum(alone + brought / self.effect.times, 1) / spent**2)
        unsure = self.effect.error * np.sum(length * brought / spent)
        return share, share * float(np.sqrt(chance + unsure**2))


def _ascending(values: F64, weights: F64) -> F64:
    """The ascending values nearest to the given ones (pool adjacent violators).

    >>> _ascending(np.array([0.5, 0.7, 0.6]), np.ones(3)).round(2).tolist()
    [0.5, 0.65, 0.65]
    """
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        block = (value, weight, 1)
        while blocks and blocks[-1][0] >= block[0]:
            mean, heavy, size = blocks.pop()
            total = heavy + block[1]
            block = ((mean * heavy + block[0] * block[1]) / total, total, size + block[2])
        blocks.append(block)
    return np.repeat([block[0] for block in blocks], [block[2] for block in blocks])
