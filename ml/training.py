"""From facts to a model: a rolling origin, a choice among models, an honest calibration."""

from collections.abc import Callable
from typing import Final

from ml import aft, calibration, evaluation, features, ladder
from ml.arrays import DAY, F64, sigmoid
from ml.artifact import About, Artifact, describe
from ml.errors import TooLittleHistory
from ml.evaluation import Metrics
from ml.facts import Facts
from ml.ladder import Models, Rung, Trial
from ml.samples import Past, Plan, Rows

_ORIGINS: Final = 4
_ORIGIN_STEP: Final = 30

Progress = Callable[[int, int], None]


def train(
    facts: Facts,
    *,
    as_of: int,
    horizon_days: int = 45,
    active_days: int = 180,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> Artifact:
    """Learn from windows that closed by `as_of` who falls silent for `horizon_days` days.

    Up to ten cutoffs 15 days apart are learned from. The same is done at up to four earlier
    origins, 30 days apart, to choose the kind of model and the correction of the base rate; the
    metrics in the artifact are from those origins. Same facts, seed and threads give the same
    bytes. `progress(done, total)` is called after each step.

    Raises TooLittleHistory when no window has closed with at least 30 members, some silent and
    some not, after 30 days of orders.
    """
    plan = Plan(horizon_days=horizon_days, active_days=active_days, seed=seed)
    past = Past(facts.before(as_of), plan)
    return train_on(past, as_of=as_of, threads=threads, progress=progress)


def train_on(
    past: Past, *, as_of: int, threads: int = 1, progress: Progress | None = None
) -> Artifact:
    """`train` on samples that may be shared with others; reads what closed by `as_of` only."""
    told = progress or _silently
    steps = _ORIGINS + 2
    cutoffs = past.cutoffs(as_of)
    rows = past.rows(cutoffs)
    told(1, steps)
    fitted = _fitted(past, as_of, rows, threads)
    waits = aft.fit(past, rows, as_of=as_of, threads=threads)
    told(2, steps)
    trials: dict[int, Trial] = {}
    for number, origin in enumerate(_origins(past, as_of)):
        trial = _try(past, origin, threads)
        if trial is not None:
            trials[origin] = trial
        told(3 + number, steps)
    models = fitted.weighing(ladder.weigh(list(trials.values())))
    held_out = dict(zip(trials, ladder.tested(list(trials.values())), strict=True))
    choice = ladder.choose(list(held_out.values()), len(rows.outcome))
    correction = calibration.choose(past, as_of)
    shift = calibration.shift(past, as_of, correction) + _settled(_now(past, as_of, models), choice)
    metrics = {origin: _metrics(past, origin, trial, choice) for origin, trial in held_out.items()}
    told(steps, steps)
    return Artifact(
        models=models,
        purchases=past.expectations(as_of),
        choice=choice,
        shift=shift,
        about=_about(past, as_of, cutoffs, correction, metrics),
        waits=waits,
    )


def _silently(done: int, total: int) -> None:
    """Progress that nobody watches."""


def _origins(past: Past, as_of: int) -> list[int]:
    """Origins whose own windows had closed by `as_of`, the latest first."""
    latest = as_of - past.plan.horizon_days * DAY
    known = set(past.cutoffs(as_of))
    origins = [latest - k * _ORIGIN_STEP * DAY for k in range(_ORIGINS)]
    return [origin for origin in origins if origin in known]


def _try(past: Past, origin: int, threads: int) -> Trial | None:
    """Train as if it were `origin` and predict the window after it; None if it is too early."""
    try:
        rows = past.rows(past.cutoffs(origin))
    except TooLittleHistory:
        return None
    models = _fitted(past, origin, rows, threads)
    sample = past.at(origin)
    odds = models.log_odds(sample.matrix, threads=threads)
    return Trial(sample.matrix.members, sample.outcome, odds)


def _fitted(past: Past, as_of: int, rows: Rows, threads: int) -> Models:
    """The models of the rows known at an instant, fitted once for a past."""
    if as_of not in past.fits:
        past.fits[as_of] = ladder.fit(rows, seed=past.plan.seed, threads=threads, by=past)
    return past.fits[as_of]


def _now(past: Past, as_of: int, models: Models) -> dict[Rung, F64]:
    """Log-odds of today's population, whose outcomes nobody knows yet."""
    members = features.draw(past.members(as_of), past.plan.most_rows // 10, past.plan.seed)
    return models.log_odds(past.matrix(as_of, members))


def _settled(log_odds: dict[Rung, F64], choice: Rung) -> float:
    """What the weights of a mean owe to its mean probability."""
    if choice != "mean":
        return 0.0
    even = ladder.mixed(log_odds, ladder.EVEN)["mean"]
    return calibration.spread(even, log_odds["mean"])


def _metrics(past: Past, origin: int, trial: Trial, choice: Rung) -> Metrics:
    """What the chosen model reached at a past origin, as it would have been deployed."""
    correction = calibration.choose(past, origin)
    shift = calibration.shift(past, origin, correction) + _settled(trial.log_odds, choice)
    return evaluation.measure(trial.outcome, sigmoid(trial.log_odds[choice] + shift))


def _about(
    past: Past,
    as_of: int,
    cutoffs: list[int],
    correction: str,
    metrics: dict[int, Metrics],
) -> About:
    known = past.extent(as_of)
    return describe(
        plan=past.plan,
        as_of=as_of,
        window=known.window,
        orders=known.orders,
        members=known.members,
        cutoffs=tuple(cutoffs),
        correction=correction,
        metrics=metrics,
    )
