"""Invented estates: names put together from parts, grouped into areas of one city."""

from dataclasses import dataclass

import numpy as np

from simulation.streams import Floats, Ints, Stream, generator
from simulation.tables import Column

ZONE_NAME = "Asia/Shanghai"
AREAS = ("城东片区", "城西片区", "滨江片区", "高新片区", "老城片区", "南湖片区")
_FIRST = (
    *("翠湖", "锦枫", "云栖", "桂雨", "望溪", "紫荆", "兰汀", "梧桐", "银杏", "海棠", "明月"),
    *("清溪", "松鹤", "春晓", "竹韵", "荷塘", "丹枫", "晨曦", "和悦", "听澜", "沁芳", "柳浪"),
)
_SECOND = ("花园", "小区", "苑", "雅苑", "家园", "名邸", "里", "新村", "公寓", "府", "湾", "庭")


@dataclass(frozen=True)
class Places:
    """Communities in the order of their opening: instants in epoch seconds, `size` relative."""

    names: list[str]
    areas: Ints
    opened: Ints
    size: Floats
    pickup_hour: Ints


def community_count(members: int) -> int:
    """How many communities so many members make: 6 to 40, fewer only in a very small world.

    >>> [community_count(n) for n in (20, 2_000, 10_000, 1_000_000)]
    [2, 9, 20, 40]
    """
    return max(1, min(int(np.clip(round(members**0.5 / 5), 6, 40)), members // 10))


def make(seed: int, members: int, start: int, end: int) -> Places:
    """The communities of a world: half open at its start, the rest over its first half."""
    rng = generator(seed, Stream.PLACES)
    count = community_count(members)
    pairs = rng.permutation(len(_FIRST) * len(_SECOND))
    # One first part is used once before any is used again, as estates do in one city.
    pairs = pairs[np.argsort(_turn(pairs % len(_FIRST)), kind="stable")][:count]
    names = [_FIRST[pair % len(_FIRST)] + _SECOND[pair // len(_FIRST)] for pair in pairs.tolist()]
    later = np.sort(rng.random(count // 2)) * 0.5 * (end - start)
    opened = np.concatenate((np.zeros(count - count // 2), later)).astype(np.int64) + start
    size = np.exp(rng.normal(0.0, 0.5, count))
    return Places(
        names, rng.integers(0, len(AREAS), count), opened, size, rng.integers(16, 19, count)
    )


def _turn(parts: Ints) -> Ints:
    """For each item, how many equal ones came before it."""
    seen: dict[int, int] = {}
    turns: list[int] = []
    for part in parts.tolist():
        turns.append(seen.get(part, 0))
        seen[part] = turns[-1] + 1
    return np.array(turns, dtype=np.int64)


def column(places: Places) -> dict[str, Column]:
    """The columns of `communities` that do not name instants."""
    keys = np.arange(len(places.names))
    return {
        "key": keys,
        "name": np.array(places.names, dtype=object),
        "area": np.array(AREAS, dtype=object)[places.areas],
        "time_zone": np.full(len(keys), ZONE_NAME, dtype=object),
    }
