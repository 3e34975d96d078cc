"""Closed windows of the past: the cutoffs a model may learn from, and their rows."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from ml import bgnbd, booster, features, logistic, table
from ml.arrays import DAY, F32, F64, I32, Bools, logit, moved
from ml.bgnbd import BgNbd, Counts
from ml.booster import Booster
from ml.errors import TooLittleHistory
from ml.expectations import Expectations
from ml.facts import Facts
from ml.features import Matrix, days_needed, draw
from ml.history import fold
from ml.labels import churned, population
from ml.logistic import Logistic
from ml.waited import waited

if TYPE_CHECKING:
    from ml.ladder import Models

_HISTORY_FLOORS: Final = (180, 90, 60, 30)
_ENOUGH_CUTOFFS: Final = 4
_FEWEST_MEMBERS: Final = 30
_STRETCH: Final = 2


@dataclass(frozen=True)
class Plan:
    """What is predicted, and from how much of the past it is learned."""

    horizon_days: int = 45
    active_days: int = 180
    cutoffs: int = 10
    step_days: int = 15
    most_rows: int = 200_000
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Sample:
    """Features at one cutoff with the outcomes of its closed window."""

    cutoff: int
    matrix: Matrix
    outcome: F64


@dataclass(frozen=True, eq=False)
class Rows:
    """Samples of several cutoffs stacked: values [rows, names] and outcomes.

    `shape` holds `SHAPE` of `ml.table` for the same rows, whatever was chosen to learn from;
    `cutoffs` says of which samples they are, in this order. Rows that lie on other machines have
    outcomes and shape here, and no values.
    """

    values: F32
    outcome: F64
    names: tuple[str, ...]
    shape: F32 = field(default_factory=lambda: np.empty((0, len(table.SHAPE)), np.float32))
    cutoffs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Extent:
    """How much is known: the instants of the first and the last order, orders, and members."""

    window: tuple[int, int]
    orders: int
    members: int


class Learning:
    """Where models are fitted to rows: on this machine, or on those that hold them."""

    def regress(self, rows: Rows) -> Logistic:
        """A logistic regression of the rows' outcomes."""
        return logistic.fit(rows.values, rows.outcome)

    def boost(self, rows: Rows, *, seed: int = 0, threads: int = 1) -> Booster:
        """Trees for the rows' outcomes."""
        return booster.fit(rows.values, rows.outcome, seed=seed, threads=threads)


HERE: Final = Learning()


class Past(Learning):
    """Samples of `facts` by cutoff, each built once.

    Asked for a cutoff it reads features from before it and outcomes from its window, so callers
    who stand at `as_of` ask for `cutoffs(as_of)` only.
    """

    def __init__(self, facts: Facts, plan: Plan) -> None:
        self.facts = facts.in_order()
        self.plan = plan
        self._samples: dict[int, Sample] = {}
        self._expectations: dict[int, Expectations] = {}
        self._bgnbd: dict[int, BgNbd] = {}
        self._surprises: dict[tuple[int, int], float] = {}
        # What was fitted as of an instant: trials and trainings of one past often share it.
        self.fits: dict[int, Models] = {}

    def boost_waits(self, rows: Rows, *, as_of: int, threads: int = 1) -> Booster:
        """Trees for the logarithm of the days that the rows' members waited, as of an instant."""
        seen = [(cutoff, self.at(cutoff).matrix.members) for cutoff in rows.cutoffs]
        each = [waited(self.facts, cutoff, as_of, members) for cutoff, members in seen]
        days = np.concatenate([one.days for one in each])
        came = np.concatenate([one.came for one in each])
        return booster.fit_waits(rows.values, days, came, seed=self.plan.seed, threads=threads)

    def extent(self, as_of: int) -> Extent:
        """How much was known at an instant."""
        known = self.facts.order_at < as_of
        at, member = self.facts.order_at[known], self.facts.order_member[known]
        return Extent((int(at.min()), int(at.max())), len(at), len(np.unique(member)))

    def cutoffs(self, as_of: int) -> list[int]:
        """Cutoffs whose windows closed by `as_of`, the latest first.

        As long a history before the first of them as leaves four cutoffs is asked for (180, 90,
        60 or 30 days), so that wide windows can be used. Empty when nothing is usable.
        """
        return [cutoff for cutoff in self.grid(as_of) if self._usable(cutoff)]

    def grid(self, as_of: int) -> list[int]:
        """`cutoffs` before anybody has looked at the members at them."""
        plan = self.plan
        if self.first is None:
            return []
        latest = as_of - plan.horizon_days * DAY
        grid = [latest - k * plan.step_days * DAY for k in range(plan.cutoffs)]
        for floor in _HISTORY_FLOORS:
            fit = [cutoff for cutoff in grid if cutoff - self.first >= floor * DAY]
            if len(fit) >= _ENOUGH_CUTOFFS:
                return fit
        return [cutoff for cutoff in grid if cutoff - self.first >= _HISTORY_FLOORS[-1] * DAY]

    @cached_property
    def first(self) -> int | None:
        """The instant of the first order; None without any."""
        return int(self.facts.order_at.min()) if len(self.facts.order_at) else None

    def members(self, cutoff: int) -> I32:
        """The population at a cutoff."""
        return population(self.facts, cutoff, self.plan.active_days)

    def rate(self, cutoff: int) -> float:
        """The share of the population that fell silent after a cutoff; NaN of nobody."""
        outcome = self.outcomes(cutoff, self.plan.horizon_days, self.members(cutoff))
        return float(outcome.mean()) if len(outcome) else float("nan")

    def outcomes(self, cutoff: int, days: int, members: I32) -> F64:
        """1.0 for each member without an order in the days after a cutoff, else 0.0."""
        return churned(self.facts, cutoff, days, members)

    def surprise(self, cutoff: int, days: int) -> float:
        """How far BG/NBD's log-odds must move to meet the share silent for `days` after a cutoff.

        The changing mix of members is in BG/NBD's odds already, so this is the bare base rate.
        NaN of under 30 members.
        """
        if (cutoff, days) not in self._surprises:
            self._surprises[cutoff, days] = self._surprise(cutoff, days)
        return self._surprises[cutoff, days]

    def _surprise(self, cutoff: int, days: int) -> float:
        members = draw(
            self.members(cutoff), self.plan.most_rows // self.plan.cutoffs, self.plan.seed
        )
        if len(members) < _FEWEST_MEMBERS:
            return float("nan")
        odds = logit(bgnbd.silent(self._buying(cutoff), self._counts(cutoff, members), days))
        half = 0.5 / len(members)
        rate = float(self.outcomes(cutoff, days, members).mean())
        return moved(odds, min(max(rate, half), 1 - half))

    def _counts(self, cutoff: int, members: I32) -> Counts:
        return bgnbd.counts(fold(self.facts, cutoff, members))

    def at(self, cutoff: int) -> Sample:
        """The sample of one cutoff: the population, or a draw from a very large one."""
        if cutoff not in self._samples:
            plan = self.plan
            members = draw(self.members(cutoff), plan.most_rows // plan.cutoffs, plan.seed)
            self._samples[cutoff] = self._of(cutoff, members)
        return self._samples[cutoff]

    def whole(self, cutoff: int) -> Sample:
        """The whole population of one cutoff, to be tested on; it is not kept."""
        members = self.members(cutoff)
        kept = self._samples.get(cutoff)
        return kept if kept and len(kept.outcome) == len(members) else self._of(cutoff, members)

    def matrix(self, at: int, members: I32 | None = None) -> Matrix:
        """The features of members at an instant, by default of the population, come what may."""
        return self._matrix(at, self.members(at) if members is None else members)

    def expectations(self, at: int) -> Expectations:
        """BG/NBD and CNBD-k as fitted to what was known at an instant."""
        if at not in self._expectations:
            self._expectations[at] = self._fit_expectations(at)
        return self._expectations[at]

    def _buying(self, at: int) -> BgNbd:
        """BG/NBD alone, where no more is wanted."""
        if at in self._expectations:
            return self._expectations[at].bgnbd
        if at not in self._bgnbd:
            self._bgnbd[at] = bgnbd.fit(self._drawn_counts(at))
        return self._bgnbd[at]

    def _fit_expectations(self, at: int) -> Expectations:
        return features.fit_expectations(self.facts, at, seed=self.plan.seed)

    def _drawn_counts(self, at: int) -> Counts:
        return bgnbd.counts(features.drawn_days(self.facts, at, seed=self.plan.seed))

    def _matrix(self, at: int, members: I32) -> Matrix:
        return features.build(
            self.facts,
            at,
            members,
            purchases=self.expectations(at),
            horizon_days=self.plan.horizon_days,
        )

    def _of(self, cutoff: int, members: I32) -> Sample:
        matrix = self._matrix(cutoff, members)
        return Sample(cutoff, matrix, self.outcomes(cutoff, self.plan.horizon_days, members))

    def rows(self, cutoffs: list[int]) -> Rows:
        """Stack the samples of cutoffs with the columns worth learning from.

        Left out are columns that are constant within one of the cutoffs, since trees tell
        cutoffs apart by them, and windows more than twice as long as the shortest history:
        they would mean less at the early cutoffs. CNBD-k is left out as well: it has a voice of
        its own in the ladder, and as a column it won nothing. Raises TooLittleHistory when there
        is none, or no column varies at all.
        """
        if not cutoffs:
            raise TooLittleHistory(
                f"No window of {self.plan.horizon_days} days has closed with {_FEWEST_MEMBERS} or "
                "more members, some of whom ordered again and some did not, after at least "
                f"{_HISTORY_FLOORS[-1]} days of orders."
            )
        reach = (min(cutoffs) - (self.first or 0)) // DAY
        every, varied = self._varied(cutoffs)
        meant = np.array(
            [
                days_needed(name) <= _STRETCH * reach and not name.startswith("cnbd_")
                for name in every
            ]
        )
        worth = _worth([meant & found for found in varied])
        names = tuple(name for name, found in zip(every, worth, strict=True) if found)
        return self._stacked(cutoffs, names)

    def _varied(self, cutoffs: list[int]) -> tuple[tuple[str, ...], list[Bools]]:
        """The names of all columns, and which of them vary within each cutoff."""
        samples = [self.at(cutoff) for cutoff in cutoffs]
        ends = [extremes(sample.matrix) for sample in samples]
        return samples[0].matrix.names, [highest > lowest for lowest, highest in ends]

    def _stacked(self, cutoffs: list[int], names: tuple[str, ...]) -> Rows:
        samples = [self.at(cutoff) for cutoff in cutoffs]
        return Rows(
            np.concatenate([sample.matrix.only(names) for sample in samples]),
            np.concatenate([sample.outcome for sample in samples]),
            names,
            np.concatenate([sample.matrix.only(table.SHAPE) for sample in samples]),
            tuple(cutoffs),
        )

    def _usable(self, cutoff: int) -> bool:
        members = len(self.members(cutoff))
        return members >= _FEWEST_MEMBERS and 0 < self.rate(cutoff) < 1


def _worth(varied: list[Bools]) -> Bools:
    """Columns that vary at every cutoff, or else at some. Raises TooLittleHistory for none."""
    for found in (np.logical_and.reduce(varied), np.logical_or.reduce(varied)):
        if found.any():
            return found
    raise TooLittleHistory("All members have the same history: nothing tells them apart.")


def extremes(matrix: Matrix) -> tuple[F32, F32]:
    """The least and the greatest known value of each column."""
    return np.fmin.reduce(matrix.values), np.fmax.reduce(matrix.values)
