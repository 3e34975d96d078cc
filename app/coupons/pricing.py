"""What a basket costs with coupons and points, with an explanation that adds up to the fen.

The stages come in a fixed order: coupons for articles, for categories, for the whole order, then
exchange prices, the delivery fee, and points. Each works on what the ones before have left. Within
a stage higher priority comes first, then what expires sooner. A unit sold at an exchange price is
out of everything else: of the thresholds, of the other discounts and of points.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.coupons.errors import BelowThreshold, NothingInScope
from app.coupons.rules import Basket, Line, Terms, apportion, check_basket, yuan
from app.coupons.tables import Kind
from app.kernel.errors import Refusal

# What points are worth, and how much of the goods they may pay for.
POINTS_PER_YUAN = 100
POINTS_MOST_PERCENT = 50


class Stage(StrEnum):
    """Where in the order of the calculation a discount has its place."""

    ITEM = "ITEM"
    CATEGORY = "CATEGORY"
    ORDER = "ORDER"
    EXCHANGE = "EXCHANGE"
    SHIPPING = "SHIPPING"
    POINTS = "POINTS"


@dataclass(frozen=True, slots=True)
class Offer:
    """A coupon as the calculation sees it."""

    coupon_id: UUID
    terms: Terms
    expires_at: datetime
    group: str | None = None
    exclusive: bool = False
    priority: int = 0

    @property
    def stage(self) -> Stage:
        """Where it has its place: by what it is for."""
        match self.terms.kind:
            case Kind.SHIPPING:
                return Stage.SHIPPING
            case Kind.EXCHANGE_PRICE:
                return Stage.EXCHANGE
            case Kind.CATEGORY:
                return Stage.CATEGORY
            case Kind.FIXED | Kind.PERCENT:
                if self.terms.skus:
                    return Stage.ITEM
                return Stage.CATEGORY if self.terms.categories else Stage.ORDER

    @property
    def turn(self) -> tuple[int, datetime, str]:
        """Its turn within its stage."""
        return -self.priority, self.expires_at, str(self.coupon_id)


@dataclass(frozen=True, slots=True)
class PointsUse:
    """How many points a member wants to use and has, and what they are worth."""

    asked: int
    balance: int
    per_yuan: int = POINTS_PER_YUAN
    most_percent: int = POINTS_MOST_PERCENT


@dataclass(frozen=True, slots=True)
class Prior:
    """What earlier coupons have taken off the lines and the delivery fee already, in fen."""

    lines: tuple[int, ...]
    shipping_fen: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One discount: what it was asked of (`base_fen`), and each line's share of it."""

    stage: Stage
    coupon_id: UUID | None
    base_fen: int
    fen: int
    shares: tuple[int, ...]
    shipping_fen: int = 0
    points: int = 0


@dataclass(frozen=True, slots=True)
class Pricing:
    """A basket with its discounts: what is payable is goods and delivery less all steps."""

    basket: Basket
    prior: Prior
    offers: tuple[Offer, ...]
    points: PointsUse | None
    steps: tuple[Step, ...]
    # Coupons that were to be used and are not, with why.
    left_out: tuple[tuple[Offer, Refusal], ...] = ()
    # False where there were too many ways to combine to try them all.
    complete: bool = True

    @property
    def subtotal_fen(self) -> int:
        """The goods at their prices before discounts."""
        return sum(line.total_fen for line in self.basket.lines)

    @property
    def saved_fen(self) -> int:
        """What these coupons take off, points and earlier coupons aside."""
        return sum(step.fen for step in self.steps if step.coupon_id is not None)

    @property
    def payable_lines(self) -> tuple[int, ...]:
        """What each line costs in the end."""
        off = [sum(shares) for shares in zip(*(step.shares for step in self.steps), strict=True)]
        return tuple(
            line.total_fen - before - (off[at] if off else 0)
            for at, (line, before) in enumerate(
                zip(self.basket.lines, self.prior.lines, strict=True)
            )
        )

    @property
    def payable_shipping_fen(self) -> int:
        """What delivery costs in the end."""
        off = sum(step.shipping_fen for step in self.steps)
        return self.basket.shipping_fen - self.prior.shipping_fen - off

    @property
    def payable_fen(self) -> int:
        """What is to be paid, for units apart too."""
        return sum(self.payable_lines) + self.payable_shipping_fen + self.apart_fen

    @property
    def apart_fen(self) -> int:
        """What the units cost that are paid for beside the basket."""
        return sum(unit.price_fen for unit in self.basket.apart)

    def step_of(self, coupon_id: UUID) -> Step | None:
        """The discount of one coupon, if it has one."""
        return next((step for step in self.steps if step.coupon_id == coupon_id), None)

    def refusal_of(self, coupon_id: UUID) -> Refusal:
        """Why a coupon takes nothing off."""
        found = (why for offer, why in self.left_out if offer.coupon_id == coupon_id)
        return next(found, NothingInScope())


@dataclass(slots=True)
class _Sheet:
    """What is left of each line and of the delivery fee while discounts are taken off."""

    lines: Sequence[Line]
    amounts: list[int]
    units: list[int]
    shipping: int
    steps: list[Step] = field(default_factory=list[Step])
    failed: list[tuple[Offer, Refusal]] = field(default_factory=list[tuple[Offer, Refusal]])

    def weights(self, terms: Terms) -> list[int]:
        """What is left of the lines in scope, 0 for the others."""
        if not terms.skus and not terms.categories:
            return self.amounts
        pairs = zip(self.lines, self.amounts, strict=True)
        return [amount if terms.covers(line) else 0 for line, amount in pairs]

    def take(self, step: Step) -> None:
        """Write a discount down; what an exchanged unit loses was set aside before."""
        self.steps.append(step)
        self.shipping -= step.shipping_fen
        if step.stage is not Stage.EXCHANGE:
            pairs = zip(self.amounts, step.shares, strict=True)
            self.amounts = [amount - share for amount, share in pairs]


def price(
    basket: Basket,
    offers: Iterable[Offer],
    *,
    prior: Prior | None = None,
    points: PointsUse | None = None,
) -> Pricing:
    """The basket with all these coupons that apply; whether they may meet is not asked.

    Percentages round down to the fen. Shares of lines are exact, by largest remainder. Raises
    InvalidInput for a basket that cannot be.
    """
    check_basket(basket)
    return price_checked(basket, offers, prior=prior, points=points)


def price_checked(
    basket: Basket,
    offers: Iterable[Offer],
    *,
    prior: Prior | None = None,
    points: PointsUse | None = None,
) -> Pricing:
    """`price` of a basket that is known to be sound, for those who price it many times."""
    before = prior or Prior((0,) * len(basket.lines))
    pairs = zip(basket.lines, before.lines, strict=True)
    sheet = _Sheet(
        lines=basket.lines,
        amounts=[line.total_fen - off for line, off in pairs],
        units=[line.quantity for line in basket.lines],
        shipping=basket.shipping_fen - before.shipping_fen,
    )
    chosen = tuple(sorted(offers, key=lambda offer: offer.turn))
    staged: dict[Stage, list[Offer]] = {stage: [] for stage in Stage}
    for offer in chosen:
        staged[offer.stage].append(offer)
    exchanged = [_exchange(sheet, offer) for offer in staged[Stage.EXCHANGE]]
    for offer in [*staged[Stage.ITEM], *staged[Stage.CATEGORY], *staged[Stage.ORDER]]:
        _take_off_goods(sheet, offer)
    for step in filter(None, exchanged):
        sheet.take(step)
    for offer in staged[Stage.SHIPPING]:
        _take_off_shipping(sheet, offer)
    if points is not None:
        _pay_with_points(sheet, points)
    return Pricing(basket, before, chosen, points, tuple(sheet.steps), tuple(sheet.failed))


def _reaches(sheet: _Sheet, offer: Offer, base: int) -> bool:
    """Whether a coupon covers something and its threshold is reached; notes it if not."""
    if not any(offer.terms.covers(line) for line in sheet.lines):
        sheet.failed.append((offer, NothingInScope()))
    elif base < offer.terms.threshold_fen:
        missing = yuan(offer.terms.threshold_fen - base)
        sheet.failed.append((offer, BelowThreshold(missing=missing)))
    else:
        return True
    return False


def _exchange(sheet: _Sheet, offer: Offer) -> Step | None:
    """Set the dearest unit in scope aside and sell it at the coupon's price."""
    terms = offer.terms
    base = sum(sheet.weights(terms))
    if not _reaches(sheet, offer, base):
        return None
    prices = [
        amount // units if units and terms.covers(line) else -1
        for line, amount, units in zip(sheet.lines, sheet.amounts, sheet.units, strict=True)
    ]
    dearest = max(range(len(prices)), key=prices.__getitem__)
    fen = min(prices[dearest] - terms.value, terms.max_discount_fen)
    if fen <= 0:
        sheet.failed.append((offer, NothingInScope()))
        return None
    sheet.amounts[dearest] -= prices[dearest]
    sheet.units[dearest] -= 1
    shares = tuple(fen if at == dearest else 0 for at in range(len(prices)))
    return Step(Stage.EXCHANGE, offer.coupon_id, base, fen, shares)


def _take_off_goods(sheet: _Sheet, offer: Offer) -> None:
    terms = offer.terms
    weights = sheet.weights(terms)
    base = sum(weights)
    if not _reaches(sheet, offer, base):
        return
    full = base * terms.value // 100 if terms.kind is Kind.PERCENT else min(terms.value, base)
    fen = min(full, terms.max_discount_fen)
    if fen <= 0:
        sheet.failed.append((offer, NothingInScope()))
        return
    sheet.take(Step(offer.stage, offer.coupon_id, base, fen, apportion(fen, weights)))


def _take_off_shipping(sheet: _Sheet, offer: Offer) -> None:
    terms = offer.terms
    base = sum(sheet.weights(terms))
    if not _reaches(sheet, offer, base):
        return
    fen = min(terms.value, terms.max_discount_fen, sheet.shipping)
    if fen <= 0:
        sheet.failed.append((offer, NothingInScope()))
        return
    nothing = (0,) * len(sheet.lines)
    sheet.take(Step(Stage.SHIPPING, offer.coupon_id, base, fen, nothing, shipping_fen=fen))


def _pay_with_points(sheet: _Sheet, points: PointsUse) -> None:
    base = sum(sheet.amounts)
    most_fen = base * points.most_percent // 100
    used = min(points.asked, points.balance, most_fen * points.per_yuan // 100)
    fen = used * 100 // points.per_yuan
    if fen <= 0:
        return
    # No point is taken that pays for nothing.
    used = -(-fen * points.per_yuan // 100)
    shares = apportion(fen, sheet.amounts)
    sheet.take(Step(Stage.POINTS, None, base, fen, shares, points=used))
