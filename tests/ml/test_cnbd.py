from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import factorial, gammaln
from scipy.stats import beta, gamma

from ml import bgnbd
from ml.arrays import DAY, F64
from ml.cnbd import Cnbd, Rhythms, alive, fit, log_likelihood, rhythms, silent
from ml.facts import Facts
from ml.history import fold
from tests.ml.small_shop import START

MODELS = [Cnbd(k, r=0.9, alpha=30.0, a=0.5, b=3.0) for k in (1, 2, 3, 4)]
CASES = [
    ([], 30.0),
    ([], 300.0),
    ([12.0], 200.0),
    ([20.0, 22.0, 18.0, 30.0], 100.0),
    ([10.0] * 9, 92.0),
]


def one(gaps: list[float], age: float) -> Rhythms:
    return Rhythms(
        x=np.array([float(len(gaps))]),
        last=np.array([sum(gaps)]),
        age=np.array([age]),
        log_gaps=np.array([sum(np.log(gaps))]),
    )


def quiet(k: int, rate: float, days: float) -> float:
    """P(an Erlang(k, rate) wait is longer than so many days), step by step."""
    return sum(np.exp(-rate * days) * (rate * days) ** j / factorial(j) for j in range(k))


def parts(model: Cnbd, gaps: list[float], age: float, wait: float) -> tuple[float, float]:
    """By brute force: likelihood of (active and silent for `wait` more days, already gone)."""
    chance = beta(model.a, model.b)
    density = gamma(model.r, scale=1 / model.alpha).pdf
    x, last = len(gaps), sum(gaps)

    def orders(rate: float) -> float:
        steps = [
            rate**model.k * gap ** (model.k - 1) * np.exp(-rate * gap) / np.exp(gammaln(model.k))
            for gap in gaps
        ]
        return density(rate) * float(np.prod(steps))

    def over(weigh) -> float:
        pieces = [0, 0.01, 0.1, 1, np.inf]
        ends = pairwise(pieces)
        return sum(quad(weigh, a, b, epsabs=0, epsrel=1e-8, limit=300)[0] for a, b in ends)

    stays = quad(lambda p: chance.pdf(p) * (1 - p) ** (x + 1), 0, 1)[0]
    leaves = quad(lambda p: chance.pdf(p) * p * (1 - p) ** x, 0, 1)[0]
    active = stays * over(lambda rate: orders(rate) * quiet(model.k, rate, age - last + wait))
    return active, leaves * over(orders)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"k={model.k}")
@pytest.mark.parametrize(("gaps", "age"), CASES)
def test_likelihood_and_chances_equal_the_integrals(model: Cnbd, gaps: list[float], age: float):
    active, gone = parts(model, gaps, age, 0)
    waiting, _ = parts(model, gaps, age, 45)
    seen = one(gaps, age)
    assert np.exp(log_likelihood(model, seen)[0]) == pytest.approx(active + gone, rel=1e-4)
    assert alive(model, seen)[0] == pytest.approx(active / (active + gone), rel=1e-4)
    assert silent(model, seen, 45)[0] == pytest.approx((waiting + gone) / (active + gone), rel=1e-4)


def simulated(model: Cnbd, members: int, days: float = 365.0) -> tuple[Rhythms, F64]:
    """Members who live by the model itself, and who ordered in the 45 days after."""
    random = np.random.default_rng(5)
    rows: list[tuple[float, float, float]] = []
    later = np.zeros(members)
    for member in range(members):
        rate = random.gamma(model.r, 1 / model.alpha)
        leaving = random.beta(model.a, model.b)
        gaps: list[float] = []
        at = 0.0
        while random.uniform() >= leaving:
            gap = random.gamma(model.k, 1 / rate)
            at += gap
            if at >= days:
                later[member] = at < days + 45
                break
            gaps.append(gap)
        rows.append((float(len(gaps)), sum(gaps), sum(np.log(gaps))))
    x, last, logs = np.array(rows).T
    return Rhythms(x, last, np.full(members, days), logs), later


@pytest.mark.parametrize("k", [1, 3])
def test_fit_recovers_what_it_was_simulated_from(k: int):
    truth = Cnbd(k, r=1.2, alpha=30.0, a=0.5, b=3.0)
    seen, later = simulated(truth, 4000)
    found = fit(seen)
    assert found.k == k
    assert found.r == pytest.approx(truth.r, rel=0.2)
    assert found.alpha == pytest.approx(truth.alpha, rel=0.2)
    assert found.a / (found.a + found.b) == pytest.approx(1 / 7, rel=0.25)
    assert log_likelihood(found, seen).sum() >= log_likelihood(truth, seen).sum() - 1
    assert silent(found, seen, 45).mean() == pytest.approx(1 - later.mean(), abs=0.015)


def test_a_missed_beat_says_more_of_steady_members_than_bgnbd_believes():
    history = simulated(Cnbd(3, r=1.2, alpha=30.0, a=0.5, b=3.0), 3000)[0]
    steady = fit(history)
    chance = bgnbd.fit(bgnbd.Counts(history.x, history.last, history.age))
    missed = one([10.0] * 6, 100.0)
    counts = bgnbd.Counts(missed.x, missed.last, missed.age)
    assert silent(steady, missed, 45)[0] - bgnbd.silent(chance, counts, 45)[0] > 0.1
    fresh = one([10.0] * 6, 62.0)
    assert alive(steady, fresh)[0] > 0.9 > alive(steady, missed)[0] + 0.3


def test_silence_grows_shorter_with_the_horizon_and_stays_a_probability():
    seen = simulated(MODELS[1], 500)[0]
    for model in MODELS:
        chances = [silent(model, seen, days) for days in (0, 30, 45, 90, 3650)]
        assert np.allclose(chances[0], 1)
        assert all((a >= b).all() for a, b in pairwise(chances))
        assert all(((p > 0) & (p <= 1 + 1e-12)).all() for p in chances)


@pytest.mark.parametrize(
    "seen",
    [
        Rhythms(np.zeros(50), np.zeros(50), np.linspace(1, 90, 50), np.zeros(50)),
        Rhythms(np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1)),
        Rhythms(np.full(40, 300.0), np.full(40, 300.0), np.full(40, 300.0), np.zeros(40)),
        Rhythms(np.full(40, 9.0), np.full(40, 63.0), np.full(40, 63.0), np.full(40, 9 * np.log(7))),
    ],
    ids=["bought once", "today", "every day", "every week"],
)
def test_fit_stays_finite_where_the_data_say_little(seen: Rhythms):
    found = fit(seen)
    assert np.isfinite([found.r, found.alpha, found.a, found.b]).all()
    assert 1 <= found.k <= 4
    chances = silent(found, seen, 45)
    assert np.isfinite(chances).all()
    assert (chances >= 0).all()


def test_rhythms_of_orders_by_day():
    at = START + np.array([3, 3, 10, 40, 5, 99]) * DAY + 3600
    facts = Facts(
        member_ids=[0, 1, 2],
        order_member=np.array([0, 0, 0, 0, 2, 2]),
        order_at=at,
        order_fen=np.full(6, 100),
    )
    days = fold(facts, START + 60 * DAY, np.array([0, 2]))
    seen = rhythms(days)
    assert seen.x.tolist() == [2, 0]
    assert seen.last.tolist() == [37, 0]
    assert seen.age.tolist() == [57, 55]
    assert seen.log_gaps == pytest.approx([np.log(7) + np.log(30), 0])
    assert seen.x.tolist() == bgnbd.counts(days).x.tolist()
