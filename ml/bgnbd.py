"""BG/NBD: how likely is a member to order again, from frequency, recency and age alone.

Fader, Hardie & Lee (2005), "Counting Your Customers" the Easy Way: An Alternative to the
Pareto/NBD Model, Marketing Science 24(2). While active a member orders at a Poisson rate
drawn from Gamma(r, alpha); after each order they leave with a probability drawn from Beta(a, b).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln, digamma, gammaln

from ml.arrays import F64, Numbers
from ml.history import Days

_PENALTY: Final = 1e-3
_REACH: Final = 12.0


@dataclass(frozen=True)
class BgNbd:
    """The four parameters; time is in days."""

    r: float
    alpha: float
    a: float
    b: float


@dataclass(frozen=True, eq=False)
class Counts:
    """Per member: repeat order-days `x`, day of the last one `last`, days under watch `age`.

    `last` and `age` count from the member's first order; a member with one order has x = 0 and
    last = 0.
    """

    x: F64
    last: F64
    age: F64


def counts(days: Days) -> Counts:
    """What BG/NBD knows of each member; every member needs at least one order-day."""
    first, end = days.start[:-1], days.start[1:] - 1
    return Counts(
        x=(end - first).astype(np.float64),
        last=(days.day[end] - days.day[first]).astype(np.float64),
        age=(days.today - days.day[first]).astype(np.float64),
    )


def log_likelihood(model: BgNbd, seen: Counts) -> F64:
    """Log-likelihood of each member's counts (equation 6 of the paper, in logarithms)."""
    r, alpha, a, b = model.r, model.alpha, model.a, model.b
    x, last, age = seen.x, seen.last, seen.age
    common = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    active = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + age)
    repeat = np.maximum(x, 1)
    left = betaln(a + 1, b + repeat - 1) - betaln(a, b) - (r + x) * np.log(alpha + last)
    return common + np.where(x > 0, np.logaddexp(active, left), active)


def fit(seen: Counts) -> BgNbd:
    """Parameters of greatest likelihood.

    A weak pull on the logarithms of the parameters keeps the search finite where the data say
    nothing (all members bought once, say).
    """
    scale = max(float(np.mean(seen.age)), 1.0)
    unique, weight = np.unique(np.stack([seen.x, seen.last, seen.age]), axis=1, return_counts=True)
    seen = Counts(unique[0], unique[1] / scale, unique[2] / scale)
    share: F64 = weight / weight.sum()

    def loss(theta: F64) -> tuple[float, F64]:
        model = BgNbd(*(float(value) for value in np.exp(theta)))
        value = -(share * log_likelihood(model, seen)).sum() + _PENALTY * (theta**2).sum()
        slope = -(_slopes(model, seen) @ share) * np.exp(theta) + 2 * _PENALTY * theta
        return float(value), slope

    start, bounds = np.log([0.5, 0.3, 0.8, 2.5]), [(-_REACH, _REACH)] * 4
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    r, alpha, a, b = (float(value) for value in np.exp(found.x))
    return BgNbd(r, alpha * scale, a, b)


def _slopes(model: BgNbd, seen: Counts) -> F64:
    """Derivatives of each member's log-likelihood [4, members] by r, alpha, a, b."""
    r, alpha, a, b = model.r, model.alpha, model.a, model.b
    x, shape = seen.x, r + seen.x
    left = 1 - alive(model, seen)
    watched, ordered = alpha + seen.age, alpha + seen.last
    common = digamma(a + b) - digamma(a + b + x)
    by_r = digamma(shape) - digamma(r) + np.log(alpha)
    by_r -= (1 - left) * np.log(watched) + left * np.log(ordered)
    by_alpha = r / alpha - shape * ((1 - left) / watched + left / ordered)
    by_b = common + digamma(b + x) - digamma(b) - left / np.maximum(b + x - 1, 1e-9)
    return np.stack([by_r, by_alpha, common + left / a, by_b])


def alive(model: BgNbd, seen: Counts) -> F64:
    """P(still active) given the counts; 1 for members with a single order, as the model has it."""
    shape = model.r + seen.x
    odds = (model.a / np.maximum(model.b + seen.x - 1, 1e-9)) * np.exp(
        np.minimum(shape * np.log((model.alpha + seen.age) / (model.alpha + seen.last)), 700)
    )
    return np.where(seen.x > 0, 1 / (1 + odds), 1.0)


def silent(model: BgNbd, seen: Counts, horizon_days: float | F64) -> F64:
    """P(no order in the next `horizon_days` days: those of everybody, or one number a member).

    Given activity, the rate is Gamma(r + x, alpha + age), so no order comes with probability
    ((alpha + age) / (alpha + age + H)) ** (r + x); those who left never order.
    """
    rest: Numbers = np.log((model.alpha + seen.age) / (model.alpha + seen.age + horizon_days))
    return 1 - alive(model, seen) * -np.expm1((model.r + seen.x) * rest)
