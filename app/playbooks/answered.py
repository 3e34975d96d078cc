"""Which alerts were answered, and what became of their members: for judging warnings fairly."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from app.kernel.db import Read

# As in effects.py: levels that do nothing, and members whom the policy leaves alone, are in no arm.
_FIRST = text(
    """
    WITH acted AS (
        SELECT member_id, alert_id, experiment_id, min(at) AS at, bool_or(arm = 'CONTROL') AS held
        FROM playbook_action
        WHERE at >= :since AND at < :until AND kind <> 'NOTHING' AND NOT left_alone
          AND (uuid_hash(member_id) & 1048575) < :drawn
        GROUP BY member_id, alert_id, experiment_id
    )
    SELECT a.member_id, a.experiment_id, a.held, extract(epoch FROM a.at)::bigint AS at,
        extract(epoch FROM (
            SELECT min(o.paid_at) FROM member_order o
            WHERE o.member_id = a.member_id AND o.paid_at > a.at AND o.paid_at < :until
              AND o.cancelled_at IS NULL
        ))::bigint AS woken
    FROM acted a ORDER BY a.at, a.member_id
    """
)


@dataclass(frozen=True, slots=True)
class FirstAction:
    """The first action about an alert, and the member's next order; instants in epoch seconds.

    `held_out` tells whether the lot kept the whole playbook from the member.
    """

    member_id: UUID
    experiment_id: UUID
    held_out: bool
    at: int
    woken: int | None


async def first_actions(
    read: Read, *, since: datetime, until: datetime, drawn: int
) -> list[FirstAction]:
    """First actions within a time, the oldest first; of members whose hash is below `drawn`.

    Orders at or after `until` are not seen. `drawn` is out of 1,048,576.
    """
    rows = await read.session.execute(_FIRST, {"since": since, "until": until, "drawn": drawn})
    return [
        FirstAction(row.member_id, row.experiment_id, row.held, row.at, row.woken) for row in rows
    ]
