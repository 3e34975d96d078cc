"""A made-up shop that worker processes read part by part, as they would a database."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from ml.cutting import cut
from ml.facts import Facts
from tests.ml.small_shop import shop

MEMBERS = 400
PARTS = 4


@dataclass(frozen=True)
class Reader:
    """Reads members from one code to another of the shop of a seed."""

    seed: int = 1
    members: int = MEMBERS

    def __call__(self, part: tuple[int, int]) -> Facts:
        """The facts of some members alone."""
        return cut(_whole(self.seed, self.members), np.arange(*part))

    def bounds(self, parts: int = PARTS) -> list[tuple[int, int]]:
        """The parts: consecutive members, one part with few of them."""
        ends = [0, 7, *np.linspace(7, self.members, parts)[1:].astype(int).tolist()]
        return list(pairwise(ends))


@lru_cache(maxsize=2)
def _whole(seed: int, members: int) -> Facts:
    return shop(members=members, seed=seed).in_order()


class Broken:
    """A reader whose own words would give away a password."""

    def __call__(self, part: tuple[int, int]) -> Facts:
        """Fail as a driver may."""
        raise ValueError("cannot reach postgresql://linli:geheim@db/linli")
