"""Which coupons to use on a basket: the combination that is best for the member."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from app.coupons.errors import CannotCombine
from app.coupons.pricing import Offer, PointsUse, Pricing, price, price_checked
from app.coupons.rules import Basket
from app.kernel.errors import Refusal

# Combinations that are tried before the best one so far is taken, and the work that may go into
# them (about lines times coupons, 0.4 microseconds each): whoever has many coupons and fills a
# basket to the brim must not keep everybody else waiting.
MOST_TRIED = 3_000
MOST_WORK = 600_000
# What pricing costs besides, in lines.
BESIDES = 10

# Smaller is better: more saved, then fewer coupons, then those that expire sooner.
Rank = tuple[int, int, list[datetime], list[str]]


def may_meet(offers: Sequence[Offer]) -> bool:
    """Whether an order may carry all of these: an exclusive one alone, of a group only one.

    >>> may_meet([])
    True
    """
    if len(offers) > 1 and any(offer.exclusive for offer in offers):
        return False
    groups = [offer.group for offer in offers if offer.group is not None]
    return len(groups) == len(set(groups))


def rank(pricing: Pricing) -> Rank:
    """How good a combination is for the member; the smallest is the best."""
    used = pricing.offers
    return (
        -pricing.saved_fen,
        len(used),
        sorted(offer.expires_at for offer in used),
        sorted(str(offer.coupon_id) for offer in used),
    )


def best(
    basket: Basket, candidates: Sequence[Offer], *, points: PointsUse | None = None
) -> Pricing:
    """The basket with the allowed combination of these coupons that saves the member most.

    Ties go to fewer coupons, then to those that expire sooner. What each coupon saves alone is the
    most it can save beside others, so combinations that cannot be better are not tried. Raises
    InvalidInput for a basket that cannot be.
    """
    search = _Search(basket, price(basket, []))
    usable: list[tuple[int, Offer]] = []
    left_out: list[tuple[Offer, Refusal]] = []
    for offer in candidates:
        alone = price_checked(basket, [offer])
        left_out.extend(alone.left_out)
        if alone.saved_fen:
            usable.append((alone.saved_fen, offer))
            search.consider(alone)
    usable.sort(key=lambda pair: (-pair[0], pair[1].expires_at, str(pair[1].coupon_id)))
    search.extend([], 0, [pair for pair in usable if not pair[1].exclusive])
    chosen = price_checked(basket, search.found.offers, points=points)
    taken = {offer.coupon_id for offer in chosen.offers}
    left_out += [(offer, CannotCombine()) for _, offer in usable if offer.coupon_id not in taken]
    return replace(chosen, left_out=tuple(left_out), complete=not search.is_over)


@dataclass(slots=True)
class _Search:
    """A depth-first walk over combinations, the most promising first."""

    basket: Basket
    found: Pricing
    tried: int = 0
    work: int = 0

    @property
    def is_over(self) -> bool:
        """Whether so much was tried that the best so far is taken."""
        return self.tried >= MOST_TRIED or self.work >= MOST_WORK

    def consider(self, pricing: Pricing) -> None:
        """Keep what is better than the best so far."""
        saved, best_so_far = pricing.saved_fen, self.found.saved_fen
        if saved > best_so_far or (saved == best_so_far and rank(pricing) < rank(self.found)):
            self.found = pricing

    def extend(self, chosen: list[Offer], alone: int, rest: Sequence[tuple[int, Offer]]) -> None:
        """Try what adding some of the rest makes of a combination."""
        for at, (saves, offer) in enumerate(rest):
            if self.is_over or alone + _most(rest[at:]) < self.found.saved_fen:
                return
            together = [*chosen, offer]
            self.tried += 1
            self.work += (len(self.basket.lines) + BESIDES) * len(together) + len(rest)
            self.consider(price_checked(self.basket, together))
            others = [pair for pair in rest[at + 1 :] if may_meet([offer, pair[1]])]
            self.extend(together, alone + saves, others)


def _most(rest: Sequence[tuple[int, Offer]]) -> int:
    """No combination of these saves more: all that are in no group, and the best of each group."""
    total, groups = 0, set[str]()
    for saves, offer in rest:
        if offer.group is None:
            total += saves
        elif offer.group not in groups:
            groups.add(offer.group)
            total += saves
    return total
