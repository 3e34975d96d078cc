"""What two arms say: differences with 95% intervals, and whether the split can be believed."""

import math
from dataclasses import dataclass
from typing import Final

Z: Final = 1.959963984540054
"""The normal quantile of a two-sided 95% interval."""
SPLIT_IS_WRONG: Final = 0.001
"""A split that chance would give less often than that blocks the read-out."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95% interval."""

    value: float
    low: float
    high: float

    @property
    def leaves_zero_out(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Sums:
    """An arm in sums: members, who stayed, net revenue y, and x of the time before.

    Money in fen; `cost` is what was spent on the arm and is taken off y already.
    """

    members: int = 0
    stayed: int = 0
    y: float = 0.0
    yy: float = 0.0
    x: float = 0.0
    xx: float = 0.0
    xy: float = 0.0
    cost: float = 0.0

    @property
    def rate(self) -> float:
        """The share that stayed; 0 of nobody."""
        return self.stayed / self.members if self.members else 0.0


def wilson(count: int, members: int) -> Estimate:
    """A share with Wilson's score interval (Wilson 1927).

    >>> found = wilson(8, 10)
    >>> round(found.low, 3), round(found.high, 3)
    (0.49, 0.943)
    """
    rate, spread = count / members, Z * Z / members
    centre = (rate + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * math.sqrt(rate * (1 - rate) / members + spread / (4 * members))
    return Estimate(rate, max(0.0, centre - half), min(1.0, centre + half))


def difference_of_rates(treated: Sums, control: Sums) -> Estimate | None:
    """Treated less control, with Newcombe's hybrid score interval (Newcombe 1998, method 10).

    None where an arm is empty.

    >>> found = difference_of_rates(Sums(members=70, stayed=56), Sums(members=80, stayed=48))
    >>> round(found.value, 4), round(found.low, 4), round(found.high, 4)
    (0.2, 0.0524, 0.3339)
    """
    if not treated.members or not control.members:
        return None
    with_it, without = (wilson(arm.stayed, arm.members) for arm in (treated, control))
    gap = with_it.value - without.value
    below = math.hypot(with_it.value - with_it.low, without.high - without.value)
    above = math.hypot(with_it.high - with_it.value, without.value - without.low)
    return Estimate(gap, gap - below, gap + above)


def difference_of_means(treated: Sums, control: Sums) -> Estimate | None:
    """Treated less control in net revenue a member, adjusted by the time before (CUPED).

    Deng, Xu, Kohavi & Walker 2013: what the time before explains is taken off both arms. The
    interval is Welch's with the normal quantile. None where an arm has fewer than two members.
    """
    if min(treated.members, control.members) < 2:
        return None
    members = treated.members + control.members
    mean_x = (treated.x + control.x) / members
    spread_x = treated.xx + control.xx - members * mean_x**2
    shared = treated.xy + control.xy - mean_x * (treated.y + control.y)
    slope = shared / spread_x if spread_x > 0 else 0.0
    (one, first), (other, second) = (_adjusted(arm, slope, mean_x) for arm in (treated, control))
    half = Z * math.sqrt(first + second)
    return Estimate(one - other, one - other - half, one - other + half)


def _adjusted(arm: Sums, slope: float, mean_x: float) -> tuple[float, float]:
    """The mean of y - slope (x - mean x) of an arm, and that mean's variance."""
    members = arm.members
    mean_y, own_x = arm.y / members, arm.x / members
    squares = (
        (arm.yy - members * mean_y**2)
        - 2 * slope * (arm.xy - members * mean_y * own_x)
        + slope**2 * (arm.xx - members * own_x**2)
    )
    return mean_y - slope * (own_x - mean_x), max(squares, 0.0) / (members - 1) / members


def split_chance(control: int, members: int, share: float) -> float:
    """How often chance splits at least as unevenly as this (two-sided): the SRM check's p.

    Exact for up to 1,000 members, by the normal approximation with continuity beyond.

    >>> round(split_chance(50, 1_000, 0.05), 2), split_chance(100, 1_000, 0.05) < 1e-9
    (1.0, True)
    """
    if not members or not 0 < share < 1:
        return 1.0
    if members > 1_000:
        sd = math.sqrt(members * share * (1 - share))
        off = max(0.0, abs(control - members * share) - 0.5) / sd
        return math.erfc(off / math.sqrt(2))
    chances = [_binomial(count, members, share) for count in range(members + 1)]
    seen = chances[control] * (1 + 1e-7)
    return min(1.0, math.fsum(chance for chance in chances if chance <= seen))


def _binomial(count: int, members: int, share: float) -> float:
    ways = math.lgamma(members + 1) - math.lgamma(count + 1) - math.lgamma(members - count + 1)
    return math.exp(ways + count * math.log(share) + (members - count) * math.log1p(-share))
