"""Keeping probabilities honest while the base rate drifts.

Most of the calibration error on order files is a moving base rate: everybody orders more, or less,
than the months that were learned from would have it. A *surprise* is how far the log-odds of
BG/NBD must be moved so that their mean meets the share that did fall silent: it is the base rate
with the changing mix of members taken out. The *movement* at an instant is the surprise of the
windows that closed last (15 and 30 days and the horizon: short ones are fresher) less the mean
surprise of the windows that were learned from. Half of it, since a base rate that went far comes
back, is added to the log-odds; "season" also takes half of what came a year ago beyond that.

A correction is used only if it would have helped: it is replayed at up to 24 past instants whose
windows have closed since, and must have left clearly smaller errors there than none.
"""

from typing import Final, Literal

import numpy as np

from ml.arrays import DAY, F64, moved, sigmoid
from ml.samples import Past

Correction = Literal["none", "level", "season"]

CORRECTIONS: Final[tuple[Correction, ...]] = ("none", "level", "season")
STRENGTH: Final = 0.5
_PULSES: Final = (15, 30)
_REPLAYS: Final = 24
_FEWEST_REPLAYS: Final = 6
_HELPS: Final = 0.9
_REACH: Final = 2.0
_YEAR: Final = 365


def shift(past: Past, at: int, kind: Correction) -> float:
    """What `kind` adds to the log-odds of a model that was trained as of `at`.

    Reads windows that closed by `at` only. 0 where the history is too short for the kind.
    """
    found = _forecast(past, at, kind)
    return float(np.clip(found, -_REACH, _REACH)) if np.isfinite(found) else 0.0


def choose(past: Past, as_of: int) -> Correction:
    """The correction that came nearest to the truth in the replays; "none" unless one helped."""
    plan = past.plan
    latest = as_of - plan.horizon_days * DAY
    instants = [latest - k * plan.step_days * DAY for k in range(_REPLAYS)]
    truth = np.array([_came(past, at) for at in instants])
    best: Correction = "none"
    least = _HELPS
    for kind in CORRECTIONS[1:]:
        said = np.array([_forecast(past, at, kind) for at in instants])
        known = np.isfinite(truth) & np.isfinite(said)
        if known.sum() < _FEWEST_REPLAYS:
            continue
        without = float((truth[known] ** 2).sum())
        error = float(((truth - said)[known] ** 2).sum())
        if error < least * without:
            best, least = kind, error / without
    return best


def movement(past: Past, at: int) -> float:
    """How far the last closed windows lie from those learned from, in log-odds; NaN if unknown."""
    days = sorted({*_PULSES, past.plan.horizon_days})
    usable = [h for h in days if h <= past.plan.horizon_days]
    return float(np.mean([_off(past, at, at - h * DAY, h) for h in usable]))


def _came(past: Past, at: int) -> float:
    """What `movement` should have foreseen at an instant whose window has closed since."""
    return _off(past, at, at, past.plan.horizon_days)


def _forecast(past: Past, at: int, kind: Correction) -> float:
    if kind == "none":
        return 0.0
    level = STRENGTH * movement(past, at)
    if kind == "level":
        return level
    ago = at - _YEAR * DAY
    return level + STRENGTH * (_came(past, ago) - STRENGTH * movement(past, ago))


def _off(past: Past, at: int, cutoff: int, days: int) -> float:
    """The surprise of one window less the mean of those that a model as of `at` learned from."""
    learned = [past.surprise(one, days) for one in past.grid(at)]
    known = [value for value in learned if np.isfinite(value)]
    return past.surprise(cutoff, days) - float(np.mean(known)) if known else float("nan")


def spread(even: F64, weighted: F64) -> float:
    """What keeps the mean probability where the even mean has it, once weights have spread it."""
    rate = float(sigmoid(even).mean()) if len(even) else 0.0
    return moved(weighted, rate) if 0 < rate < 1 else 0.0
