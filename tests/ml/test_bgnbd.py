import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta, gamma

from ml.bgnbd import BgNbd, Counts, alive, fit, log_likelihood, silent

MODEL = BgNbd(r=0.7, alpha=40.0, a=0.4, b=2.5)
CASES = [(0, 0.0, 30.0), (0, 0.0, 300.0), (1, 12.0, 200.0), (4, 90.0, 100.0), (9, 200.0, 360.0)]


def one(x: int, last: float, age: float) -> Counts:
    return Counts(np.array([float(x)]), np.array([last]), np.array([age]))


def over_rates(weigh, horizon: float) -> float:
    """Integral over the order rate; the drop-out chance is integrated inside."""
    density = gamma(MODEL.r, scale=1 / MODEL.alpha).pdf
    return quad(lambda rate: density(rate) * weigh(rate), 0, np.inf, epsabs=0, limit=300)[0]


def parts(x: int, last: float, age: float, wait: float) -> tuple[float, float]:
    """By brute force: likelihood of (active and silent for `wait` more days, already gone)."""
    chance = beta(MODEL.a, MODEL.b)
    stays = quad(lambda p: chance.pdf(p) * (1 - p) ** x, 0, 1)[0]
    active = stays * over_rates(lambda rate: rate**x * np.exp(-rate * (age + wait)), wait)
    if x == 0:
        return active, 0.0
    leaves = quad(lambda p: chance.pdf(p) * p * (1 - p) ** (x - 1), 0, 1)[0]
    return active, leaves * over_rates(lambda rate: rate**x * np.exp(-rate * last), wait)


@pytest.mark.parametrize(("x", "last", "age"), CASES)
def test_likelihood_equals_the_integral_over_rates_and_drop_out(x: int, last: float, age: float):
    expected = sum(parts(x, last, age, 0))
    assert np.exp(log_likelihood(MODEL, one(x, last, age))[0]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("x", "last", "age"), CASES)
def test_chances_of_silence_and_activity_equal_the_integrals(x: int, last: float, age: float):
    active, gone = parts(x, last, age, 0)
    waiting, _ = parts(x, last, age, 45)
    assert alive(MODEL, one(x, last, age))[0] == pytest.approx(active / (active + gone), rel=1e-4)
    expected = (waiting + gone) / (active + gone)
    assert silent(MODEL, one(x, last, age), 45)[0] == pytest.approx(expected, rel=1e-4)


def simulated(members: int) -> Counts:
    """Members who live by the model itself, watched for a year."""
    random = np.random.default_rng(5)
    rates = random.gamma(MODEL.r, 1 / MODEL.alpha, members)
    leaving = random.beta(MODEL.a, MODEL.b, members)
    x, last = np.zeros(members), np.zeros(members)
    for member in range(members):
        at = random.exponential(1 / rates[member])
        while at < 365:
            x[member], last[member] = x[member] + 1, at
            if random.uniform() < leaving[member]:
                break
            at += random.exponential(1 / rates[member])
    return Counts(x, last, np.full(members, 365.0))


def test_fit_recovers_what_it_was_simulated_from():
    seen = simulated(6000)
    found = fit(seen)
    assert found.r == pytest.approx(MODEL.r, rel=0.15)
    assert found.alpha == pytest.approx(MODEL.alpha, rel=0.2)
    assert found.a / (found.a + found.b) == pytest.approx(MODEL.a / (MODEL.a + MODEL.b), rel=0.2)
    assert log_likelihood(found, seen).sum() >= log_likelihood(MODEL, seen).sum() - 1.0


def test_fit_stays_finite_where_everybody_bought_once():
    found = fit(Counts(np.zeros(50), np.zeros(50), np.linspace(1, 90, 50)))
    assert np.isfinite([found.r, found.alpha, found.a, found.b]).all()
    chance = silent(found, one(0, 0, 60), 45)[0]
    assert 0.5 < chance <= 1
