"""What every model says of the silence that a member is in."""

import numpy as np
import pytest

from ml.aft import lasting
from ml.arrays import DAY, logit, sigmoid
from ml.bgnbd import counts, silent
from ml.contenders import Contenders
from ml.history import fold
from ml.samples import Past, Plan
from tests.ml.conftest import AS_OF
from tests.ml.small_shop import shop


@pytest.mark.parametrize("silent_days", [90, 60])
def test_each_model_is_asked_for_the_days_that_are_still_to_come(silent_days: int):
    past = Past(shop(members=300, seed=5), Plan())
    trained = Contenders(past, AS_OF - 60 * DAY, 1)
    week = AS_OF - 30 * DAY
    matrix = past.matrix(week)
    days = fold(past.facts, week, matrix.members)
    told, plain = trained.lasting(matrix, days, silent_days), trained.said(matrix)
    assert next(iter(told)) == "product"
    for model, probability in plain.items():
        name = "product_horizon" if model == "product" else model
        assert np.array_equal(told[name], probability), model
    recency = matrix.column("recency")
    left = np.array([max(silent_days - float(gone), 1.0) for gone in recency])
    # One by one, each with days of their own.
    model = past.expectations(AS_OF - 60 * DAY).bgnbd
    seen = counts(days)
    for row in range(0, len(left), 17):
        alone = silent(model, seen, float(left[row]))[row]
        assert told["bgnbd_lasting"][row] == pytest.approx(alone, abs=1e-12)
    waits = trained.days(matrix)["product"]
    carried = lasting(logit(plain["product"]), waits, 45, left)
    assert told["product"] == pytest.approx(sigmoid(carried), abs=1e-12)
    # Whose silence is nearly over is likelier to see its end than the plain probability says.
    late, fresh = left < 20, left > 50
    assert late.any()
    assert fresh.any()
    assert (told["product"] > told["product_horizon"])[late].all()
    assert (told["product"] < told["product_horizon"])[fresh].all()
