"""When a drop takes claims."""

from datetime import datetime

from app.drops.tables import Drop, DropState

# Under this name the idempotency keys of claims are stored.
COMMAND = "claimDrop"
LIVE = frozenset({DropState.SCHEDULED, DropState.OPEN})


def takes_claims(drop: Drop, at: datetime) -> bool:
    """True within the drop's hours, even where nobody has opened it or closed it on time."""
    return drop.state in LIVE and drop.opens_at <= at < drop.closes_at
