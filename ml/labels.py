"""Who is at stake at a cutoff, and who fell silent after it."""

import numpy as np

from ml.arrays import DAY, F64, I32
from ml.facts import Facts


def population(facts: Facts, as_of: int, active_days: int = 180) -> I32:
    """Codes, ascending, of members with an order in the `active_days` days before `as_of`."""
    recent = facts.seen(as_of) & (facts.order_at >= as_of - active_days * DAY)
    present = np.zeros(len(facts.member_ids), dtype=np.bool_)
    present[facts.order_member[recent]] = True
    return np.flatnonzero(present).astype(np.int32)


def churned(facts: Facts, as_of: int, horizon_days: int, members: I32) -> F64:
    """1.0 for each of `members` without an order in [as_of, as_of + horizon), else 0.0.

    An order that was cancelled before the window closed is none.

    The only function that looks at or past a cutoff. It promises sense only when the facts
    reach to the end of the window: an open window makes everybody look silent.
    """
    window = (facts.order_at >= as_of) & facts.seen(as_of + horizon_days * DAY)
    ordered = np.zeros(len(facts.member_ids), dtype=np.bool_)
    ordered[facts.order_member[window]] = True
    return (~ordered[members]).astype(np.float64)
