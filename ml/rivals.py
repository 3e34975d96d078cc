"""The new model beside the one in force, on windows that neither had learned from.

A window after a cutoff c is fair to the model in force if that was trained as of c or before. The
challenger itself is fresher than most such windows: there its stand-in is tried, trained as of c
by the same code, parameters and seed, as it would have been on that day.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from ml import evaluation, features
from ml.arrays import DAY, F64, I32
from ml.artifact import Artifact
from ml.bootstrap import Bootstrap, interval
from ml.errors import TooLittleHistory
from ml.evaluation import Metrics
from ml.facts import Facts
from ml.samples import Past, Plan
from ml.scoring import score
from ml.training import train_on

_WINDOWS: Final = 4
_APART_DAYS: Final = 15
_FEWEST_MEMBERS: Final = 30
_MOST_MEMBERS: Final = 20_000
_DRAWS: Final = 1_000
_BETTER: Final = {"roc_auc": 1, "pr_auc": 1, "brier": -1}
"""Figures whose gains are given, and the sign that makes a better one positive."""

Say = Callable[[Past, Artifact, int, I32, int], F64]
"""What a model says of members of a past at a cutoff, by so many threads."""


def _say(past: Past, model: Artifact, cutoff: int, members: I32, threads: int) -> F64:
    return score(
        model, past.facts, as_of=cutoff, members=members, reasons_for=0, threads=threads
    ).probability


@dataclass(frozen=True, eq=False)
class Window:
    """One cutoff: who was at stake, what happened, and what either model had said."""

    cutoff: int
    members: I32
    outcome: F64
    champion: F64
    challenger: F64
    stand_in: bool


def windows(facts: Facts, *, champion: Artifact, challenger: Artifact, as_of: int) -> list[int]:
    """Cutoffs, the latest first, that closed by `as_of` and that the champion knows nothing of.

    At most four, 15 days apart; none while the champion is younger than the horizon, or where
    the two models do not predict the same.
    """
    return _windows(Past(facts, _plan(challenger)), champion, challenger, as_of)


def _plan(model: Artifact) -> Plan:
    about = model.about
    return Plan(horizon_days=about.horizon_days, active_days=about.active_days, seed=about.seed)


def _windows(past: Past, champion: Artifact, challenger: Artifact, as_of: int) -> list[int]:
    ours, theirs = challenger.about, champion.about
    if (ours.horizon_days, ours.active_days) != (theirs.horizon_days, theirs.active_days):
        return []
    latest = as_of - ours.horizon_days * DAY
    grid = [latest - step * _APART_DAYS * DAY for step in range(_WINDOWS)]
    return [cutoff for cutoff in grid if cutoff >= theirs.as_of and _is_fair(past, cutoff)]


def _is_fair(past: Past, cutoff: int) -> bool:
    return len(past.members(cutoff)) >= _FEWEST_MEMBERS and 0 < past.rate(cutoff) < 1


def compare(
    facts: Facts,
    *,
    champion: Artifact,
    challenger: Artifact,
    as_of: int,
    threads: int = 1,
    seed: int = 0,
) -> dict[str, Any] | None:
    """Evidence as plain values: windows, mean figures of both, and paired gains with intervals.

    A gain is positive where the challenger is better, and its 95% interval is that of a bootstrap
    over members, the same draws for both models. Of very many members 20,000 a window are tried.
    None when there is no window to compare on.
    """
    past = Past(facts.before(as_of), _plan(challenger))
    return compare_on(
        past, champion=champion, challenger=challenger, as_of=as_of, threads=threads, seed=seed
    )


def compare_on(
    past: Past,
    *,
    champion: Artifact,
    challenger: Artifact,
    as_of: int,
    threads: int = 1,
    seed: int = 0,
    say: Say = _say,
) -> dict[str, Any] | None:
    """`compare` on the challenger's past, which the stand-ins share."""
    tried: list[Window] = []
    for cutoff in _windows(past, champion, challenger, as_of):
        window = _try(past, cutoff, champion, challenger, threads, seed, say)
        if window is not None:
            tried.append(window)
    if not tried:
        return None
    return {
        "as_of": as_of,
        "windows": [_told(window) for window in tried],
        "champion": _mean([_figures(one.outcome, one.champion) for one in tried]),
        "challenger": _mean([_figures(one.outcome, one.challenger) for one in tried]),
        "gain": _gains(tried, seed),
        "draws": _DRAWS,
        "seed": seed,
    }


def _try(
    past: Past,
    cutoff: int,
    champion: Artifact,
    challenger: Artifact,
    threads: int,
    seed: int,
    say: Say,
) -> Window | None:
    stand_in = challenger
    if cutoff < challenger.about.as_of:
        try:
            stand_in = train_on(past, as_of=cutoff, threads=threads)
        except TooLittleHistory:
            return None
    members = features.draw(past.members(cutoff), _MOST_MEMBERS, seed)
    outcome = past.outcomes(cutoff, past.plan.horizon_days, members)
    old, new = (say(past, model, cutoff, members, threads) for model in (champion, stand_in))
    return Window(cutoff, members, outcome, old, new, stand_in is not challenger)


def _told(window: Window) -> dict[str, Any]:
    return {
        "cutoff": window.cutoff,
        "members": len(window.members),
        "base_rate": float(window.outcome.mean()),
        "stand_in": window.stand_in,
        "champion": _figures(window.outcome, window.champion),
        "challenger": _figures(window.outcome, window.challenger),
    }


def _figures(outcome: F64, probability: F64) -> dict[str, float]:
    metrics: Metrics = evaluation.measure(outcome, probability)
    return {name: float(value) for name, value in asdict(metrics).items() if name != "members"}


def _mean(figures: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in figures])) for name in figures[0]}


def _gains(tried: list[Window], seed: int) -> dict[str, dict[str, float]]:
    everybody = np.unique(np.concatenate([one.members for one in tried]))
    draws = Bootstrap(everybody, draws=_DRAWS, seed=seed)
    drawn = [
        (
            draws.figures(one.members, one.outcome, one.champion),
            draws.figures(one.members, one.outcome, one.challenger),
        )
        for one in tried
    ]
    means = [
        (_figures(one.outcome, one.champion), _figures(one.outcome, one.challenger))
        for one in tried
    ]
    answer: dict[str, dict[str, float]] = {}
    for name, sign in _BETTER.items():
        value = sign * float(np.mean([new[name] - old[name] for old, new in means]))
        each = sign * np.mean([new[name] - old[name] for old, new in drawn], axis=0)
        found = interval(value, each)
        answer[name] = {"mean": found.value, "low": found.low, "high": found.high}
    return answer
