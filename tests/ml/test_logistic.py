import numpy as np
from scipy.optimize import minimize

from ml import booster, logistic
from ml.arrays import sigmoid

RANDOM = np.random.default_rng(2)
VALUES = RANDOM.normal(0, 1, (500, 3)).astype(np.float32)
OUTCOME = (RANDOM.uniform(size=500) < sigmoid(1.5 * VALUES[:, 0] - 0.5)).astype(np.float64)


def test_newton_finds_the_minimum_that_a_general_search_finds():
    model = logistic.fit(VALUES, OUTCOME, penalty=10)
    squashed = np.sign(VALUES) * np.log1p(np.abs(VALUES.astype(np.float64)))
    design = np.clip((squashed - squashed.mean(axis=0)) / squashed.std(axis=0), -4, 4)

    def loss(weight: np.ndarray) -> float:
        odds = design @ weight[:3] + weight[3]
        miss = np.logaddexp(0, np.where(OUTCOME > 0, -odds, odds)).sum()
        return float(miss + 5 * (weight[:3] ** 2).sum())

    found = minimize(loss, np.zeros(4)).x
    assert np.allclose([*model.weight, model.intercept], found, atol=1e-3)


def test_unknown_and_constant_columns_do_no_harm():
    values = np.column_stack([VALUES, np.full(500, np.nan), np.full(500, 7)]).astype(np.float32)
    model = logistic.fit(values, OUTCOME)
    plain = logistic.fit(VALUES, OUTCOME)
    assert np.allclose(model.log_odds(values), plain.log_odds(VALUES), atol=1e-6)


def test_trees_come_back_from_bytes_and_contributions_add_up():
    trees = booster.fit(VALUES, OUTCOME)
    odds = trees.log_odds(VALUES)
    again = booster.from_bytes(trees.to_bytes())
    assert again.log_odds(VALUES).tobytes() == odds.tobytes()
    assert np.allclose(trees.contributions(VALUES).sum(axis=1), odds, atol=1e-4)
    assert trees.log_odds(VALUES, threads=1).tobytes() == odds.tobytes()
    assert np.corrcoef(odds, VALUES[:, 0])[0, 1] > 0.7
