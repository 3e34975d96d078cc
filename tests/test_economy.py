"""The worked examples of docs/economy.md are true of the functions that the product uses."""

import doctest
from pathlib import Path

ECONOMY = Path(__file__).parents[1] / "docs" / "economy.md"


def test_the_examples_are_true() -> None:
    found = doctest.testfile(str(ECONOMY), module_relative=False, encoding="utf-8")
    assert found.attempted > 100
    assert found.failed == 0
