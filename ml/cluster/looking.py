"""What workers are asked of their parts, and how the answers of all parts become one."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ml import aft, bgnbd, cnbd, features, labels
from ml.arrays import F32, F64, I32, I64, Bools
from ml.bgnbd import Counts
from ml.cluster.parts import Part
from ml.cnbd import Rhythms
from ml.expectations import Expectations
from ml.facts import NEVER
from ml.features import Matrix
from ml.history import fold
from ml.samples import extremes

_EVER_DAYS: Final = 1_000_000

Bits = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Looked:
    """Who is at stake at a cutoff and who had ever ordered, a bit each; how many fell silent."""

    present: Bits
    ever: Bits
    silent: float


def look(part: Part, cutoffs: list[int], active_days: int, horizon_days: int) -> list[Looked]:
    """Who is at stake at each cutoff, and how many of them fell silent."""
    answer: list[Looked] = []
    for cutoff in cutoffs:
        members = labels.population(part.facts, cutoff, active_days)
        ever = labels.population(part.facts, cutoff, _EVER_DAYS)
        silent = labels.churned(part.facts, cutoff, horizon_days, members).sum()
        everybody = len(part.facts.member_ids)
        answer.append(Looked(bits(members, everybody), bits(ever, everybody), float(silent)))
    return answer


def bits(members: I32, everybody: int) -> Bits:
    """A bit for each of so many members."""
    present = np.zeros(everybody, dtype=np.bool_)
    present[members] = True
    return np.packbits(present)


def watch(
    part: Part, members: list[I32], cutoffs: list[int], days: list[int]
) -> list[tuple[Counts, list[F64]]]:
    """What models of buying know of members at cutoffs, and who then was silent for how long."""
    return [
        (
            bgnbd.counts(fold(part.facts, cutoff, own)),
            [labels.churned(part.facts, cutoff, each, own) for each in days],
        )
        for cutoff, own in zip(cutoffs, members, strict=True)
    ]


def rhythms(part: Part, members: list[I32], instants: list[int]) -> list[Rhythms]:
    """What models of buying are fitted to, at each instant."""
    return [
        cnbd.rhythms(fold(part.facts, at, own)) for at, own in zip(instants, members, strict=True)
    ]


def matrix(part: Part, members: I32, at: int, purchases: Expectations, horizon_days: int) -> Matrix:
    """The features of some members."""
    return features.build(part.facts, at, members, purchases=purchases, horizon_days=horizon_days)


def ends(*matrices: Matrix) -> list[tuple[tuple[str, ...], F32, F32]]:
    """The names of the columns of each matrix, and their least and greatest values."""
    return [(matrix.names, *known_extremes(matrix)) for matrix in matrices]


def known_extremes(matrix: Matrix) -> tuple[F32, F32]:
    """Least and greatest values; unknown where there is no row."""
    if len(matrix.members):
        return extremes(matrix)
    nothing = np.full(len(matrix.names), np.nan, dtype=np.float32)
    return nothing, nothing


def only(names: tuple[str, ...], *matrices: Matrix) -> F32:
    """Some columns of several matrices, stacked."""
    return np.concatenate([matrix.only(names) for matrix in matrices])


def extent(part: Part, as_of: int) -> tuple[int, int, int, int]:
    """The first and the last order before an instant, how many, and of how many members."""
    known = part.facts.order_at < as_of
    at, member = part.facts.order_at[known], part.facts.order_member[known]
    if not len(at):
        return NEVER, 0, 0, 0
    return int(at.min()), int(at.max()), len(at), len(np.unique(member))


def outcomes(part: Part, members: I32, cutoff: int, days: int) -> F64:
    """1.0 for each member without an order in the days after a cutoff, else 0.0."""
    return labels.churned(part.facts, cutoff, days, members)


def waits(part: Part, members: list[I32], cutoffs: list[int], as_of: int) -> tuple[F64, Bools]:
    """How long members of cutoffs waited, as of an instant, and whether it ended."""
    each = [
        aft.waited(part.facts, cutoff, as_of, own)
        for cutoff, own in zip(cutoffs, members, strict=True)
    ]
    return np.concatenate([one.days for one in each]), np.concatenate([one.came for one in each])


def placed(parts: list[Any], places: tuple[I64, ...]) -> Any:
    """Rows of parts in the places that they have among all."""
    every = np.concatenate(parts)
    answer = np.empty_like(every)
    answer[np.concatenate(places)] = every
    return answer


def joined_counts(parts: list[Counts]) -> Counts:
    """The counts of all parts."""
    columns = [np.stack([part.x, part.last, part.age]) for part in parts]
    return Counts(*np.concatenate(columns, axis=1))


def joined_rhythms(parts: list[Rhythms]) -> Rhythms:
    """The rhythms of all parts."""
    columns = [np.stack([part.x, part.last, part.age, part.log_gaps]) for part in parts]
    return Rhythms(*np.concatenate(columns, axis=1))


def as_counts(seen: Rhythms) -> Counts:
    """What BG/NBD knows, of what CNBD-k knows."""
    return Counts(seen.x, seen.last, seen.age)
