"""What a pack may hold and when its parts unlock; how long a gift is kept, and how often given."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.coupons import Apart, Basket, Line
from app.gifts.tables import GiftCycle, GiftHold, GiftOffer, HoldState, Unlock
from app.kernel.clock import business_day, day_start
from app.kernel.errors import InvalidInput
from app.kernel.numbers import check_within

# What a one-yuan gift (1元礼) costs, and how long it is kept for the member.
GIFT_PRICE_FEN = 100
HOLD_TIME = timedelta(hours=24)
BIRTHDAY = "BIRTHDAY"
MAX_ITEMS = 20
MAX_DAY = 365
MAX_POINTS = 1_000_000
MAX_STOCK = 10_000_000
# An occasion that could not be served for longer than this is past.
CATCH_UP_DAYS = 31


@dataclass(frozen=True, slots=True)
class ItemDraft:
    """One thing of a pack as asked for: exactly one of `batch_id`, `points` and `offer_id`.

    `day` is for DAY_N: the business day on which it is given, the day of the claim being day 1.
    """

    unlock: Unlock = Unlock.AT_ONCE
    day: int | None = None
    batch_id: UUID | None = None
    points: int | None = None
    offer_id: UUID | None = None


def check_items(items: Sequence[ItemDraft]) -> None:
    """Raise InvalidInput unless a pack can hold these: 1 to 20 things, each one of a kind.

    What waits for the previous one to be redeemed must come after a coupon.
    """
    check_within(len(items), 1, MAX_ITEMS, field="items")
    for at, item in enumerate(items):
        _check_thing(item, f"items[{at}]")
        _check_unlock(item, items[at - 1] if at else None, f"items[{at}]")


def _check_thing(item: ItemDraft, field: str) -> None:
    given = [thing for thing in (item.batch_id, item.points, item.offer_id) if thing is not None]
    if len(given) != 1:
        raise InvalidInput(
            field=field,
            reason="name one of a coupon batch, points and a gift",
            reason_zh="优惠券批次、积分、礼品须且只须指定一种",
        )
    if item.points is not None and not 1 <= item.points <= MAX_POINTS:
        raise InvalidInput(
            field=f"{field}.points", reason=f"1 to {MAX_POINTS}", reason_zh=f"1至{MAX_POINTS}"
        )


def _check_unlock(item: ItemDraft, previous: ItemDraft | None, field: str) -> None:
    if (item.unlock is Unlock.DAY_N) != (item.day is not None):
        raise InvalidInput(
            field=f"{field}.day",
            reason="is for DAY_N, which needs it",
            reason_zh="仅且必须用于DAY_N",
        )
    if item.day is not None and not 2 <= item.day <= MAX_DAY:
        raise InvalidInput(
            field=f"{field}.day", reason=f"2 to {MAX_DAY}", reason_zh=f"2至{MAX_DAY}"
        )
    waits = item.unlock is Unlock.WHEN_PREVIOUS_REDEEMED
    if waits and (previous is None or previous.batch_id is None):
        raise InvalidInput(
            field=f"{field}.unlock",
            reason="must come after a coupon",
            reason_zh="前一项必须是优惠券",
        )


def unlocks_at(
    unlock: Unlock, day: int | None, *, claimed_at: datetime, zone: str
) -> datetime | None:
    """When a part of a pack is given; None waits for the coupon before it to be redeemed.

    Day n begins at its first instant in the community's zone, the day of the claim being day 1.

    >>> from datetime import UTC
    >>> claimed = datetime(2026, 3, 1, 15, 59, 59, 999999, tzinfo=UTC)  # the last of 1 March
    >>> unlocks_at(Unlock.DAY_N, 3, claimed_at=claimed, zone="Asia/Shanghai").isoformat()
    '2026-03-02T16:00:00+00:00'
    """
    if unlock is Unlock.AT_ONCE:
        return claimed_at
    if unlock is Unlock.WHEN_PREVIOUS_REDEEMED:
        return None
    first = business_day(claimed_at, zone)
    return day_start(first + timedelta(days=(day or 1) - 1), zone)


def cycle_key(cycle: GiftCycle, *, at: datetime, zone: str) -> str:
    """Names the span of business days in which a member gets a gift once.

    >>> from datetime import UTC
    >>> new_year = datetime(2025, 12, 31, 16, 0, tzinfo=UTC)
    >>> [cycle_key(kind, at=new_year, zone="Asia/Shanghai") for kind in GiftCycle]
    ['', '2026-01', '2026']
    """
    day = business_day(at, zone)
    match cycle:
        case GiftCycle.EVER:
            return ""
        case GiftCycle.MONTH:
            return f"{day:%Y-%m}"
        case GiftCycle.YEAR:
            return f"{day:%Y}"


def seen_state(hold: GiftHold, now: datetime) -> HoldState:
    """Where a hold stands at an instant: past its time it is EXPIRED before any job says so."""
    if hold.state is HoldState.HELD and hold.expires_at <= now:
        return HoldState.EXPIRED
    return hold.state


def is_open(offer: GiftOffer, now: datetime) -> bool:
    """True within the offer's hours, `[opens_at, closes_at)`."""
    return offer.opens_at <= now and (offer.closes_at is None or now < offer.closes_at)


def set_apart(
    basket: Basket, sku: str, *, price_fen: int = GIFT_PRICE_FEN, ref: str = ""
) -> Basket:
    """The basket with one unit of a gift apart: thresholds, coupons and points do not see it.

    A gift is paid for beside the basket; more units of its SKU are ordinary lines. A unit that
    stands in the basket at the gift's price is taken before one at another. The basket is answered
    as it is where it does not hold the SKU.

    >>> lines = [Line("EGGS", "fresh", 2, 1_290), Line("RICE", "staple", 1, 3_990)]
    >>> rest = set_apart(Basket(lines), "EGGS")
    >>> [(line.sku, line.quantity) for line in rest.lines]
    [('EGGS', 1), ('RICE', 1)]
    >>> [(unit.sku, unit.unit_fen, unit.price_fen) for unit in rest.apart]
    [('EGGS', 1290, 100)]
    """
    places = [at for at, line in enumerate(basket.lines) if line.sku == sku]
    if not places:
        return basket
    at_its_price = (at for at in places if basket.lines[at].unit_fen == price_fen)
    chosen = next(at_its_price, places[0])
    line = basket.lines[chosen]
    lines = list(basket.lines)
    lines[chosen : chosen + 1] = (
        [Line(line.sku, line.category, line.quantity - 1, line.unit_fen)]
        if line.quantity > 1
        else []
    )
    unit = Apart(ref=ref, sku=sku, unit_fen=line.unit_fen, price_fen=price_fen)
    return Basket(lines, basket.shipping_fen, (*basket.apart, unit))
