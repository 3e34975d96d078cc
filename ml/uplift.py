"""What a treatment changes, member by member, learned from experiments with random treatment.

An outcome of 1 is what the treatment is for (a visit, an order); the effect on a member is the
chance of it with the treatment less the chance without. Nobody's effect is ever seen, so models
are judged by how they *rank*: the Qini coefficient and the uplift among those ranked first, each on
members that the model was not fitted on.

Sources: Radcliffe 2007 (Qini), Künzel, Sekhon, Bickel & Yu 2019 (S-, T- and X-learner), Kennedy
2023 (DR-learner). The normalisation of the Qini coefficient, by the curve of whoever knew each
outcome, is the one of the uplift libraries.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.linalg import solve

from ml import logistic
from ml.arrays import F32, F64, I64, Bools
from ml.effects import Effect, Term, marked, mean_of
from ml.errors import TooLittleHistory

FOLDS: Final = 5
LEAST_IN_AN_ARM: Final = 200
"""Below so many members with and without the treatment there is nothing to tell apart."""
_RIDGE: Final = 50.0


@dataclass(frozen=True, eq=False)
class Trial:
    """Members of an experiment: values [members, columns], who was treated, what came of it."""

    values: F32
    treated: Bools
    outcome: F64

    def __len__(self) -> int:
        """How many members."""
        return len(self.outcome)

    def only(self, rows: "I64 | Bools") -> "Trial":
        """Some of the members."""
        return Trial(self.values[rows], self.treated[rows], self.outcome[rows])

    @property
    def share(self) -> float:
        """Of the members, how many were treated: everyone's chance of it, as it was drawn."""
        return float(np.mean(self.treated))

    @property
    def effect(self) -> float:
        """The mean effect: the difference of the arms' means."""
        return float(self.outcome[self.treated].mean() - self.outcome[~self.treated].mean())


Learner = Callable[[Trial], Effect]


def t_learner(trial: Trial) -> Effect:
    """Two models, one an arm; the effect is the difference of their chances."""
    treated, control = _chances(trial)
    return Effect((treated, control.scaled(-1)))


def s_learner(trial: Trial) -> Effect:
    """One model of both arms with the treatment in it, by itself and with every column.

    Boosted trees in its place hardly ever split on the treatment, and tell members less apart.
    """
    model = logistic.fit(marked(trial.values, trial.treated), trial.outcome)
    return Effect((Term(1, model, True, mark=True), Term(-1, model, True, mark=False)))


def x_learner(trial: Trial) -> Effect:
    """Each arm's own surprise against the other arm's model, regressed, and mixed by chance."""
    treated, control = _chances(trial)
    mine, theirs = trial.only(trial.treated), trial.only(~trial.treated)
    gained = _linear(mine.values, mine.outcome - control.of(mine.values))
    missed = _linear(theirs.values, treated.of(theirs.values) - theirs.outcome)
    return Effect((missed.scaled(trial.share), gained.scaled(1 - trial.share)))


def dr_learner(trial: Trial) -> Effect:
    """Doubly robust pseudo-outcomes from models of other folds, regressed."""
    pseudo = np.empty(len(trial))
    share = trial.share
    for rest, held in _folds(trial, 2, seed=0):
        treated, control = _chances(trial.only(rest))
        part = trial.only(held)
        with_it, without = treated.of(part.values), control.of(part.values)
        corrected = np.where(
            part.treated,
            (part.outcome - with_it) / share,
            -(part.outcome - without) / (1 - share),
        )
        pseudo[held] = with_it - without + corrected
    return Effect((_linear(trial.values, pseudo),))


def ensemble(trial: Trial) -> Effect:
    """The mean of three learners that err differently: what is used, whatever the file.

    Which single learner ranks best changes from one half of a file to the other; to take the best
    of them by the same members that it is judged on would flatter it.
    """
    return mean_of([t_learner(trial), s_learner(trial), x_learner(trial)])


USED: Final = "T+S+X mean"
LEARNERS: Final[Mapping[str, Learner]] = {
    USED: ensemble,
    "T-learner": t_learner,
    "S-learner": s_learner,
    "X-learner": x_learner,
    "DR-learner": dr_learner,
}


@dataclass(frozen=True)
class Interval:
    """A figure with the 95% interval of its bootstrap."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Judgement:
    """How a model ranks members that it was not fitted on."""

    learner: str
    qini: Interval
    uplift_at_30: Interval
    members: int

    @property
    def is_better_than_chance(self) -> bool:
        """Whether members may be ranked by it at all: its interval leaves zero out."""
        return self.qini.low > 0


@dataclass(frozen=True, eq=False)
class Uplift:
    """The mean of the learners, fitted on everyone; with how it and each of them did on others."""

    effect: Effect
    judgements: tuple[Judgement, ...]
    mean_effect: float

    @property
    def judgement(self) -> Judgement:
        """That of the model that is used."""
        return self.judgements[0]

    def treat(self, values: F32, *, cost: float = 0.0, share: float = 1.0) -> Bools:
        """Whom to treat: those whose effect is worth its cost, best first, up to a share of all.

        `cost` is in units of the outcome. Where the ranking is no better than chance it is not
        gone by: then everyone is treated who fits in the share if the mean effect is worth the
        cost, drawn by place and not by score, or nobody.
        """
        most = int(share * len(values))
        if not self.judgement.is_better_than_chance:
            chosen = np.zeros(len(values), dtype=bool)
            chosen[:most] = self.mean_effect > cost
            return chosen
        effect = self.effect(values)
        chosen = effect > cost
        chosen[np.argsort(-effect, kind="stable")[most:]] = False
        return chosen


def learn(trial: Trial, *, rounds: int = 200, seed: int = 0) -> Uplift:
    """The mean of the learners for an experiment, judged by predictions across folds.

    The others are judged beside it, best first, for whoever compares. Raises TooLittleHistory where
    an arm has under 200 members or one outcome only.
    """
    _require_arms(trial)
    judged = {
        name: judge(name, trial, across_folds(trial, learner, seed=seed), rounds=rounds, seed=seed)
        for name, learner in LEARNERS.items()
    }
    used = judged.pop(USED)
    rest = sorted(judged.values(), key=lambda one: -one.qini.value)
    return Uplift(ensemble(trial), (used, *rest), trial.effect)


def across_folds(trial: Trial, learner: Learner, *, seed: int = 0) -> F64:
    """Each member's effect by a model that was fitted on the other folds."""
    effect = np.empty(len(trial))
    for rest, held in _folds(trial, FOLDS, seed=seed):
        effect[held] = learner(trial.only(rest))(trial.values[held])
    return effect


def judge(
    learner: str, trial: Trial, effect: F64, *, rounds: int = 200, seed: int = 0
) -> Judgement:
    """The figures of a ranking, with intervals by a bootstrap over members within their arms."""
    random = np.random.default_rng(seed)
    arms = [np.flatnonzero(trial.treated), np.flatnonzero(~trial.treated)]
    drawn: list[tuple[float, float]] = []
    for _ in range(rounds):
        rows = np.concatenate([random.choice(arm, len(arm)) for arm in arms])
        drawn.append(_figures(trial.only(rows), effect[rows]))
    qini, first = _figures(trial, effect)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return Judgement(
        learner,
        Interval(qini, float(low[0]), float(high[0])),
        Interval(first, float(low[1]), float(high[1])),
        len(trial),
    )


def _figures(trial: Trial, effect: F64) -> tuple[float, float]:
    return qini(trial, effect), uplift_at(trial, effect, 0.3)


def qini_curve(trial: Trial, effect: F64) -> tuple[F64, F64]:
    """How many members are treated, best first, and the outcomes that they gain by it.

    Ties of the ranking are one step. Both arrays begin with 0.
    """
    order = np.argsort(-effect, kind="stable")
    treated, outcome = trial.treated[order], trial.outcome[order]
    ends = np.append(np.flatnonzero(np.diff(effect[order])), len(order) - 1)
    members = (ends + 1).astype(np.float64)
    with_it = np.cumsum(treated)[ends].astype(np.float64)
    gained = np.cumsum(outcome * treated)[ends]
    missed = np.cumsum(outcome * ~treated)[ends]
    without = members - with_it
    scale = np.divide(with_it, without, out=np.zeros_like(with_it), where=without > 0)
    return np.append(0.0, members), np.append(0.0, gained - missed * scale)


def qini(trial: Trial, effect: F64) -> float:
    """The Qini coefficient: the area over chance, in units of the best possible; 0 is chance."""
    mine = _area_over_chance(*qini_curve(trial, effect))
    knowing = trial.outcome * np.where(trial.treated, 1.0, -1.0)
    best = _area_over_chance(*qini_curve(trial, knowing))
    return mine / best if best else float("nan")


def _area_over_chance(members: F64, gained: F64) -> float:
    return float(np.trapezoid(gained, members) - members[-1] * gained[-1] / 2)


def uplift_at(trial: Trial, effect: F64, share: float) -> float:
    """The difference between the arms among that share of members that is ranked first."""
    first = np.argsort(-effect, kind="stable")[: max(1, int(share * len(trial)))]
    part = trial.only(first)
    if part.treated.all() or not part.treated.any():
        return float("nan")
    return part.effect


def _chances(trial: Trial) -> "tuple[Term, Term]":
    """The chance of the outcome with the treatment, and without."""
    first, second = (
        Term(1, logistic.fit(part.values, part.outcome), is_chance=True)
        for part in (trial.only(trial.treated), trial.only(~trial.treated))
    )
    return first, second


def _linear(values: F32, target: F64) -> Term:
    """Ridge regression on columns standardised as those of the logistic models are."""
    shape = logistic.fit(values, (target > np.median(target)).astype(np.float64))
    design = shape.standard(values)
    mean = target.mean()
    curve = design.T @ design + np.diag(np.full(design.shape[1], _RIDGE))
    weight = np.asarray(solve(curve, design.T @ (target - mean), assume_a="pos"), dtype=np.float64)
    return Term(1, logistic.Logistic(shape.mean, shape.sd, weight, float(mean)), is_chance=False)


def _folds(trial: Trial, number: int, *, seed: int) -> Iterator[tuple[I64, I64]]:
    """Rows to fit on and rows held out; arms and outcomes alike in each."""
    random = np.random.default_rng(seed)
    strata = trial.treated * 2 + (trial.outcome > 0)
    place = np.empty(len(trial), dtype=np.int64)
    for stratum in np.unique(strata):
        rows = random.permutation(np.flatnonzero(strata == stratum))
        place[rows] = np.arange(len(rows)) % number
    for fold in range(number):
        yield np.flatnonzero(place != fold), np.flatnonzero(place == fold)


def _require_arms(trial: Trial) -> None:
    for name, part in (("with", trial.treated), ("without", ~trial.treated)):
        outcome = trial.outcome[part]
        if len(outcome) < LEAST_IN_AN_ARM:
            raise TooLittleHistory(
                f"only {len(outcome)} members {name} the treatment; {LEAST_IN_AN_ARM} are needed"
            )
        if outcome.min() == outcome.max():
            raise TooLittleHistory(f"every member {name} the treatment came to the same outcome")
