"""The queue reads an index backwards and stops: no sort, no scan, however it is filtered."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from app import churn
from app.churn.queue import page_query
from app.kernel.db import Database
from tests.make.members import community

ALERTS = 6_000
HELD = uuid4()
PLACES: dict[churn.AlertOrder, tuple[float, UUID]] = {
    churn.AlertOrder.PROBABILITY: (0.8, UUID(int=7)),
    churn.AlertOrder.EXPECTED_LOSS: (9_000, UUID(int=7)),
}
# One in fifty is in hand, one in three open.
FILL = """
WITH people AS (
  INSERT INTO member (id, community_id, nickname, status, locale, registered_at)
  SELECT gen_random_uuid(), :home, 'm', 'ACTIVE', 'zh-CN', :now FROM generate_series(1, :alerts)
  RETURNING id),
numbered AS (SELECT id, row_number() OVER () AS n FROM people)
INSERT INTO churn_alert (member_id, id, state, probability, trigger, horizon_days, reasons,
    raised_at, as_of, closed_at, value_fen, taken_by, taken_at, held_until)
SELECT id, gen_random_uuid(), CASE n % 3 WHEN 0 THEN 'L1' ELSE 'RECOVERED' END,
    0.5 + random() / 2, 0.7, 45, '[]', :now, :now, CASE n % 3 WHEN 0 THEN NULL ELSE now() END,
    n * 10, CASE n % 50 WHEN 0 THEN CAST(:held AS uuid) END,
    CASE n % 50 WHEN 0 THEN CAST(:now AS timestamptz) END,
    CASE n % 50 WHEN 0 THEN CAST(:until AS timestamptz) END
FROM numbered
"""


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


@pytest.mark.parametrize("order", [*churn.AlertOrder])
async def test_pages_of_the_queue_come_from_an_index(
    database: Database, order: churn.AlertOrder
) -> None:
    async with database.begin() as tx:
        given = {
            "home": (await community(tx)).id,
            "alerts": ALERTS,
            "now": tx.now,
            "held": HELD,
            "until": tx.now + timedelta(hours=72),
        }
        await tx.session.execute(text(FILL), given)
        await tx.session.execute(text("ANALYZE churn_alert"))
    asked = [
        churn.AlertsAsked(),
        churn.AlertsAsked(unacknowledged=True, free=True),
        churn.AlertsAsked(state=churn.AlertState.L1),
        churn.AlertsAsked(state=churn.AlertState.RECOVERED),
    ]
    async with database.read() as read:
        for one in asked:
            for after in (None, PLACES[order]):
                used = [
                    node.get("Index Name", node["Node Type"])
                    for node in nodes(await plan_of(read, one, order, after))
                ]
                column = "probability" if order is churn.AlertOrder.PROBABILITY else "expected_loss"
                name = "queue" if order is churn.AlertOrder.PROBABILITY else "loss"
                assert len(used) == 2, used
                assert used[0] == "Limit"
                assert used[1].startswith(
                    (f"ix_churn_alert_{name}", f"ix_churn_alert_state_{column}")
                ), used
        mine = await plan_of(read, churn.AlertsAsked(taken_by=HELD), order, None)
        # A person holds few: they are found by their holder, and sorted.
        used = [node.get("Index Name", node["Node Type"]) for node in nodes(mine)]
        assert "Seq Scan" not in used, used


async def plan_of(
    read: Any, asked: churn.AlertsAsked, order: churn.AlertOrder, after: Any
) -> dict[str, Any]:
    query = page_query(read, asked=asked, order=order, after=after, first=20)
    dialect = postgresql.dialect()
    sql = str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    escaped = sql.replace(":", "\\:")
    (found,) = (await read.session.scalars(text(f"EXPLAIN (FORMAT JSON) {escaped}"))).one()
    return found["Plan"]
