"""A no is told in the person's language, down to the words for states."""

import ast
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import pytest

from app import campaigns, coupons, drops, gifts, playbooks
from app.kernel.errors import Refusal

ROOT = Path(__file__).parents[1]
ENGLISH = re.compile(r"[A-Za-z]{2,}")
STATES: list[tuple[type[Refusal], type[StrEnum]]] = [
    (coupons.BatchNotActive, coupons.BatchState),
    (coupons.BatchMoveNotAllowed, coupons.BatchState),
    (coupons.CouponNotUsable, coupons.CouponState),
    (drops.DropNotScheduled, drops.DropState),
    (drops.DropNotOpen, drops.DropState),
    (drops.DropNotCancellable, drops.DropState),
    (gifts.PackNotOpen, gifts.PackState),
    (gifts.PackNotOpen, coupons.BatchState),
    (gifts.PackMoveNotAllowed, gifts.PackState),
    (gifts.HoldNotUsable, gifts.HoldState),
    (campaigns.CampaignMoveNotAllowed, campaigns.CampaignState),
    (playbooks.PlaybookMoveNotAllowed, playbooks.PlaybookState),
]


@pytest.mark.parametrize(("refusal", "states"), STATES)
def test_states_have_chinese_words(refusal: type[Refusal], states: type[StrEnum]) -> None:
    for state in states:
        told = refusal(state=state, to=state).message("zh-CN")
        assert not ENGLISH.search(told), told
        assert state.value in refusal(state=state, to=state).message("en")


def test_every_refusal_that_tells_a_state_is_looked_at_here() -> None:
    telling = {each for each in _all(Refusal) if "{state}" in each.zh}
    assert telling == {refusal for refusal, _ in STATES}


def test_reasons_of_what_is_not_acceptable_are_chinese_too() -> None:
    said: list[str] = []
    for path in [*ROOT.glob("app/**/*.py"), *ROOT.glob("schema/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "InvalidInput":
                told = {word.arg: word.value for word in node.keywords}["reason_zh"]
                if isinstance(told, ast.Constant):
                    said.append(str(told.value))
    assert len(said) > 50
    assert [text for text in said if not re.search(r"[一-鿿]", text) and ENGLISH.search(text)] == []


def _all(kind: type[Refusal]) -> Iterator[type[Refusal]]:
    for each in kind.__subclasses__():
        yield from _all(each)
        if hasattr(each, "zh"):
            yield each
