"""Random streams that can be entered at any week and any group of members.

Every stream is a Philox generator whose key is made of the seed and of the place where it is used.
Nothing is drawn "after" something else, so a fact never depends on how far the world is run.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_WORD = (1 << 64) - 1


class Stream(IntEnum):
    """What a stream is used for; two purposes never share draws."""

    PLACES = 1
    ROSTER = 2
    HABITS = 3
    NAMES = 4
    WEATHER = 5
    SHELF = 6
    ORDERS = 7
    LIVES = 8
    BASKETS = 9
    TRACES = 10
    PERSUASION = 11


def generator(seed: int, stream: Stream, week: int = 0, part: int = 0) -> np.random.Generator:
    """The generator of one purpose, week (counted from the world's first) and part of the members.

    >>> generator(1, Stream.LIVES, 3).random() == generator(1, Stream.LIVES, 3).random()
    True
    """
    place = (int(stream) << 56) | (week << 28) | part
    key = np.array([seed & _WORD, place & _WORD], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def pick(rng: np.random.Generator, weights: Floats, size: int) -> Ints:
    """`size` indices drawn in proportion to `weights`."""
    edges = np.cumsum(weights)
    drawn = np.searchsorted(edges, rng.random(size) * edges[-1], side="right")
    return np.minimum(drawn, len(weights) - 1).astype(np.int64)
