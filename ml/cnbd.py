"""MBG/CNBD-k: order expectations that know how regular members are.

Platzer & Reutterer (2016), "Ticking Away the Moments: Timing Regularity Helps to Better Predict
Customer Activity", Marketing Science 35(5); Reutterer, Platzer & Schröder (2021), "Leveraging
purchase regularity for predicting customer behavior the easy way", International Journal of
Research in Marketing 38(1). While active, the times between a member's orders follow
Erlang(k, rate), the rate drawn from Gamma(r, alpha); after each order, the first one included,
they leave with a probability drawn from Beta(a, b). With k = 1 orders come at random (MBG/NBD);
the larger k, the steadier the rhythm.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln, digamma, gammaln

from ml.arrays import F64
from ml.history import Days

REGULARITIES: Final = (1, 2, 3, 4)
"""The values of k that are tried."""

_PENALTY: Final = 1e-3
_PULL: Final = 0.5
_REACH: Final = 12.0
_START: Final = (0.5, 0.3, 0.8, 2.5)


@dataclass(frozen=True)
class Cnbd:
    """The regularity k and the four other parameters; time is in days."""

    k: int
    r: float
    alpha: float
    a: float
    b: float


@dataclass(frozen=True, eq=False)
class Rhythms:
    """Per member: repeat order-days `x`, the day of the last one, days under watch, and rhythm.

    `last` and `age` count from the member's first order; `log_gaps` is the sum of the logarithms
    of the days between orders, which tells steady members from others.
    """

    x: F64
    last: F64
    age: F64
    log_gaps: F64


def rhythms(days: Days) -> Rhythms:
    """What the model knows of each member; every member needs at least one order-day."""
    first, end = days.start[:-1], days.start[1:] - 1
    gap = np.ones(len(days.day), dtype=np.float64)
    gap[1:] = np.maximum(np.diff(days.day), 1)
    gap[first] = 1.0
    return Rhythms(
        x=(end - first).astype(np.float64),
        last=(days.day[end] - days.day[first]).astype(np.float64),
        age=(days.today - days.day[first]).astype(np.float64),
        log_gaps=np.add.reduceat(np.log(gap), first) if len(first) else np.zeros(0),
    )


def log_likelihood(model: Cnbd, seen: Rhythms) -> F64:
    """Log-likelihood of each member's orders, their timing included."""
    timing = (model.k - 1) * seen.log_gaps - seen.x * gammaln(model.k)
    return timing + np.logaddexp(_left(model, seen), _active(model, seen, 0.0))


def alive(model: Cnbd, seen: Rhythms) -> F64:
    """P(still active) given the orders so far."""
    left, active = _left(model, seen), _active(model, seen, 0.0)
    return np.exp(active - np.logaddexp(left, active))


def silent(model: Cnbd, seen: Rhythms, horizon_days: float | F64) -> F64:
    """P(no order in the next `horizon_days` days): gone already, or the next one comes later.

    The days are those of everybody, or one number a member.
    """
    left = _left(model, seen)
    known = np.logaddexp(left, _active(model, seen, 0.0))
    return np.exp(np.logaddexp(left, _active(model, seen, horizon_days)) - known)


def fit(seen: Rhythms) -> Cnbd:
    """Parameters of greatest likelihood over the regularities.

    A weak pull on the logarithms of the parameters keeps the search finite where the data say
    nothing; it weighs as much as half a member, less among few. Members of equal history are
    counted once, with their number as weight. The likelihood rises to one k and falls after it,
    so a worse k ends the search.
    """
    scale = max(float(np.mean(seen.age)), 1.0)
    columns = np.stack([seen.x, seen.last, seen.age])
    unique, number = np.unique(columns, axis=1, return_counts=True)
    x, last, age = unique
    scaled = Rhythms(x, last / scale, age / scale, np.zeros(len(x)))
    share: F64 = number / number.sum()
    pull = min(_PENALTY, _PULL / float(number.sum()))
    # The timing of orders tells one k from another, but moves no other parameter.
    often = float(seen.x.mean())
    rhythm = float(seen.log_gaps.mean()) - often * np.log(scale)
    start = np.log(_START)
    best, least = Cnbd(1, *_START), np.inf
    for k in REGULARITIES:
        start, loss = _search(k, scaled, share, pull, start)
        loss -= (k - 1) * rhythm - often * float(gammaln(k))
        if loss >= least:
            break
        r, alpha, a, b = (float(value) for value in np.exp(start))
        best, least = Cnbd(k, r, alpha * scale, a, b), loss
    return best


def _search(k: int, seen: Rhythms, share: F64, pull: float, start: F64) -> tuple[F64, float]:
    """The best logarithms of the four parameters for one k, and the mean loss without timing."""

    def loss(theta: F64) -> tuple[float, F64]:
        model = Cnbd(k, *(float(value) for value in np.exp(theta)))
        each, slope = _slopes(model, seen)
        value = -(share * each).sum() + pull * (theta**2).sum()
        return float(value), -(slope @ share) * np.exp(theta) + 2 * pull * theta

    bounds = [(-_REACH, _REACH)] * 4
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-8}
    )
    return np.asarray(found.x, dtype=np.float64), float(found.fun)


def _slopes(model: Cnbd, seen: Rhythms) -> tuple[F64, F64]:
    """Log-likelihood without timing, and its derivatives [4, members] by r, alpha, a, b."""
    r, alpha, a, b = model.r, model.alpha, model.a, model.b
    shape = r + model.k * seen.x
    left, steps = _left(model, seen), _steps(model, seen, 0.0)
    stays = _staying(model, seen) + np.logaddexp.reduce(steps, axis=0)
    each = np.logaddexp(left, stays)
    gone = np.exp(left - each)
    weight = np.exp(steps - np.logaddexp.reduce(steps, axis=0))
    later = shape + np.arange(model.k)[:, None]
    by_r = (
        np.log(alpha)
        - digamma(r)
        + gone * (digamma(shape) - np.log(alpha + seen.last))
        + (1 - gone) * ((weight * digamma(later)).sum(axis=0) - np.log(alpha + seen.age))
    )
    by_alpha = (
        r / alpha
        - gone * shape / (alpha + seen.last)
        - (1 - gone) * (weight * later).sum(axis=0) / (alpha + seen.age)
    )
    common = digamma(a + b) - digamma(a + b + seen.x + 1)
    by_a = common + gone / a
    by_b = common - digamma(b) + digamma(b + seen.x) + (1 - gone) / (b + seen.x)
    return each, np.stack([by_r, by_alpha, by_a, by_b])


def _left(model: Cnbd, seen: Rhythms) -> F64:
    """Log of the likelihood of the orders and of having left with the last (timing left out)."""
    shape = model.r + model.k * seen.x
    leaving = betaln(model.a + 1, model.b + seen.x) - betaln(model.a, model.b)
    return leaving + _scale(model) + gammaln(shape) - shape * np.log(model.alpha + seen.last)


def _active(model: Cnbd, seen: Rhythms, wait: float | F64) -> F64:
    """Log of the likelihood of the orders, of staying, and of none until `wait` days from now."""
    return _staying(model, seen) + np.logaddexp.reduce(_steps(model, seen, wait), axis=0)


def _staying(model: Cnbd, seen: Rhythms) -> F64:
    return betaln(model.a, model.b + seen.x + 1) - betaln(model.a, model.b)


def _steps(model: Cnbd, seen: Rhythms, wait: float | F64) -> F64:
    """Log-likelihood of the orders and of 0, 1, .. k - 1 unseen steps since the last [k, n]."""
    shape = model.r + model.k * seen.x
    quiet = np.log(np.maximum(seen.age + wait - seen.last, 1e-12))
    rest = np.log(model.alpha + seen.age + wait)
    steps = [
        step * (quiet - rest) - gammaln(step + 1) + gammaln(shape + step) - shape * rest
        for step in range(model.k)
    ]
    return _scale(model) + np.stack(steps)


def _scale(model: Cnbd) -> float:
    return float(model.r * np.log(model.alpha) - gammaln(model.r))
