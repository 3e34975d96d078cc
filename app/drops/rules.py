"""When a drop takes claims, and from whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from app.drops.tables import Drop, DropState

# Under this name the idempotency keys of claims are stored.
COMMAND = "claimDrop"
LIVE = frozenset({DropState.SCHEDULED, DropState.OPEN})
# Staff cancel also what has sold out, but nothing that has ended otherwise.
CANCELLABLE = LIVE | {DropState.SOLD_OUT}
MOST_WINDOWS = 5


@dataclass(frozen=True, slots=True)
class Window:
    """Early access: from `opens_at` on, `stock` more coupons for members of `rank` or above."""

    rank: int
    opens_at: datetime
    stock: int


@dataclass(frozen=True, slots=True)
class Early:
    """What early access allows at an instant: who may claim, and how many by then in all."""

    rank: int
    stock: int


def takes_claims(drop: Drop, at: datetime) -> bool:
    """True within the drop's hours, even where nobody has opened it or closed it on time."""
    return drop.state in LIVE and drop.opens_at <= at < drop.closes_at


def early_at(windows: Sequence[Window], at: datetime) -> Early | None:
    """What early access allows at an instant before the opening; None before the first window.

    Windows add up: what one leaves over is there for the next, and in the end for everyone. At
    most `stock` claims are given in all until the next instant that adds to it.

    >>> from datetime import UTC, timedelta
    >>> noon = datetime(2026, 3, 18, 4, tzinfo=UTC)
    >>> windows = [Window(3, noon, 20), Window(2, noon + timedelta(minutes=10), 30)]
    >>> early_at(windows, noon)
    Early(rank=3, stock=20)
    >>> early_at(windows, noon + timedelta(minutes=10))
    Early(rank=2, stock=50)
    >>> early_at(windows, noon - timedelta(seconds=1)) is None
    True
    """
    begun = [window for window in windows if window.opens_at <= at]
    if not begun:
        return None
    return Early(min(window.rank for window in begun), sum(window.stock for window in begun))


def opens_for(opens_at: datetime, windows: Sequence[Window], rank: int) -> datetime:
    """When members of a rank can begin to claim: with their first window, or with everyone.

    >>> from datetime import UTC, timedelta
    >>> noon = datetime(2026, 3, 18, 4, tzinfo=UTC)
    >>> windows = [Window(2, noon - timedelta(minutes=10), 30)]
    >>> [opens_for(noon, windows, rank).minute for rank in (1, 2, 3)]
    [0, 50, 50]
    """
    own = [window.opens_at for window in windows if window.rank <= rank]
    return min([opens_at, *own])


def next_chance(opens_at: datetime, windows: Sequence[Window], rank: int, at: datetime) -> datetime:
    """The next instant after `at` that lets a member of this rank claim, or claim from more.

    >>> from datetime import UTC, timedelta
    >>> noon = datetime(2026, 3, 18, 4, tzinfo=UTC)
    >>> windows = [Window(2, noon - timedelta(minutes=10), 30)]
    >>> next_chance(noon, windows, 2, noon - timedelta(minutes=5)) == noon
    True
    """
    later = [window.opens_at for window in windows if window.rank <= rank and window.opens_at > at]
    return min([opens_at, *later])


def windows_fit(windows: Sequence[Window], opens_at: datetime, stock: int) -> str | None:
    """What is wrong with a drop's windows, in the order of their instants; None if nothing is.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 3, 18, 4, tzinfo=UTC)
    >>> windows_fit([Window(2, noon, 1)], noon, 10)
    'early access must begin before the drop opens'
    """
    if len(windows) > MOST_WINDOWS:
        return f"at most {MOST_WINDOWS} windows"
    if any(window.stock < 1 for window in windows):
        return "each window needs a stock of at least 1"
    if sum(window.stock for window in windows) > stock:
        return "the windows have more than the drop's stock"
    if any(window.opens_at >= opens_at for window in windows):
        return "early access must begin before the drop opens"
    for earlier, later in pairwise(windows):
        if earlier.opens_at == later.opens_at or earlier.rank <= later.rank:
            return "a later window must be for a lower tier"
    return None
