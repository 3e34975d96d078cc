"""How long members waited for their next order, as far as it is known."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.arrays import DAY, F64, I32, Bools
from ml.facts import Facts

SOONEST: Final = 0.5
"""Days of the shortest wait that is told: orders of the same day come half a day apart."""


@dataclass(frozen=True, eq=False)
class Waited:
    """Days that members waited from a cutoff, and whether their next order ended the wait."""

    days: F64
    came: Bools


def waited(facts: Facts, cutoff: int, as_of: int, members: I32) -> Waited:
    """How long each of `members` waited from `cutoff` for the next order known at `as_of`."""
    later = (facts.order_at >= cutoff) & facts.seen(as_of)
    soonest = np.full(len(facts.member_ids), as_of, dtype=np.int64)
    np.minimum.at(soonest, facts.order_member[later], facts.order_at[later])
    came = np.zeros(len(facts.member_ids), dtype=np.bool_)
    came[facts.order_member[later]] = True
    days = (soonest[members] - cutoff) / DAY
    return Waited(np.maximum(days, SOONEST), came[members])
