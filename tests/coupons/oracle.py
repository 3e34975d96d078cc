"""What coupons save, reckoned in the dullest way, with every allowed combination tried."""

from collections.abc import Sequence
from itertools import combinations
from uuid import UUID

from app.coupons import Basket, Kind, Offer


def stage(offer: Offer) -> int:
    if offer.terms.kind in (Kind.EXCHANGE_PRICE, Kind.SHIPPING):
        return 9
    if offer.terms.kind is Kind.CATEGORY:
        return 2
    return 1 if offer.terms.skus else 2 if offer.terms.categories else 3


def scope(basket: Basket, offer: Offer) -> list[int]:
    terms = offer.terms
    everything = not terms.skus and not terms.categories
    return [
        at
        for at, line in enumerate(basket.lines)
        if everything or line.sku in terms.skus or line.category in terms.categories
    ]


def exchange(basket: Basket, units: list[list[int]], offer: Offer) -> int:
    mine = scope(basket, offer)
    base = sum(sum(units[at]) for at in mine)
    mine = [at for at in mine if units[at]]
    if not mine or base < offer.terms.threshold_fen:
        return 0
    at = max(mine, key=lambda at: (units[at][0], -at))
    off = min(units[at][0] - offer.terms.value, offer.terms.max_discount_fen)
    if off <= 0:
        return 0
    units[at].pop()
    return off


def take(basket: Basket, amounts: list[int], offer: Offer) -> int:
    mine = scope(basket, offer)
    base = sum(amounts[at] for at in mine)
    if not mine or base < offer.terms.threshold_fen:
        return 0
    off = offer.terms.value
    if offer.terms.kind is Kind.PERCENT:
        off = base * off // 100
    off = min(off, base, offer.terms.max_discount_fen)
    if off > 0:
        parts = {at: off * amounts[at] // base for at in mine}
        owed = off - sum(parts.values())
        for at in sorted(mine, key=lambda at: (-(off * amounts[at] % base), at))[:owed]:
            parts[at] += 1
        for at, part in parts.items():
            amounts[at] -= part
    return off


def deliver(basket: Basket, amounts: list[int], shipping: int, offer: Offer) -> int:
    mine = scope(basket, offer)
    if not mine or sum(amounts[at] for at in mine) < offer.terms.threshold_fen:
        return 0
    return min(offer.terms.value, offer.terms.max_discount_fen, shipping)


def plain_total(basket: Basket, chosen: Sequence[Offer]) -> int:
    """What coupons save together: stage by stage, one after the other."""
    units = [[line.unit_fen] * line.quantity for line in basket.lines]
    turns = sorted(chosen, key=lambda o: (-o.priority, o.expires_at, str(o.coupon_id)))
    of = [o for o in turns if o.terms.kind is Kind.EXCHANGE_PRICE]
    saved = sum(exchange(basket, units, o) for o in of)
    amounts = [sum(left) for left in units]
    for now in (1, 2, 3):
        saved += sum(take(basket, amounts, o) for o in turns if stage(o) == now)
    shipping = basket.shipping_fen
    for o in turns:
        if o.terms.kind is Kind.SHIPPING:
            off = deliver(basket, amounts, shipping, o)
            shipping, saved = shipping - off, saved + off
    return saved


def may_meet(some: Sequence[Offer]) -> bool:
    groups = [offer.group for offer in some if offer.group]
    alone = len(some) > 1 and any(offer.exclusive for offer in some)
    return not alone and len(groups) == len(set(groups))


def best(basket: Basket, candidates: Sequence[Offer]) -> tuple[int, set[UUID]]:
    """The best of all allowed combinations; ties as the rules say."""
    least = min(
        (
            -plain_total(basket, some),
            len(some),
            sorted(offer.expires_at for offer in some),
            sorted(str(offer.coupon_id) for offer in some),
        )
        for size in range(len(candidates) + 1)
        for some in combinations(candidates, size)
        if may_meet(some)
    )
    return -least[0], {UUID(name) for name in least[3]}
