"""When drift is an alarm: how far is too far, beyond what chance does, and when it has calmed."""

from dataclasses import dataclass

from app.churn.tables import DriftKind

SCORE_LIMIT = 0.25
"""The population stability index of the score from which it counts as another distribution."""

RATE_LIMIT = 0.10
"""How far the share who fell silent may be from what their scores had promised."""

BRIER_SLACK = 0.02
"""How much worse the Brier score of a closed window may be than that of training's windows."""

CALM = 0.7
"""An alarm ends at or under this share of its limit, so that a figure on the edge tells once."""

ERRORS = 3
"""So many standard errors a figure must lie from what was expected: few members prove little."""

FEWEST_CLOSED = 30
"""Of fewer members even the standard error is a guess."""


@dataclass(frozen=True, slots=True)
class DriftFigure:
    """How far something has moved, and how far it may."""

    kind: DriftKind
    value: float
    limit: float


def score_figure(psi: float | None, chance: float | None) -> DriftFigure | None:
    """The score's index; `chance` is what samples of this size hardly ever pass by chance.

    >>> score_figure(0.3, 0.01), score_figure(0.3, 0.9).limit, score_figure(None, None)
    (DriftFigure(kind=<DriftKind.SCORE: 'SCORE'>, value=0.3, limit=0.25), 0.9, None)
    """
    if psi is None:
        return None
    return DriftFigure(DriftKind.SCORE, psi, max(SCORE_LIMIT, chance or 0.0))


def rate_figure(rate: float, promised: float, error: float) -> DriftFigure:
    """The share who fell silent against the mean of their probabilities.

    >>> rate_figure(0.75, 0.5, 0.01)
    DriftFigure(kind=<DriftKind.BASE_RATE: 'BASE_RATE'>, value=0.25, limit=0.1)
    """
    return DriftFigure(DriftKind.BASE_RATE, abs(rate - promised), max(RATE_LIMIT, ERRORS * error))


def brier_figure(brier: float, at_training: float, error: float) -> DriftFigure:
    """The Brier score of a closed window against that of the held-out windows of training.

    >>> brier_figure(0.15, 0.17, 0.01).value < 0
    True
    """
    return DriftFigure(DriftKind.BRIER, brier - at_training, max(BRIER_SLACK, ERRORS * error))


def is_alarm(figure: DriftFigure, is_open: bool) -> bool:
    """Whether an alarm is open after this figure, given whether one was before.

    >>> [is_alarm(DriftFigure(DriftKind.SCORE, value, 0.25), was) for value, was in
    ...  [(0.2, False), (0.26, False), (0.2, True), (0.17, True)]]
    [False, True, True, False]
    """
    if is_open:
        return figure.value > CALM * figure.limit
    return figure.value > figure.limit
