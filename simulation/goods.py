"""What the neighbourhood buys: some 120 everyday goods, their prices and their seasons.

Prices are in fen. A season is a list of months in which the goods are sold at all; weights say how
often one is taken among its category in season.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from simulation.streams import Bools, Floats, Ints, Stream, generator

CATEGORIES = (
    "生鲜蔬菜",
    "水果",
    "肉禽蛋",
    "水产",
    "乳品",
    "粮油",
    "零食",
    "日用",
    "母婴",
    "熟食早餐",
)
# Things that spoil on the way; refunds fall on these first.
FRESH = np.array([True, True, True, True, True, False, False, False, False, True])
# How often people in general buy from each category.
APPETITE = np.array([0.25, 0.17, 0.14, 0.05, 0.09, 0.07, 0.08, 0.07, 0.02, 0.06])

_PREFIXES = ("VEG", "FRU", "MEA", "SEA", "DAI", "GRA", "SNA", "HOM", "BAB", "DEL")


@dataclass(frozen=True)
class Goods:
    """One thing on sale: `price_fen` is its usual price, `months` when it is sold (1–12)."""

    sku: str
    name: str
    category: int
    price_fen: int
    weight: float
    months: frozenset[int]

    @property
    def category_name(self) -> str:
        """The category's name."""
        return CATEGORIES[self.category]


def _months(span: str) -> frozenset[int]:
    first, last = (int(month) for month in span.split("-"))
    return frozenset((first - 1 + step) % 12 + 1 for step in range((last - first) % 12 + 1))


def _read() -> tuple[Goods, ...]:
    """The goods of goods.csv; within a category the SKU numbers follow the file."""
    text = resources.files("simulation").joinpath("goods.csv").read_text("utf-8")
    count = [0] * len(CATEGORIES)
    found: list[Goods] = []
    for row in csv.DictReader(text.splitlines()):
        category = CATEGORIES.index(row["category"])
        count[category] += 1
        sku = f"{_PREFIXES[category]}-{count[category]:02d}"
        price, weight = round(float(row["price_yuan"]) * 100), float(row["weight"])
        found.append(Goods(sku, row["name"], category, price, weight, _months(row["months"])))
    return tuple(found)


GOODS = _read()
CATEGORY_OF: Ints = np.array([goods.category for goods in GOODS], dtype=np.int64)
_PRICES = np.array([goods.price_fen for goods in GOODS], dtype=np.float64)
_WEIGHTS = np.array([goods.weight for goods in GOODS])
_SOLD = np.array([[month in goods.months for month in range(1, 13)] for goods in GOODS])


@dataclass(frozen=True)
class Shelf:
    """A week's offer: what is sold, how often each is taken, and the unit prices in fen.

    `edges` are running sums of the weights over all goods, `floor` and `width` the place of each
    category in them, so that one draw inside a category is one search; `last` is the last of the
    category on sale.
    """

    sold: Bools
    prices: Ints
    specials: Ints
    edges: Floats
    floor: Floats
    width: Floats
    last: Ints

    def draw(self, categories: Ints, draws: Floats) -> Ints:
        """One good of each asked category, given as many uniform draws."""
        target = self.floor[categories] + draws * self.width[categories]
        found = np.searchsorted(self.edges, target, side="right")
        return np.minimum(found, self.last[categories]).astype(np.int64)


@cache
def shelf(seed: int, week: int, month: int) -> Shelf:
    """The offer of one week; twelve goods are on special at four fifths of their price."""
    rng = generator(seed, Stream.SHELF, week)
    sold = _SOLD[:, month - 1]
    wobble = np.clip(rng.normal(1.0, 0.05, len(GOODS)), 0.88, 1.15)
    specials = rng.permutation(np.flatnonzero(sold))[:12]
    wobble[specials] *= 0.8
    prices = np.maximum(np.rint(_PRICES * wobble / 10) * 10, 100).astype(np.int64)
    weights = np.where(sold, _WEIGHTS * rng.gamma(8.0, 1 / 8.0, len(GOODS)), 0.0)
    # What is only here for a while is taken more while it lasts; specials more again.
    weights *= np.where(_SOLD.all(axis=1), 1.0, 1.4)
    weights[specials] *= 1.8
    edges = np.cumsum(weights)
    ends = np.searchsorted(CATEGORY_OF, np.arange(len(CATEGORIES)), side="right") - 1
    floor = np.concatenate(([0.0], edges[ends[:-1]]))
    on_sale = np.maximum.accumulate(np.where(sold, np.arange(len(GOODS)), -1))
    return Shelf(sold, prices, specials, edges, floor, edges[ends] - floor, on_sale[ends])
