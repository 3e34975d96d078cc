"""One trained model for all tests that read it."""

import pytest

from ml.arrays import DAY
from ml.artifact import Artifact
from ml.facts import Facts
from ml.training import train
from tests.ml.small_shop import START, shop

AS_OF = START + 400 * DAY


@pytest.fixture(scope="session")
def facts() -> Facts:
    return shop()


@pytest.fixture(scope="session")
def artifact(facts: Facts) -> Artifact:
    return train(facts, as_of=AS_OF)
