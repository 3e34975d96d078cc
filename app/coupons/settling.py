"""What remains of an order's discounts when some of its goods go back."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.coupons.explaining import basket_of, explain, offer_of
from app.coupons.pricing import Pricing, Prior, price
from app.coupons.rules import Basket, Line, apportion
from app.kernel.table import Json


@dataclass(frozen=True, slots=True)
class Use:
    """A coupon used on an order: its key, its discount, and the stored reckoning of it."""

    coupon_id: str
    discount_fen: int
    # What `pricing.explain` told when it was used.
    told: Json
    # What earlier returns have cost it, which does not come back.
    lost_fen: int = 0


@dataclass(frozen=True, slots=True)
class Settled:
    """What an order's discounts come to after goods went back.

    `lost` says in fen what each coupon's discount has lost, in the order of the uses. The member
    gets `give_back_fen`: the goods' prices before discounts less what was lost, never below 0.
    """

    goods_fen: int
    lost: tuple[int, ...]
    give_back_fen: int
    details: tuple[Json, ...]


def kept(basket: Basket, returned: Mapping[str, int]) -> list[int]:
    """How many units of each line stay when so many of each SKU go back, the last lines first."""
    left = Counter(returned)
    units = [line.quantity for line in basket.lines]
    for at in reversed(range(len(units))):
        back = min(units[at], left[basket.lines[at].sku])
        units[at] -= back
        left[basket.lines[at].sku] -= back
    return units


def settle(uses: Sequence[Use], returned: Mapping[str, int]) -> Settled:
    """Reckon each discount again without the goods that went back, in the order of their use.

    A discount never grows by a return: one whose threshold the rest no longer reaches is lost, and
    percentages are of what is left. What was lost by earlier returns stays lost, though another
    coupon that is lost since would let the rest reach the threshold again.
    """
    accumulated: list[int] | None = None
    lost: list[int] = []
    details: list[Json] = []
    for use in uses:
        basket = basket_of(use.told)
        units = kept(basket, returned)
        now, shares = _again(use, basket, units, accumulated)
        remains = 0 if now is None else _fen_of(now, use)
        lost.append(use.discount_fen - remains)
        details.append({} if now is None else explain(now))
        before = accumulated or [0] * len(basket.lines)
        if len(before) == len(shares):
            accumulated = [old + new for old, new in zip(before, shares, strict=True)]
    first = basket_of(uses[0].told)
    goods = sum(
        (line.quantity - stays) * line.unit_fen
        for line, stays in zip(first.lines, kept(first, returned), strict=True)
    )
    return Settled(goods, tuple(lost), max(0, goods - sum(lost)), tuple(details))


def _again(
    use: Use, basket: Basket, units: list[int], accumulated: list[int] | None
) -> tuple[Pricing | None, list[int]]:
    """The price of what stays, and this coupon's share of each line of the whole basket."""
    shares = [0] * len(units)
    at_all = [at for at, stays in enumerate(units) if stays]
    if not at_all:
        return None, shares
    lines = [
        Line(line.sku, line.category, units[at], line.unit_fen)
        for at, line in enumerate(basket.lines)
        if units[at]
    ]
    told_lines: list[Any] = use.told["lines"]
    prior: list[int] = []
    for at, line in zip(at_all, lines, strict=True):
        if accumulated is not None and len(accumulated) == len(units):
            off = accumulated[at]
        else:
            off = told_lines[at]["prior_fen"] * units[at] // basket.lines[at].quantity
        prior.append(min(off, line.total_fen))
    now = price(
        Basket(lines, basket.shipping_fen),
        [offer_of(item) for item in use.told["offers"]],
        prior=Prior(tuple(prior), use.told["prior_shipping_fen"]),
    )
    step = _step_of(now, use)
    if step is not None and sum(step.shares):
        fen = min(sum(step.shares), _fen_of(now, use))
        for at, share in zip(at_all, apportion(fen, step.shares), strict=True):
            shares[at] = share
    return now, shares


def _step_of(now: Pricing, use: Use) -> Any:
    return next((step for step in now.steps if str(step.coupon_id) == use.coupon_id), None)


def _fen_of(now: Pricing, use: Use) -> int:
    step = _step_of(now, use)
    return 0 if step is None else min(step.fen, use.discount_fen - use.lost_fen)
