"""Scores of long ago, which nothing measures any more."""

from datetime import timedelta
from typing import Final

from sqlalchemy import text

from app.kernel.db import Tx

FORGOTTEN_AT_ONCE: Final = 10_000
"""How many scores one transaction deletes at the most."""

# Nights that were never measured keep theirs. Rows are named by their places, so that none is
# looked up by its key again.
_FORGET = text(
    """
    WITH gone AS (
        DELETE FROM churn_score_history WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM churn_score_history
            WHERE as_of < least(
                :before, (SELECT min(as_of) FROM churn_night WHERE closed_at IS NULL))
            LIMIT :batch))
        RETURNING 1
    ) SELECT count(*) FROM gone
    """
)


async def forget_scores(tx: Tx, *, kept: timedelta, batch: int = FORGOTTEN_AT_ONCE) -> int:
    """Delete some scores that were in force longer ago than `kept`; answers how many.

    Scores of a night whose outcome has not been measured stay, whatever their age, and so do
    members' newest ones, which lie elsewhere.
    """
    given = {"before": tx.now - kept, "batch": batch}
    return await tx.session.scalar(_FORGET, given) or 0
