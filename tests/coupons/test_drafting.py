"""What staff may and may not write into a template."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.coupons import Kind, TemplateDraft, Validity
from app.coupons.drafting import checked_cost, cleaned
from app.kernel.errors import InvalidInput

GOOD = TemplateDraft(
    name="五元券", kind=Kind.FIXED, value=500, validity=Validity.RELATIVE, valid_days=7
)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("name", {"name": "  "}),
        ("value", {"value": 0}),
        ("value", {"kind": Kind.PERCENT, "value": 101, "max_discount_fen": 100}),
        ("maxDiscountFen", {"kind": Kind.PERCENT, "value": 20}),
        ("maxDiscountFen", {"max_discount_fen": 400}),
        ("categories", {"kind": Kind.CATEGORY}),
        ("skus", {"kind": Kind.EXCHANGE_PRICE, "max_discount_fen": 100}),
        ("skus", {"kind": Kind.EXCHANGE_PRICE, "max_discount_fen": 100, "skus": ("a", "b")}),
        ("thresholdFen", {"threshold_fen": -1}),
        ("perMember", {"per_member": 0}),
        ("validDays", {"valid_days": None}),
        ("validDays", {"valid_days": 0}),
        ("waitDays", {"wait_days": -1}),
        ("validityReason", {"valid_days": 6}),
        ("validityReason", {"valid_days": 15, "validity_reason": " "}),
        ("validFrom", {"valid_from": MARCH}),
        ("validUntil", {"validity": Validity.ABSOLUTE}),
        ("validUntil", {"validity": Validity.ABSOLUTE, "valid_from": APRIL, "valid_until": MARCH}),
        ("validDays", {"validity": Validity.ABSOLUTE, "valid_from": MARCH, "valid_until": APRIL}),
        ("name", {"name": "券" * 61}),
        ("categories", {"categories": ("fruit\0",)}),
        ("stackingGroup", {"stacking_group": "a" * 65}),
        ("skus", {"skus": tuple(map(str, range(251)))}),
    ],
)
def test_a_bad_draft_is_refused_by_the_field_at_fault(field: str, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked_cost(cleaned(replace(GOOD, **change)))
    assert refused.value.facts["field"] == field


@pytest.mark.parametrize("days", [7, 14])
def test_seven_to_fourteen_days_need_no_reason(days: int) -> None:
    assert checked_cost(replace(GOOD, valid_days=days)) == 500


def test_other_days_need_one() -> None:
    assert checked_cost(replace(GOOD, valid_days=3, validity_reason="生鲜短效")) == 500


def test_the_most_that_a_coupon_can_cost_is_its_value_or_its_stated_limit() -> None:
    percent = replace(GOOD, kind=Kind.PERCENT, value=20, max_discount_fen=3_000)
    assert checked_cost(percent) == 3_000
