"""What models of buying alone expect of a member: the columns they give, and their parameters."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ml import bgnbd, cnbd
from ml.arrays import F64
from ml.bgnbd import BgNbd
from ml.cnbd import Cnbd
from ml.history import Days

COLUMNS: Final = ("bgnbd_silent", "bgnbd_alive", "cnbd_silent", "cnbd_alive")


@dataclass(frozen=True)
class Expectations:
    """Fitted parameters: orders at random times, and orders in a rhythm."""

    bgnbd: BgNbd
    cnbd: Cnbd


UNFITTED: Final = Expectations(BgNbd(1.0, 1.0, 1.0, 1.0), Cnbd(1, 1.0, 1.0, 1.0, 1.0))
"""Stands in where only the names of the columns matter."""


def fit(days: Days) -> Expectations:
    """Parameters of greatest likelihood for members who all have an order-day."""
    return Expectations(bgnbd.fit(bgnbd.counts(days)), cnbd.fit(cnbd.rhythms(days)))


def columns(days: Days, expected: Expectations, horizon_days: int) -> dict[str, F64]:
    """P(no order in the horizon) and P(still active) by either model; NaN without an order."""
    some = np.diff(days.start) > 0
    # Rows belong to members with orders only, so dropping the empty segments keeps them aligned.
    starts = np.concatenate((days.start[:-1][some], days.start[-1:]))
    known = replace(days, start=starts)
    counts, rhythms = bgnbd.counts(known), cnbd.rhythms(known)
    found = (
        bgnbd.silent(expected.bgnbd, counts, horizon_days),
        bgnbd.alive(expected.bgnbd, counts),
        cnbd.silent(expected.cnbd, rhythms, horizon_days),
        cnbd.alive(expected.cnbd, rhythms),
    )
    answer: dict[str, F64] = {}
    for name, values in zip(COLUMNS, found, strict=True):
        answer[name] = np.full(days.size, np.nan)
        answer[name][some] = values
    return answer
