"""What is in the orders: goods, prices, coupons and refunds, all in fen."""

from typing import NamedTuple

import numpy as np

from simulation.goods import CATEGORY_OF, FRESH, GOODS, Shelf
from simulation.orders import Orders
from simulation.roster import FAVOURITES, Habits, category_by_taste
from simulation.streams import Bools, Floats, Ints
from simulation.tables import NEVER

NO_COUPON = -1
# name, least basket in fen, off in fen
COUPONS = (
    ("新人首单立减5元", 800, 500),
    ("回归礼券8元", 2900, 800),
    ("满39减5", 3900, 500),
    ("满59减8", 5900, 800),
    ("满99减15", 9900, 1500),
)
_LEAST = np.array([coupon[1] for coupon in COUPONS], dtype=np.int64)
_OFF = np.array([coupon[2] for coupon in COUPONS], dtype=np.int64)
_MOST_LINES = 12


class Baskets(NamedTuple):
    """Lines by order (ascending place in the week's orders), and each order's coupon."""

    order: Ints
    sku: Ints
    quantity: Ints
    paid: Ints
    coupon: Ints
    discount: Ints
    total: Ints


class Refunds(NamedTuple):
    """Refunded lines: place of the order and of the line, quantity and amount in fen."""

    order: Ints
    line: Ints
    quantity: Ints
    amount: Ints


def fill(rng: np.random.Generator, orders: Orders, habits: Habits, shelf: Shelf) -> Baskets:
    """Put goods into the orders and take coupons off."""
    count = len(orders.member)
    lines = 1 + np.minimum(rng.poisson(habits.basket[orders.member]), _MOST_LINES - 1)
    order = np.repeat(np.arange(count), lines)
    sku = draw_goods(rng, habits, orders.member[order], shelf)
    order, sku, quantity = _merged(rng, order, sku)
    worth = shelf.prices[sku] * quantity
    subtotal = np.bincount(order, worth, count).astype(np.int64)
    coupon = _coupons(rng, orders, habits.thrift[orders.member], subtotal)
    discount = np.where(coupon == NO_COUPON, 0, _OFF[coupon])
    paid = worth - _shares(order, worth, subtotal, discount)
    return Baskets(order, sku, quantity, paid, coupon, discount, subtotal - discount)


def draw_goods(rng: np.random.Generator, habits: Habits, member: Ints, shelf: Shelf) -> Ints:
    """One good a row: a favourite in season, a special for the thrifty, or by taste."""
    size = len(member)
    sku = shelf.draw(category_by_taste(habits.tastes[member], rng.random(size)), rng.random(size))
    liked = habits.favourites[member, rng.integers(0, FAVOURITES, size)]
    sku = np.where((rng.random(size) < 0.4) & shelf.sold[liked], liked, sku)
    bargain = shelf.specials[rng.integers(0, len(shelf.specials), size)]
    return np.where(rng.random(size) < 0.2 * habits.thrift[member], bargain, sku)


def _merged(rng: np.random.Generator, order: Ints, sku: Ints) -> tuple[Ints, Ints, Ints]:
    """The same good twice in one order is one line; cheap goods are taken by twos and threes."""
    extra = rng.random(len(sku))
    cheap = np.array([goods.price_fen < 2000 for goods in GOODS])[sku]
    number = 1 + ((extra < 0.2) & cheap) + (extra < 0.05)
    together, place = np.unique(order * len(GOODS) + sku, return_inverse=True)
    quantity = np.bincount(place, number, len(together)).astype(np.int64)
    return together // len(GOODS), together % len(GOODS), quantity


def _coupons(rng: np.random.Generator, orders: Orders, thrift: Floats, subtotal: Ints) -> Ints:
    """The coupon of each order: a newcomer's, a returner's, or the best threshold reached."""
    draws = rng.random(len(subtotal))
    best = np.searchsorted(_LEAST[2:], subtotal, side="right") + 1
    best = np.where((best >= 2) & (draws < 0.05 + 0.4 * thrift), best, NO_COUPON)
    back = orders.wooed & (subtotal >= _LEAST[1]) & (draws < 0.7)
    new = orders.first & (subtotal >= _LEAST[0]) & (draws < 0.75)
    return np.where(new, 0, np.where(back, 1, best)).astype(np.int64)


def _shares(order: Ints, worth: Ints, subtotal: Ints, discount: Ints) -> Ints:
    """Each line's share of the discount, rounded down; the rest goes to the order's first lines."""
    exact = discount[order] * worth
    share = exact // subtotal[order]
    rest = discount - np.bincount(order, share, len(discount)).astype(np.int64)
    begins = np.searchsorted(order, np.arange(len(discount)))
    place = np.arange(len(order)) - begins[order]
    return share + (place < rest[order])


def refunds(rng: np.random.Generator, orders: Orders, baskets: Baskets) -> Refunds:
    """Which lines come back: all of them, or the one that went wrong, rarely in part only."""
    back = orders.refunded < NEVER
    draws = rng.random((2, len(baskets.order)))
    # Among an order's lines the one with the highest draw went wrong; fresh goods go first.
    fresh = FRESH[CATEGORY_OF[baskets.sku]] & orders.spoiled[baskets.order]
    wrong = _highest(baskets.order, draws[0] + fresh, len(back))
    chosen = np.flatnonzero(back[baskets.order] & (orders.whole[baskets.order] | wrong))
    order, quantity, paid = (
        column[chosen] for column in (baskets.order, baskets.quantity, baskets.paid)
    )
    some = (draws[1][chosen] < 0.5) & ~orders.whole[order]
    given = np.where(some, np.maximum(quantity - 1, 1), quantity)
    # An order of one line that comes back in part stays partly refunded.
    half = some & (quantity == 1) & (draws[0][chosen] < 0.5)
    amount = np.where(half, paid // 2, paid * given // quantity)
    return Refunds(order, chosen, given, amount)


def _highest(order: Ints, draws: Floats, count: int) -> Bools:
    best = np.zeros(count)
    np.maximum.at(best, order, draws)
    return draws == best[order]
