"""The limits of the stages, the cut points of a run, and when a run is alarming.

A limit in days is a span of 24 hours each, reached at its exact instant: 30 days to the second
after the last order is SILENT. Windows are half-open, `[as_of - days, as_of)`: what happens at
`as_of` itself belongs to the next run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

from app.kernel.table import Json
from app.segments.stages import Alarm, Stage

ONBOARDING_FOR = timedelta(days=7)
SILENT_AFTER = timedelta(days=30)
CHURNED_AFTER = timedelta(days=75)

# Windows of the facts.
FREQUENCY_WINDOW = timedelta(days=30)
SPEND_WINDOW = timedelta(days=90)
CATEGORY_WINDOW = timedelta(days=90)
BROWSE_WINDOW = timedelta(days=14)
INTEREST_WINDOW = timedelta(days=30)
RFM_WINDOW = timedelta(days=365)

# Under this many orders in the frequency window is LOW_FREQUENCY.
REGULAR_ORDERS = 2
# Rising: at least so many now, and at least half as many again as in the window before.
RISING_BROWSES = 3
RISING_ORDERS = 2
RISING_NUMERATOR, RISING_DENOMINATOR = 3, 2

VIP_PERCENT = 12
HIGH_AVERAGE_PERCENTILE = 80
QUINTILES = 5

VIP_MEMBERS_BETWEEN = 10, 15
VIP_SALES_AT_LEAST = 50


@dataclass(frozen=True, slots=True)
class CutPoints:
    """What a run drew its lines at.

    The four limits of a dimension are the largest values of its lowest four quintiles, so that
    equal values always score alike. None, or no limits, where nobody has an order.
    """

    vip_net90: int | None
    high_average: int | None
    recency: tuple[int, ...]
    frequency: tuple[int, ...]
    monetary: tuple[int, ...]

    def stored(self) -> Json:
        """As it is kept with the run."""
        return {
            "vip_net90": self.vip_net90,
            "high_average": self.high_average,
            "recency": list(self.recency),
            "frequency": list(self.frequency),
            "monetary": list(self.monetary),
        }


def position(count: int, percent: int) -> int:
    """The place (from 1, in ascending order) of a percentile among `count` values.

    The smallest value that at least `percent` of the values do not exceed, in integers, because
    0.55 * 20 is a little over 11 in binary fractions.

    >>> position(20, 55), position(1, 80)
    (11, 1)
    """
    return max(1, -(-count * percent // 100))


def vip_position(count: int) -> int:
    """The place, in ascending order of spend, of the last member who is among the top 12%."""
    return count - position(count, VIP_PERCENT) + 1


def alarms(counts: Mapping[Stage, int], *, vip_net90: int, total_net90: int) -> list[Alarm]:
    """What is wrong with the share of VIPs: members outside 10–15%, or under half of the sales.

    >>> alarms({Stage.VIP: 12, Stage.REGULAR: 88}, vip_net90=49, total_net90=100)
    [<Alarm.VIP_SHARE_OF_SALES: 'VIP_SHARE_OF_SALES'>]
    """
    found: list[Alarm] = []
    everyone = sum(counts.values())
    low, high = VIP_MEMBERS_BETWEEN
    share = 100 * counts.get(Stage.VIP, 0)
    if everyone and not low * everyone <= share <= high * everyone:
        found.append(Alarm.VIP_SHARE_OF_MEMBERS)
    if total_net90 > 0 and 100 * vip_net90 < VIP_SALES_AT_LEAST * total_net90:
        found.append(Alarm.VIP_SHARE_OF_SALES)
    return found


@dataclass(frozen=True, slots=True)
class Silence:
    """A time of 30 days or more without an order, and the order that ended it, if any did."""

    silent_from: datetime
    woken_at: datetime | None = None
    order_id: UUID | None = None


def silences_between(paid: Sequence[tuple[datetime, UUID]], now: datetime) -> list[Silence]:
    """The silences of a member whose orders that count were paid at these instants, ascending.

    >>> from datetime import UTC
    >>> march, june = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
    >>> order = UUID(int=1)
    >>> [s.silent_from.date().isoformat() for s in silences_between([(march, order)], june)]
    ['2026-03-31']
    >>> silences_between([(march, order), (june, order)], june)[0].woken_at == june
    True
    """
    found: list[Silence] = []
    for (before, _), (after, order_id) in pairwise(paid):
        if after >= before + SILENT_AFTER:
            found.append(Silence(before + SILENT_AFTER, after, order_id))
    if paid and paid[-1][0] + SILENT_AFTER <= now:
        found.append(Silence(paid[-1][0] + SILENT_AFTER))
    return found
