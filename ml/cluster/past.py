"""The past as it lies on the workers: who is at stake, their features, and rows to learn from."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml import bgnbd, cnbd, features, table
from ml.arrays import DAY, F32, F64, I32, I64, Bools
from ml.bgnbd import Counts
from ml.booster import Booster
from ml.cluster import fitting, looking
from ml.cluster.looking import Bits, Looked
from ml.cluster.parts import Parts
from ml.cnbd import Rhythms
from ml.expectations import Expectations
from ml.facts import Facts
from ml.features import Matrix, draw
from ml.logistic import Logistic
from ml.samples import Extent, Past, Plan, Rows, Sample

if TYPE_CHECKING:
    from distributed import Future

SPREAD_FROM: Final = 50_000
"""Rows from which all workers fit together: fewer are brought to one of them, whose fit is the very
one of a single machine."""

_STEP_DAYS: Final = 15
_AHEAD: Final = 70
"""Cutoffs that are looked at together: as many as the replays of the base rate can ask for."""


@dataclass(frozen=True, eq=False)
class Watched:
    """What models of buying know of members who were drawn at a cutoff, and what came after.

    `silent` has a row for each number of days that was asked for.
    """

    members: I32
    counts: Counts
    silent: dict[int, F64]


@dataclass(frozen=True, eq=False)
class SpreadRows(Rows):
    """Rows whose values lie on the workers: of each part which rows of all they are."""

    held: "tuple[Future[F32], ...]" = ()
    places: tuple[I64, ...] = field(default_factory=tuple)


class ClusterPast(Past):
    """Samples of the past whose members, features and rows the workers hold."""

    def __init__(self, parts: Parts, plan: Plan, *, spread_from: int = SPREAD_FROM) -> None:
        """Of these parts and this plan; `spread_from` rows on all workers fit together."""
        super().__init__(Facts(member_ids=()), plan)
        self.parts = parts
        self._spread_from = spread_from
        self._looked: dict[int, Looked] = {}
        self._watched: dict[int, Watched] = {}
        self._rhythms: dict[int, Rhythms] = {}
        self._held: dict[int, list[Future[Matrix]]] = {}
        self._ends: dict[int, tuple[tuple[str, ...], Bools]] = {}

    @cached_property
    def first(self) -> int | None:
        """The instant of the first order; None without any."""
        return self.parts.first

    def extent(self, as_of: int) -> Extent:
        """How much was known at an instant."""
        found = self.parts.each(looking.extent, as_of)
        least, most = min(part[0] for part in found), max(part[1] for part in found)
        return Extent((least, most), sum(part[2] for part in found), sum(p[3] for p in found))

    def members(self, cutoff: int) -> I32:
        """The population at a cutoff."""
        return self._codes(self._look_at(cutoff).present)

    def rate(self, cutoff: int) -> float:
        """The share of the population that fell silent after a cutoff; NaN of nobody."""
        looked = self._look_at(cutoff)
        number = int(np.bitwise_count(looked.present).sum())
        return looked.silent / number if number else float("nan")

    def outcomes(self, cutoff: int, days: int, members: I32) -> F64:
        """1.0 for each member without an order in the days after a cutoff, else 0.0."""
        watched = self._watched.get(cutoff)
        if watched and days in watched.silent and np.array_equal(members, watched.members):
            return watched.silent[days]
        found = self.parts.each(looking.outcomes, cutoff, days, by_part=self.parts.split(members))
        return np.concatenate(found)

    def at(self, cutoff: int) -> Sample:
        """The sample of one cutoff, brought here; it is not kept."""
        members = self._drawn(cutoff)
        found: list[Matrix] = self.parts.gather(self._matrices(cutoff))
        values: F32 = np.concatenate([part.values for part in found])
        outcome = self.outcomes(cutoff, self.plan.horizon_days, members)
        return Sample(cutoff, Matrix(values, found[0].names, members), outcome)

    def regress(self, rows: Rows) -> Logistic:
        """A logistic regression by sums over the parts."""
        held = _held(rows)
        if len(rows.outcome) < self._spread_from:
            return self._whole(fitting.regress_whole, held, (rows.outcome,))
        return fitting.regress(self.parts, held.held, held.places, rows.outcome)

    def boost(self, rows: Rows, *, seed: int = 0, threads: int = 1) -> Booster:
        """Trees for the rows' outcomes, by xgboost's own all-reduce over the workers."""
        held = _held(rows)
        if len(rows.outcome) < self._spread_from:
            return self._whole(fitting.boost_whole, held, (rows.outcome,), seed, threads)
        own = [rows.outcome[place] for place in held.places]
        laid = fitting.Laid(held.held, {"label": own}, len(rows.names))
        return fitting.boost(self.parts, laid, seed=seed)

    def boost_waits(self, rows: Rows, *, as_of: int, threads: int = 1) -> Booster:
        """Trees for the logarithm of the days that the rows' members waited, as of an instant."""
        held, cutoffs = _held(rows), list(rows.cutoffs)
        own = self._own([self._drawn(cutoff) for cutoff in cutoffs])
        found: list[tuple[F64, Bools]] = self.parts.each(looking.waits, cutoffs, as_of, by_part=own)
        days, came = [one for one, _ in found], [one for _, one in found]
        seed = self.plan.seed
        if len(rows.outcome) < self._spread_from:
            whole = (looking.placed(days, held.places), looking.placed(came, held.places))
            return self._whole(fitting.boost_waits_whole, held, whole, seed, threads)
        laid = fitting.Laid(held.held, fitting.bounds(days, came), len(rows.names))
        return fitting.boost_waits(self.parts, laid, seed=seed)

    def _whole(self, work: Any, rows: SpreadRows, labels: tuple[Any, ...], *given: Any) -> Any:
        """Work on all rows by one worker."""
        future = self.parts.submit(work, rows.places, labels, given, *rows.held)
        return self.parts.gather([future])[0]

    def _codes(self, bits: Bits) -> I32:
        return np.flatnonzero(np.unpackbits(bits, count=self.parts.members)).astype(np.int32)

    def _look_at(self, cutoff: int) -> Looked:
        if cutoff not in self._looked:
            plan = self.plan
            cutoffs = self._near(cutoff, self._looked)
            found: list[list[Looked]] = self.parts.each(
                looking.look, cutoffs, plan.active_days, plan.horizon_days
            )
            for place, each in enumerate(cutoffs):
                parts = [part[place] for part in found]
                self._looked[each] = Looked(
                    self._joined([part.present for part in parts]),
                    self._joined([part.ever for part in parts]),
                    sum(part.silent for part in parts),
                )
        return self._looked[cutoff]

    def _joined(self, parts: list[Bits]) -> Bits:
        sizes = self.parts.sizes.tolist()
        every = [np.unpackbits(bits, count=n) for bits, n in zip(parts, sizes, strict=True)]
        return np.packbits(np.concatenate(every))

    def _near(self, cutoff: int, known: "dict[int, Any]") -> list[int]:
        """A cutoff, and others that will be asked for: they cost one way there together."""
        first, step = self.first or cutoff, _STEP_DAYS * DAY
        grid = [self.parts.as_of - n * step for n in range(_AHEAD)]
        others = [at for at in grid if at >= first and at not in known and at != cutoff]
        return [cutoff, *others]

    def _drawn(self, cutoff: int) -> I32:
        plan = self.plan
        return draw(self.members(cutoff), plan.most_rows // plan.cutoffs, plan.seed)

    def _own(self, members: list[I32]) -> list[list[I32]]:
        """Members of several cutoffs as codes of each part."""
        split = [self.parts.split(each) for each in members]
        return [[each[place] for each in split] for place in range(len(self.parts.held))]

    def _watch_at(self, cutoff: int) -> Watched:
        if cutoff not in self._watched:
            cutoffs = self._near(cutoff, self._watched)
            members = [self._drawn(each) for each in cutoffs]
            days = sorted({15, 30, self.plan.horizon_days})
            found: list[list[tuple[Counts, list[F64]]]] = self.parts.each(
                looking.watch, cutoffs, days, by_part=self._own(members)
            )
            for place, (each, own) in enumerate(zip(cutoffs, members, strict=True)):
                parts = [part[place] for part in found]
                silent = [
                    np.concatenate(column) for column in zip(*(s for _, s in parts), strict=True)
                ]
                self._watched[each] = Watched(
                    own,
                    looking.joined_counts([one for one, _ in parts]),
                    dict(zip(days, silent, strict=True)),
                )
        return self._watched[cutoff]

    def _counts(self, cutoff: int, members: I32) -> Counts:
        return self._watch_at(cutoff).counts

    def _rhythms_at(self, at: int) -> Rhythms:
        """What models of buying are fitted to: of 20,000 members who had ordered, at the most."""
        if at not in self._rhythms:
            instants = self._near(at, self._rhythms)
            members = [
                features.drawn(self._codes(self._look_at(each).ever), seed=self.plan.seed)
                for each in instants
            ]
            found: list[list[Rhythms]] = self.parts.each(
                looking.rhythms, instants, by_part=self._own(members)
            )
            for place, each in enumerate(instants):
                self._rhythms[each] = looking.joined_rhythms([part[place] for part in found])
        return self._rhythms[at]

    def _fit_expectations(self, at: int) -> Expectations:
        seen = self._rhythms_at(at)
        return Expectations(bgnbd.fit(looking.as_counts(seen)), cnbd.fit(seen))

    def _drawn_counts(self, at: int) -> Counts:
        return looking.as_counts(self._rhythms_at(at))

    def _matrix(self, at: int, members: I32) -> Matrix:
        found: list[Matrix] = self.parts.gather(self._spread_features(at, members))
        values: F32 = np.concatenate([part.values for part in found])
        return Matrix(values, found[0].names, members.astype(np.int32))

    def _spread_features(self, at: int, members: I32) -> "list[Future[Matrix]]":
        own = self.parts.split(members)
        horizon = self.plan.horizon_days
        return self.parts.spread(looking.matrix, at, self.expectations(at), horizon, by_part=own)

    def _matrices(self, cutoff: int) -> "list[Future[Matrix]]":
        """The features of a cutoff's sample, left on the workers."""
        if cutoff not in self._held:
            self._held[cutoff] = self._spread_features(cutoff, self._drawn(cutoff))
        return self._held[cutoff]

    def _by_part(self, cutoffs: list[int]) -> "list[tuple[Future[Matrix], ...]]":
        return list(zip(*(self._matrices(cutoff) for cutoff in cutoffs), strict=True))

    def _varied(self, cutoffs: list[int]) -> tuple[tuple[str, ...], list[Bools]]:
        """The names of all columns, and which of them vary within each cutoff."""
        new = [cutoff for cutoff in cutoffs if cutoff not in self._ends]
        if new:
            asked = [self.parts.submit(looking.ends, *part) for part in self._by_part(new)]
            found = self.parts.gather(asked)
            for place, cutoff in enumerate(new):
                parts = [part[place] for part in found]
                lowest = np.fmin.reduce([low for _, low, _ in parts])
                highest = np.fmax.reduce([high for _, _, high in parts])
                self._ends[cutoff] = parts[0][0], highest > lowest
        return self._ends[cutoffs[0]][0], [self._ends[cutoff][1] for cutoff in cutoffs]

    def _stacked(self, cutoffs: list[int], names: tuple[str, ...]) -> Rows:
        parts = self._by_part(cutoffs)
        held = tuple(self.parts.submit(looking.only, names, *part) for part in parts)
        shapes: list[F32] = self.parts.gather(
            [self.parts.submit(looking.only, table.SHAPE, *part) for part in parts]
        )
        members = [self._drawn(cutoff) for cutoff in cutoffs]
        for cutoff in cutoffs:
            self._watch_at(cutoff)
        horizon = self.plan.horizon_days
        outcome = [self.outcomes(c, horizon, own) for c, own in zip(cutoffs, members, strict=True)]
        places = tuple(self._places(members))
        return SpreadRows(
            values=np.empty((0, len(names)), dtype=np.float32),
            outcome=np.concatenate(outcome),
            names=names,
            shape=looking.placed(shapes, places),
            cutoffs=tuple(cutoffs),
            held=held,
            places=places,
        )

    def _places(self, members: list[I32]) -> list[I64]:
        """Of each part which of the rows are its own, were those of all parts stacked."""
        sizes = np.array([[len(one) for one in part] for part in self._own(members)])
        begins = np.concatenate(([0], np.cumsum(sizes.sum(axis=0))[:-1]))
        before = np.cumsum(sizes, axis=0) - sizes + begins
        return [
            np.concatenate([np.arange(a, a + n) for a, n in zip(row, number, strict=True)])
            for row, number in zip(before.tolist(), sizes.tolist(), strict=True)
        ]


def _held(rows: Rows) -> SpreadRows:
    if not isinstance(rows, SpreadRows):
        raise TypeError("these rows are not on the workers")
    return rows
