"""The worked examples of the documents are true of the functions that the product uses."""

import doctest
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize(("name", "least"), [("economy.md", 100), ("churn.md", 4)])
def test_every_example_says_what_the_product_does(name: str, least: int) -> None:
    found = doctest.testfile(str(DOCS / name), module_relative=False, encoding="utf-8")
    assert found.attempted >= least, "the examples are no longer found"
    assert not found.failed, "see above"
