"""Triggers that follow what happened: the scores that rose, what came of them, and what was found.

The nights a week apart are looked at, as far back as a rise may still be judged by, of at most some
20,000 members, always the same ones: a share of a few hundred rises is known to two points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import numpy as np
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert

from app.churn.copying import NEVER, Column
from app.churn.settings import follows, own_trigger, precision
from app.churn.tables import ChurnNight, ChurnTrigger
from app.kernel.db import Read, Tx
from app.segments import CHURNED_AFTER

LONGEST: Final = timedelta(days=91)
"""How far back in the calendar rises are judged, beside the horizon that they take."""

APART: Final = timedelta(days=7)
LEAST_APART: Final = timedelta(days=6.5)
"""How far apart the nights are that are looked at; a late night is no missing week."""

MEMBERS: Final = 20_000
HASHES: Final = 1_048_576
"""How many hashes of ids are told apart where members are drawn."""

LOWEST: Final = 0.25
"""Lower scores can raise no alert in any setting worth having."""

# Scores and orders in one line of time: the latest order before each score and the next one after,
# an order at the instant of a score coming after it. Members are drawn by the hash of their id,
# which has nothing to do with them. Whoever has churned already is not alerted.
_RISES = text(
    """
    WITH scored AS MATERIALIZED (
        SELECT member_id, as_of AS at, probability FROM churn_score_history
        WHERE as_of = ANY(:nights) AND (uuid_hash(member_id) & 1048575) < :drawn
    ), bought AS MATERIALIZED (
        SELECT member_id, paid_at FROM member_order
        WHERE paid_at >= :since AND paid_at < :until AND cancelled_at IS NULL
            AND (uuid_hash(member_id) & 1048575) < :drawn
    ), line AS (
        SELECT member_id, at, probability, NULL::timestamptz AS paid FROM scored
        UNION ALL SELECT member_id, paid_at, NULL, paid_at FROM bought
    ), placed AS (
        SELECT *, max(paid) OVER (PARTITION BY member_id ORDER BY at, paid NULLS FIRST
                ROWS UNBOUNDED PRECEDING) AS ordered,
            min(paid) OVER (PARTITION BY member_id ORDER BY at DESC, paid DESC NULLS LAST
                ROWS UNBOUNDED PRECEDING) AS woken
        FROM line
    ), ranked AS (
        SELECT member_id, at, probability, ordered, woken,
            coalesce(max(probability) OVER (PARTITION BY member_id, ordered ORDER BY at
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS highest
        FROM placed WHERE probability IS NOT NULL
    )
    SELECT member_id, highest, probability, extract(epoch FROM at)::bigint AS at,
        extract(epoch FROM woken)::bigint AS woken
    FROM ranked
    WHERE at > :first AND probability > highest AND probability >= :lowest
        AND ordered > at - CAST(:churned AS interval)
    """
)


@dataclass(frozen=True, eq=False)
class ScoreRises:
    """Scores higher than every earlier one of the same member since their last order.

    One entry each: the member, the highest score before, the score, its instant and that of the
    member's next order (NEVER without one), in epoch seconds. `nights` is how many nights were
    looked at, and `drawn` of how many of 1,048,576 hashes of ids the members are.
    """

    members: Sequence[UUID]
    before: Column
    score: Column
    at: Column
    woken: Column
    nights: int
    drawn: int


@dataclass(frozen=True, slots=True)
class NewTrigger:
    """What was found for one precision; `trigger` and its evidence are None if nothing was."""

    precision: float
    trigger: float | None = None
    share: float | None = None
    share_error: float | None = None
    rises: int | None = None
    days: int | None = None


async def precisions_asked(read: Read) -> list[float]:
    """The precisions that communities whose trigger follows want of their alerts."""
    asked = select(precision()).where(follows(), own_trigger() > 0).distinct()
    return sorted(await read.session.scalars(asked))


async def read_rises(read: Read, *, as_of: datetime, horizon_days: int) -> ScoreRises:
    """Scores that rose before `as_of`, of nights with this horizon, and what was known then."""
    # Hours, because a day of the session's time zone may have 23 or 25 of them.
    since = as_of - LONGEST - timedelta(hours=24 * horizon_days) - APART
    rows = await read.session.execute(
        select(ChurnNight.as_of, ChurnNight.members)
        .where(
            ChurnNight.as_of >= since,
            ChurnNight.as_of < as_of,
            ChurnNight.horizon_days == horizon_days,
        )
        .order_by(ChurnNight.as_of.desc())
    )
    nights = weekly([(row.as_of, row.members) for row in rows])
    if len(nights) < 2:
        none = np.empty(0)
        whole = none.astype(np.int64)
        return ScoreRises((), none, none, whole, whole, len(nights), HASHES)
    instants = [night for night, _ in nights]
    most = max(members for _, members in nights)
    drawn = -(-MEMBERS * HASHES // max(most, MEMBERS))
    given = {
        "nights": instants,
        "first": instants[-1],
        "since": instants[-1] - CHURNED_AFTER,
        "until": as_of,
        "drawn": drawn,
        "lowest": LOWEST,
        "churned": CHURNED_AFTER,
    }
    found = (await read.session.execute(_RISES, given)).all()
    return ScoreRises(
        members=[row.member_id for row in found],
        before=np.array([row.highest for row in found], dtype=np.float64),
        score=np.array([row.probability for row in found], dtype=np.float64),
        at=np.array([row.at for row in found], dtype=np.int64),
        woken=np.array([row.woken or NEVER for row in found], dtype=np.int64),
        nights=len(nights),
        drawn=drawn,
    )


def weekly(nights: Sequence[tuple[datetime, int]]) -> list[tuple[datetime, int]]:
    """The nights a week apart, the newest of all first; `nights` are newest first.

    >>> from datetime import UTC
    >>> days = [datetime(2026, 3, day, 19, tzinfo=UTC) for day in (31, 30, 25, 24, 10)]
    >>> [at.day for at, _ in weekly([(day, 9) for day in days])]
    [31, 24, 10]
    """
    taken: list[tuple[datetime, int]] = []
    for night in nights:
        if not taken or taken[-1][0] - night[0] >= LEAST_APART:
            taken.append(night)
    return taken


async def record_triggers(
    tx: Tx, *, as_of: datetime, nights: int, found: Sequence[NewTrigger]
) -> None:
    """Keep what was found as of an instant; again it takes the place of what was kept."""
    if not found:
        return
    names = ("precision", "trigger", "share", "share_error", "rises", "days")
    rows = [
        {name: getattr(one, name) for name in names}
        | {"as_of": as_of, "nights": nights, "created_at": tx.now}
        for one in found
    ]
    statement = insert(ChurnTrigger).values(rows)
    new = {name: statement.excluded[name] for name in (*names[1:], "nights", "created_at")}
    await tx.session.execute(
        statement.on_conflict_do_update(
            index_elements=[ChurnTrigger.precision, ChurnTrigger.as_of], set_=new
        )
    )


async def triggers(read: Read, *, first: int) -> list[ChurnTrigger]:
    """What the latest nights found, the newest first, by precision."""
    query = select(ChurnTrigger).order_by(ChurnTrigger.as_of.desc(), ChurnTrigger.precision)
    return list(await read.session.scalars(query.limit(first)))
