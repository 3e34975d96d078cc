"""What models would have been worth: the same past cutoffs for the product and the baselines."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import numpy as np

from ml import aft, evaluation, lead
from ml.aft import Timing
from ml.arrays import DAY, F64, I32
from ml.bootstrap import DRAWS, FIGURES, Bootstrap, Interval, interval
from ml.contenders import BASELINES, MODELS, Contenders
from ml.errors import TooLittleHistory
from ml.evaluation import Gain, Metrics
from ml.facts import Facts
from ml.features import Matrix, draw
from ml.history import fold
from ml.lead import LeadReport
from ml.samples import Past, Plan
from ml.silences import WEEK, Silences, weeks_of

_CUTOFFS: Final = 4
_APART: Final = 45
# Days of orders that a window to learn from has to have before it.
_FEWEST_BEFORE: Final = 30
# Weeks before the first cutoff are scored only so that some silences have ended by then. Their
# models are trained as far apart as cutoffs commonly are, so that trials are shared.
_BEFORE: Final = 3
_WEEKS_BEFORE: Final = 18
_MOST_FOLLOWED: Final = 20_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Test:
    """One cutoff: who was at stake, what happened, and what each model had said."""

    __test__ = False  # the word is the domain's; pytest must not collect it

    cutoff: int
    members: I32
    outcome: F64
    probability: dict[str, F64]
    metrics: dict[str, Metrics]
    intervals: dict[str, dict[str, Interval]]
    choice: str
    correction: str
    trained_on: tuple[int, ...]
    timing: dict[str, Timing]


@dataclass(frozen=True, eq=False)
class Report:
    """All cutoffs, the mean figures of each model, and the product's gain in ROC AUC.

    `gains` is over each other model and `gain` over the best baseline, paired: the same draws of
    members for both. `timing` is how well the days until the next order were told.
    """

    horizon_days: int
    active_days: int
    draws: int
    tests: list[Test]
    mean: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, Interval]]
    best_baseline: str
    gain: Gain
    gains: dict[str, Gain]
    lead: LeadReport | None = None
    timing: dict[str, Timing] = field(default_factory=dict[str, Timing])


def default_cutoffs(facts: Facts, horizon_days: int) -> list[int]:
    """Up to four cutoffs 45 days apart, the last so that its window closes with the data.

    The data end at the beginning of the day of the last order, since that day may be incomplete.
    Only cutoffs with a closed training window before them are given, the earliest first.
    """
    if not len(facts.order_at):
        return []
    offset = facts.utc_offset
    end = (int(facts.order_at.max()) + offset) // DAY * DAY - offset
    grid = [end - (horizon_days + k * _APART) * DAY for k in range(_CUTOFFS)]
    past = Past(facts, Plan(horizon_days=horizon_days))
    return [cutoff for cutoff in reversed(grid) if past.cutoffs(cutoff)]


def backtest(
    facts: Facts,
    *,
    horizon_days: int = 45,
    active_days: int = 180,
    cutoffs: list[int] | None = None,
    draws: int = DRAWS,
    weekly: bool = True,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Train and test every model at each cutoff as if nothing after it were known.

    `draws` of members are made for intervals; `weekly` scoring is what lead times need.
    `progress(done, total)` counts trainings. Raises TooLittleHistory when a cutoff cannot be
    tested, ValueError when the window of a given one reaches past the data: members would look
    silent there who are not.
    """
    tested = cutoffs or default_cutoffs(facts, horizon_days)
    past = Past(facts, Plan(horizon_days=horizon_days, active_days=active_days, seed=seed))
    _refuse(past, tested)
    plan = _schedule(past, tested) if weekly else [(cutoff, []) for cutoff in tested]
    silences, followed = Silences(past.facts), _followed(past)
    contenders: dict[int, Contenders] = {}
    for number, (cutoff, weeks) in enumerate(plan):
        contenders[cutoff] = trained = Contenders(past, cutoff, threads)
        for week in weeks:
            members = past.members(week)
            matrix = past.matrix(week, members[np.isin(members, followed)])
            days = fold(past.facts, week, matrix.members)
            said = trained.lasting(matrix, days, silences.silent // DAY)
            silences.score(week, matrix.members.astype(np.int64), said)
        if progress is not None:
            progress(number + 1, len(plan))
    return _report(past, contenders, tested, draws, silences)


def _refuse(past: Past, tested: list[int]) -> None:
    """Say why a test means nothing, and which days can be tested."""
    facts, horizon = past.facts, past.plan.horizon_days
    if not tested:
        raise TooLittleHistory(_why_none(facts, horizon))
    last = int(facts.order_at.max())
    if max(tested) + (horizon - 1) * DAY > last:
        latest = _day(last - (horizon - 1) * DAY)
        raise ValueError(
            f"A window of {horizon} days after the cutoff {_day(max(tested))} ends past the data: "
            f"the latest cutoff that can be tested is {latest}.{_span(facts)}"
        )
    for cutoff in tested:
        if not past.cutoffs(cutoff):
            raise TooLittleHistory(
                f"Nothing can be learned by the cutoff {_day(cutoff)}: no window of {horizon} "
                "days had closed by then with 30 or more customers, some of whom came back and "
                f"some did not, after at least 30 days of orders.{_span(facts)}"
            )
        if not len(past.members(cutoff)):
            raise TooLittleHistory(f"No customer was active at the cutoff {_day(cutoff)}.")


def _why_none(facts: Facts, horizon: int) -> str:
    """Why no day can be tested by default: a short past, or nobody in the last of a long one."""
    order_at = facts.order_at
    days = (int(order_at.max()) - int(order_at.min())) // DAY if len(order_at) else 0
    if days < _FEWEST_BEFORE + 2 * horizon:
        return (
            f"The orders span too few days to train on one closed window of {horizon} days "
            f"and test on the next.{_span(facts)}"
        )
    return (
        f"Nothing can be learned by the last {_CUTOFFS} days that could be tested: no window of "
        f"{horizon} days had closed by then with 30 or more customers, some of whom came back and "
        f"some did not. If the last orders are strays, name earlier days with --cutoffs."
        f"{_span(facts)}"
    )


def _span(facts: Facts) -> str:
    if not len(facts.order_at):
        return ""
    first, last = int(facts.order_at.min()), int(facts.order_at.max())
    customers = len(np.unique(facts.order_member))
    return f" {customers:,} customers' orders run from {_day(first)} to {_day(last)}."


def _day(instant: int) -> str:
    return datetime.fromtimestamp(instant, UTC).date().isoformat()


def _schedule(past: Past, tested: list[int]) -> list[tuple[int, list[int]]]:
    """When to train, and the weeks until the next training, to the end of the data.

    Some weeks before the first cutoff are among them where the past allows.
    """
    first = min(tested)
    earlier = [first - number * _APART * DAY for number in range(_BEFORE, 0, -1)]
    before = [cutoff for cutoff in earlier if past.cutoffs(cutoff)]
    weeks = (first - min(before, default=first)) // WEEK
    start = first - min(weeks, _WEEKS_BEFORE) * WEEK
    return weeks_of([*before, *tested], int(past.facts.order_at.max()), first=start)


def _followed(past: Past) -> I32:
    """Whose weeks are scored: everybody, or a draw of very many."""
    everybody = np.unique(past.facts.order_member).astype(np.int32)
    return draw(everybody, _MOST_FOLLOWED, past.plan.seed)


def _report(
    past: Past,
    contenders: dict[int, Contenders],
    tested: list[int],
    draws: int,
    silences: Silences,
) -> Report:
    plan = past.plan
    everybody = np.unique(np.concatenate([past.members(cutoff) for cutoff in tested]))
    boot = Bootstrap(everybody, draws=draws, seed=plan.seed)
    tests: list[Test] = []
    drawn: list[dict[str, dict[str, F64]]] = []
    for cutoff in tested:
        test, draws_of_it = _test(past, cutoff, contenders[cutoff], boot)
        tests.append(test)
        drawn.append(draws_of_it)
    models = [model for model in MODELS if model in tests[0].metrics]
    mean = {model: _mean([test.metrics[model] for test in tests]) for model in models}
    averaged = {model: _averaged([one[model] for one in drawn]) for model in models}
    gains = {model: _gain(mean, averaged, model) for model in models if model != "product"}
    best = max((m for m in BASELINES if m in mean), key=lambda model: mean[model]["roc_auc"])
    return Report(
        plan.horizon_days,
        plan.active_days,
        draws,
        tests,
        mean,
        {model: _intervals(mean[model], averaged[model]) for model in models},
        best,
        gains[best],
        gains,
        lead.report(silences, since=min(tested), draws=draws, seed=plan.seed),
        _timing([test.timing for test in tests]),
    )


def _test(
    past: Past, cutoff: int, trained: Contenders, boot: Bootstrap
) -> tuple[Test, dict[str, dict[str, F64]]]:
    """How everyone did on the whole population of a cutoff, and in every draw of it."""
    sample = past.whole(cutoff)
    members, outcome = sample.matrix.members, sample.outcome
    said = trained.said(sample.matrix)
    metrics = {model: evaluation.measure(outcome, p) for model, p in said.items()}
    drawn = {model: boot.figures(members, outcome, p) for model, p in said.items()}
    intervals = {model: _intervals(vars(metrics[model]), drawn[model]) for model in said}
    test = Test(
        cutoff,
        members,
        outcome,
        said,
        metrics,
        intervals,
        trained.choice,
        trained.correction,
        trained.trained_on,
        _timed(past, cutoff, sample.matrix, trained),
    )
    return test, drawn


def _timed(past: Past, cutoff: int, matrix: Matrix, trained: Contenders) -> dict[str, Timing]:
    """How well the days until the next order were told, over waits of the horizon at most."""
    within = float(past.plan.horizon_days)
    seen = aft.waited(past.facts, cutoff, cutoff + past.plan.horizon_days * DAY, matrix.members)
    return {who: aft.measure(seen, told, within) for who, told in trained.days(matrix).items()}


def _timing(tests: list[dict[str, Timing]]) -> dict[str, Timing]:
    return {
        who: Timing(
            float(np.mean([one[who].concordance for one in tests])),
            float(np.mean([one[who].error for one in tests])),
            tests[0][who].within,
        )
        for who in tests[0]
    }


def _gain(mean: dict[str, dict[str, float]], drawn: dict[str, dict[str, F64]], other: str) -> Gain:
    told = interval(
        mean["product"]["roc_auc"] - mean[other]["roc_auc"],
        drawn["product"]["roc_auc"] - drawn[other]["roc_auc"],
    )
    return Gain(told.value, told.low, told.high)


def _intervals(value: Mapping[str, float], drawn: dict[str, F64]) -> dict[str, Interval]:
    return {figure: interval(value[figure], drawn[figure]) for figure in FIGURES}


def _averaged(drawn: list[dict[str, F64]]) -> dict[str, F64]:
    return {figure: np.mean([one[figure] for one in drawn], axis=0) for figure in FIGURES}


def _mean(metrics: list[Metrics]) -> dict[str, float]:
    return {figure: float(np.mean([getattr(m, figure) for m in metrics])) for figure in FIGURES}
