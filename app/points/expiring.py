"""Which points end when, for members to see."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.kernel.batched import Ask, Batched
from app.kernel.statements import Lines
from app.points.tables import Currency

# The list is for a screen: whoever has more ends than this sees the soonest.
MOST_ENDS = 20


@dataclass(frozen=True, slots=True)
class Ending:
    """So many points end at this instant, which is no longer theirs."""

    expires_at: datetime
    points: int


_ENDINGS = Lines(
    f"""
SELECT k.n, e.expires_at, e.points
FROM unnest(CAST(:members AS uuid[]), CAST(:currencies AS text[]))
    WITH ORDINALITY AS k(member_id, currency, n)
JOIN LATERAL (
    SELECT expires_at, CAST(sum(remaining) AS bigint) AS points FROM points_lot
    WHERE member_id = k.member_id AND currency = k.currency AND status = 'ACTIVE'
        AND expires_at > CAST(:now AS timestamptz)
    GROUP BY expires_at ORDER BY expires_at LIMIT {MOST_ENDS}
) e ON true
ORDER BY k.n, e.expires_at
""",
    "n expires_at points",
)
AccountKey = tuple[UUID, Currency]


def _endings(
    rows: list[Mapping[str, Any]], wanted: list[AccountKey]
) -> dict[AccountKey, list[Ending]]:
    found: dict[AccountKey, list[Ending]] = {key: [] for key in wanted}
    for row in rows:
        found[wanted[row["n"] - 1]].append(Ending(row["expires_at"], row["points"]))
    return found


def _ask(keys: list[AccountKey], now: datetime) -> Ask:
    members, currencies = [key[0] for key in keys], [key[1].value for key in keys]
    return Ask(_ENDINGS, {"members": members, "currencies": currencies, "now": now})


# What of each account ends when, the soonest first, at most 20 ends.
endings_by_account: Batched[AccountKey, list[Ending]] = Batched(_ask, _endings)
