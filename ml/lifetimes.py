"""Time under observation by weeks of age, for rates that weeks share."""

import numpy as np

from ml.arrays import DAY, F64, I64

_WEEK = 7 * DAY


def weeks_in(days: int) -> F64:
    """The lengths, in days, of the weeks that so many days have; the last may be shorter.

    >>> weeks_in(17).tolist()
    [7.0, 7.0, 3.0]
    """
    return np.diff(_edges(days)) / DAY


def spent_by_week(begin: I64, end: I64, days: int) -> F64:
    """Days spent in each week of age, over lives seen from one age to another (seconds).

    >>> spent_by_week(np.array([0, 8 * DAY]), np.array([9 * DAY, 10 * DAY]), 14).tolist()
    [7.0, 4.0]
    """
    edges = _edges(days)
    upto = np.clip(end[:, None], edges[:-1], edges[1:])
    spent: F64 = (upto - np.clip(begin[:, None], edges[:-1], edges[1:])).sum(axis=0) / DAY
    return spent


def by_week(ages: I64, days: int) -> I64:
    """How many of some ages (seconds) lie in each week; those past the end count in the last."""
    weeks = len(_edges(days)) - 1
    return np.bincount(np.minimum(ages // _WEEK, weeks - 1), minlength=weeks)


def _edges(days: int) -> I64:
    return np.minimum(np.arange(-(-days // 7) + 1, dtype=np.int64) * _WEEK, days * DAY)
