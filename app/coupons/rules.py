"""What a coupon takes off a basket, when it is valid, and how a batch moves on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.coupons.errors import BelowThreshold, NothingInScope, ValidityOver
from app.coupons.tables import BatchState, Coupon, CouponState, Kind, Template, Validity
from app.kernel.clock import business_day, day_start, end_of_validity
from app.kernel.errors import InvalidInput
from app.kernel.table import Json
from app.kernel.text import checked_text

MAX_FEN = 2**53
MAX_LINES = 250
LONGEST_KEY = 64
# How long a coupon may be held for an order that is being placed.
SHORTEST_HOLD = timedelta(minutes=1)
USUAL_HOLD = timedelta(minutes=30)
LONGEST_HOLD = timedelta(hours=24)
# A coupon comes back from a refunded order only if this much of its validity is left.
LEAST_LEFT = timedelta(days=3)

MOVES: dict[BatchState, frozenset[BatchState]] = {
    BatchState.DRAFT: frozenset({BatchState.APPROVED, BatchState.REVOKED}),
    BatchState.APPROVED: frozenset({BatchState.ACTIVE, BatchState.REVOKED}),
    BatchState.ACTIVE: frozenset({BatchState.PAUSED, BatchState.ENDED, BatchState.REVOKED}),
    BatchState.PAUSED: frozenset({BatchState.ACTIVE, BatchState.ENDED, BatchState.REVOKED}),
    BatchState.EXHAUSTED: frozenset({BatchState.ENDED, BatchState.REVOKED}),
    BatchState.ENDED: frozenset({BatchState.REVOKED}),
    BatchState.REVOKED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One product of a basket, at its price before coupons."""

    sku: str
    category: str
    quantity: int
    unit_fen: int

    @property
    def total_fen(self) -> int:
        """What the line costs."""
        return self.quantity * self.unit_fen


@dataclass(frozen=True, slots=True)
class Apart:
    """A unit that is paid for beside the basket: out of thresholds, discounts and points.

    `ref` names what it is sold under, such as the hold of a gift; `unit_fen` is its usual price.
    """

    ref: str
    sku: str
    unit_fen: int
    price_fen: int


@dataclass(frozen=True, slots=True)
class Basket:
    """What a member is about to order; units `apart` are none of its lines."""

    lines: Sequence[Line]
    shipping_fen: int = 0
    apart: tuple[Apart, ...] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """The part of a template that decides a discount."""

    kind: Kind
    value: int
    threshold_fen: int
    max_discount_fen: int
    skus: frozenset[str]
    categories: frozenset[str]

    @classmethod
    def of(cls, template: Template) -> "Terms":
        """The terms of a stored template."""
        return cls(
            kind=template.kind,
            value=template.value,
            threshold_fen=template.threshold_fen,
            max_discount_fen=template.max_discount_fen,
            skus=frozenset(template.skus),
            categories=frozenset(template.categories),
        )

    def covers(self, line: Line) -> bool:
        """True if the line is in scope; without a scope every line is."""
        if not self.skus and not self.categories:
            return True
        return line.sku in self.skus or line.category in self.categories


@dataclass(frozen=True, slots=True)
class Discount:
    """A discount in fen and each line's share of it; the shares add up to the fen.

    `shares` has one entry a line of the basket; what is off the delivery fee is in `shipping_fen`.
    """

    fen: int
    base_fen: int
    shares: tuple[int, ...]
    shipping_fen: int

    def explain(self, terms: Terms, basket: Basket) -> Json:
        """All that the discount was reckoned from, as JSON, so that it can be reckoned again."""
        return {
            "kind": terms.kind,
            "value": terms.value,
            "threshold_fen": terms.threshold_fen,
            "max_discount_fen": terms.max_discount_fen,
            "base_fen": self.base_fen,
            "discount_fen": self.fen,
            "shipping_fen": basket.shipping_fen,
            "shipping_discount_fen": self.shipping_fen,
            "lines": [
                {
                    "sku": line.sku,
                    "category": line.category,
                    "quantity": line.quantity,
                    "unit_fen": line.unit_fen,
                    "discount_fen": share,
                }
                for line, share in zip(basket.lines, self.shares, strict=True)
            ],
        }


def check_basket(basket: Basket) -> None:
    """Raise InvalidInput unless it can be: texts, quantities, prices and their sum in bounds."""
    if len(basket.lines) > MAX_LINES:
        raise InvalidInput(
            field="lines", reason=f"at most {MAX_LINES}", reason_zh=f"最多{MAX_LINES}行"
        )
    for at, line in enumerate(basket.lines):
        checked_text(line.sku, field=f"lines[{at}].sku", longest=LONGEST_KEY)
        checked_text(line.category, field=f"lines[{at}].category", longest=LONGEST_KEY, shortest=0)
        if line.quantity < 1:
            raise InvalidInput(
                field=f"lines[{at}].quantity", reason="at least 1", reason_zh="至少为1"
            )
        if line.unit_fen < 0:
            raise InvalidInput(
                field=f"lines[{at}].unitFen", reason="not negative", reason_zh="不能为负"
            )
    if basket.shipping_fen < 0:
        raise InvalidInput(field="shippingFen", reason="not negative", reason_zh="不能为负")
    if sum(line.total_fen for line in basket.lines) + basket.shipping_fen > MAX_FEN:
        raise InvalidInput(field="lines", reason="the sum is too large", reason_zh="总额过大")


def discount(terms: Terms, basket: Basket) -> Discount:
    """What one coupon takes off, never more than what it is taken off.

    Percentages round down to the fen. The threshold is asked of the lines in scope. Raises
    NothingInScope, BelowThreshold, InvalidInput.
    """
    check_basket(basket)
    weights = [line.total_fen if terms.covers(line) else 0 for line in basket.lines]
    base = sum(weights)
    covered = [line for line in basket.lines if terms.covers(line)]
    if not covered:
        raise NothingInScope()
    if base < terms.threshold_fen:
        raise BelowThreshold(missing=yuan(terms.threshold_fen - base))
    fen = min(_full_discount(terms, covered, basket.shipping_fen), terms.max_discount_fen)
    if fen <= 0:
        raise NothingInScope()
    if terms.kind is Kind.SHIPPING:
        return Discount(fen, base, (0,) * len(weights), shipping_fen=fen)
    if terms.kind is Kind.EXCHANGE_PRICE:
        dearest = max(range(len(weights)), key=lambda at: _unit_in_scope(terms, basket.lines[at]))
        weights = [int(at == dearest) for at in range(len(weights))]
    return Discount(fen, base, apportion(fen, weights), shipping_fen=0)


def _full_discount(terms: Terms, covered: Sequence[Line], shipping_fen: int) -> int:
    base = sum(line.total_fen for line in covered)
    match terms.kind:
        case Kind.FIXED | Kind.CATEGORY:
            return min(terms.value, base)
        case Kind.PERCENT:
            return base * terms.value // 100
        case Kind.EXCHANGE_PRICE:
            return max(line.unit_fen for line in covered) - terms.value
        case Kind.SHIPPING:
            return min(terms.value, shipping_fen)


def _unit_in_scope(terms: Terms, line: Line) -> int:
    return line.unit_fen if terms.covers(line) else -1


def apportion(amount: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Split an amount in proportion to the weights, exactly, by largest remainder.

    Ties go to the earlier entry. The weights are not negative and not all zero.

    >>> apportion(100, [1, 1, 1]), apportion(5, [0, 3, 7])
    ((34, 33, 33), (0, 2, 3))
    """
    total = sum(weights)
    shares: list[int] = []
    rests: list[tuple[int, int]] = []
    for at, weight in enumerate(weights):
        share, rest = divmod(amount * weight, total)
        shares.append(share)
        rests.append((-rest, at))
    left = amount - sum(shares)
    if left:
        rests.sort()
        for _, at in rests[:left]:
            shares[at] += 1
    return tuple(shares)


def yuan(fen: int) -> str:
    """An amount as people read it.

    >>> yuan(1205)
    '12.05'
    """
    return f"{fen // 100}.{fen % 100:02d}"


def validity_window(template: Template, *, at: datetime, zone: str) -> tuple[datetime, datetime]:
    """The half-open interval in which a coupon given at an instant can be redeemed.

    Days are business days of the zone and the day of `at` is day 1. Raises ValidityOver.
    """
    if template.validity is Validity.ABSOLUTE:
        if template.valid_from is None or template.valid_until is None:
            raise ValueError("an absolute validity has both its ends")
        if template.valid_until <= at:
            raise ValidityOver()
        return max(template.valid_from, at), template.valid_until
    wait, days = template.wait_days or 0, template.valid_days or 0
    usable_from = at if wait == 0 else day_start(business_day(at, zone) + timedelta(wait), zone)
    return usable_from, end_of_validity(at, wait + days, zone)


def standing(coupon: Coupon, *, at: datetime) -> CouponState:
    """Where a coupon stands at an instant, whatever state a late job has left behind.

    A reservation that ran out is none; validity begins and ends by the instants.
    """
    state = coupon.state
    if state is CouponState.RESERVED:
        if coupon.reserved_until is not None and at < coupon.reserved_until:
            return state
        state = CouponState.ACTIVE
    if state not in (CouponState.WAITING, CouponState.ACTIVE):
        return state
    if at >= coupon.expires_at:
        return CouponState.EXPIRED
    return CouponState.WAITING if at < coupon.usable_from else CouponState.ACTIVE
