"""Everyone who is compared at a cutoff: the product as deployed, and what it must beat."""

from contextlib import suppress
from typing import Final

import numpy as np

from ml import aft, baselines, bgnbd, cnbd
from ml.arrays import F64, logit, sigmoid
from ml.features import Matrix
from ml.history import Days
from ml.samples import Past
from ml.training import train_on

BASELINES: Final = (
    "logistic_rich",
    "cnbd",
    "bgnbd",
    "logistic",
    "recency_frequency",
    "rfm",
    "recency",
)
"""What the product has to beat, from the richest to the simplest."""

MODELS: Final = ("product", "xgboost", "lightgbm", *BASELINES)
"""The product, its boosted trees alone, LightGBM's where that is installed, and the baselines."""

_RUNGS: Final = {"logistic": "logistic_rich"}
# The rung "logistic_rfm" is not shown: the baseline "logistic" is its like.


class Contenders:
    """Every model as it was trained at one cutoff, on what was known by then."""

    def __init__(self, past: Past, cutoff: int, threads: int) -> None:
        self._threads = threads
        self._artifact = train_on(past, as_of=cutoff, threads=threads)
        self.trained_on = self._artifact.about.cutoffs
        self.choice: str = self._artifact.choice
        self.correction: str = self._artifact.about.correction
        train = [past.at(s) for s in self.trained_on]
        self._others: dict[str, baselines.Said] = {
            "recency_frequency": baselines.recency_frequency(train),
            "logistic": baselines.logistic_rfm(train),
            "rfm": baselines.rfm(train),
            "recency": baselines.recency(train),
        }
        with suppress(ImportError):
            rows = past.rows(list(self.trained_on))
            self._others["lightgbm"] = baselines.lightgbm(rows, seed=past.plan.seed)

    def days(self, matrix: Matrix) -> dict[str, F64]:
        """Days until each row's next order, by the product and by the member's own rhythm."""
        answer = {"own_rhythm": aft.own_rhythm(matrix)}
        waits = self._artifact.waits
        if waits is not None:
            values = matrix.only(self._artifact.models.names)
            answer["product"] = waits.days(values, threads=self._threads)
        return answer

    def lasting(self, matrix: Matrix, seen: Days, silent_days: int) -> dict[str, F64]:
        """The chance of each row that the silence it is in lasts `silent_days`, by every model.

        `seen` are the order-days of the rows' members at the same instant. The product and the
        models of buying are asked for the days that are still to come; the product is also shown
        as its horizon has it ("product_horizon"), and the others can say nothing else.
        """
        artifact, said = self._artifact, self.said(matrix)
        left = np.maximum(silent_days - matrix.column("recency"), 1.0)
        answer = {"product": said["product"], "product_horizon": said["product"]} | said
        if artifact.waits is not None:
            told = artifact.waits.days(matrix.only(artifact.models.names), threads=self._threads)
            horizon = artifact.about.horizon_days
            answer["product"] = sigmoid(aft.lasting(logit(said["product"]), told, horizon, left))
        bought, rhythms = bgnbd.counts(seen), cnbd.rhythms(seen)
        answer["cnbd_lasting"] = cnbd.silent(artifact.purchases.cnbd, rhythms, left)
        answer["bgnbd_lasting"] = bgnbd.silent(artifact.purchases.bgnbd, bought, left)
        return answer

    def said(self, matrix: Matrix) -> dict[str, F64]:
        """The probability of falling silent of each row, by every model of `MODELS` there is."""
        artifact = self._artifact
        odds = artifact.models.log_odds(matrix, threads=self._threads)
        rungs = {_RUNGS.get(rung, rung): sigmoid(value) for rung, value in odds.items()}
        everyone = {
            "product": sigmoid(odds[artifact.choice] + artifact.shift),
            **{name: said(matrix) for name, said in self._others.items()},
        }
        everyone |= {rung: value for rung, value in rungs.items() if rung not in everyone}
        return {model: everyone[model] for model in MODELS if model in everyone}
