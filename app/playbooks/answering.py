"""What playbooks do about alerts: each level of each alert is answered once, in one transaction.

The row in `playbook_action` is written first, under the lock of the alert; what it promises is done
in the same transaction. So a process that dies has done all of it or none, a double finds the row,
and an alert that ended meanwhile gets nothing.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, TextClause, bindparam, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Uuid

from app.kernel.db import Tx
from app.playbooks.features import AS_JSON, FACTS, PLAYBOOK_OF_ALERT
from app.playbooks.giving import carry_out
from app.playbooks.rules import POINT_FEN, sql_arm, sql_audience, sql_measure
from app.playbooks.tables import PlaybookTask, TaskState

AT_ONCE = 500
"""How many alerts one transaction answers."""

# Whether one is asked for decides which index serves, so that these are two statements each.
_ONE = "AND a.id = :only"
_DUE_SQL = f"""
    SELECT a.id
    FROM churn_alert a
    JOIN member m ON m.id = a.member_id AND m.status = 'ACTIVE' AND NOT m.is_test
    {PLAYBOOK_OF_ALERT}
    WHERE a.state IN ('L1', 'L2', 'L3') {{only}}
      AND NOT EXISTS (
          SELECT FROM playbook_action done
          WHERE done.member_id = a.member_id AND done.alert_id = a.id AND done.level = a.state)
    ORDER BY a.member_id
    LIMIT :at_most
    FOR UPDATE OF a SKIP LOCKED
    """
_DUE, _DUE_ONE = (text(_DUE_SQL.format(only=only)) for only in ("", _ONE))
_ACT = text(
    f"""
    WITH drawn AS (
        SELECT a.member_id, a.id AS alert_id, a.state AS level, p.id AS playbook_id,
               p.experiment_id, {sql_audience("s.stage")} AS audience,
               {AS_JSON} AS features, worth.value_fen, p.persuadable_only, rank.effect,
               {
        sql_arm(
            "p.experiment_id",
            "a.member_id",
            "a.state",
            "p.holdout_permille",
            "p.level_holdout_permille",
        )
    } AS arm
        FROM churn_alert a
        JOIN member m ON m.id = a.member_id
        {PLAYBOOK_OF_ALERT}
        {FACTS}
        LEFT JOIN alert_rank rank ON rank.member_id = a.member_id AND rank.alert_id = a.id
        WHERE a.id = ANY(:alerts)
    ), planned AS (
        SELECT drawn.*, coalesce(t.kind, 'NOTHING') AS kind, t.batch_id, t.points, t.text_zh,
               t.text_en, t.for_leader, t.contact_fen,
               coalesce(
                   drawn.persuadable_only AND t.kind <> 'NOTHING'
                   AND drawn.effect * drawn.value_fen
                       <= t.contact_fen + coalesce(t.points, 0) * {POINT_FEN},
                   false) AS left_alone
        FROM drawn
        {sql_measure("drawn.playbook_id", "drawn.level", "drawn.audience")}
    ), judged AS (
        SELECT planned.*, CASE
            WHEN arm <> 'TREATED' THEN 'HELD_OUT'
            WHEN kind = 'NOTHING' THEN 'NOTHING'
            WHEN left_alone THEN 'LEFT_ALONE'
            ELSE 'DONE' END AS outcome
        FROM planned
    ), written AS (
        INSERT INTO playbook_action (member_id, alert_id, level, playbook_id, experiment_id,
            audience, arm, kind, outcome, left_alone, cost_fen, features, at)
        SELECT member_id, alert_id, level, playbook_id, experiment_id, audience, arm, kind, outcome,
               left_alone,
               CASE WHEN outcome = 'DONE'
                    THEN coalesce(contact_fen, 0) + coalesce(points, 0) * {POINT_FEN}
                    ELSE 0 END,
               features, :now
        FROM judged ORDER BY member_id
        ON CONFLICT DO NOTHING
        RETURNING member_id, alert_id, level, kind, outcome
    )
    SELECT w.member_id, w.alert_id, w.level, w.kind, w.outcome, j.playbook_id, j.batch_id, j.points,
           j.text_zh, j.text_en, coalesce(j.for_leader, false) AS for_leader
    FROM written w JOIN judged j USING (member_id, alert_id, level)
    ORDER BY w.member_id
    """
).bindparams(bindparam("alerts", type_=ARRAY(Uuid())))

_OVER_SQL = """
    SELECT k.id FROM playbook_task k
    JOIN churn_alert a ON a.member_id = k.member_id AND a.id = k.alert_id
    WHERE k.state = 'OPEN' AND a.closed_at IS NOT NULL {only}
    ORDER BY k.member_id LIMIT :at_most
    FOR UPDATE OF k SKIP LOCKED
    """
_OVER, _OVER_ONE = (text(_OVER_SQL.format(only=only)) for only in ("", _ONE))


@dataclass(frozen=True, slots=True)
class Answered:
    """What one call did: alerts looked at, measures carried out, and members held out."""

    looked_at: int = 0
    done: int = 0
    held_out: int = 0


async def answer_alerts(
    tx: Tx, *, alert_id: UUID | None = None, at_most: int = AT_ONCE
) -> Answered:
    """Answer the present level of alerts that no playbook has answered yet, or of one alert.

    Each level of each alert is answered once ever, by the version in force now: a level that passed
    while nobody looked is left out. Alerts locked by another are passed over, and found by the
    next call. Members who are held out get a row and nothing else; a batch that cannot serve gets
    it written down, and staff are told.
    """
    due = await _ids(tx, _DUE, _DUE_ONE, alert_id, at_most)
    if not due:
        return Answered()
    rows = (await tx.session.execute(_ACT, {"alerts": due, "now": tx.now})).all()
    doing: list[Row[Any]] = [row for row in rows if row.outcome == "DONE"]
    refused = await carry_out(tx, doing)
    held = sum(row.outcome == "HELD_OUT" for row in rows)
    return Answered(len(due), len(doing) - refused, held)


async def cancel_tasks(tx: Tx, *, alert_id: UUID | None = None, at_most: int = AT_ONCE) -> int:
    """End tasks whose alert is over, or those of one alert; answers how many."""
    over = await _ids(tx, _OVER, _OVER_ONE, alert_id, at_most)
    if over:
        await tx.session.execute(
            update(PlaybookTask)
            .where(PlaybookTask.id.in_(over))
            .values(state=TaskState.CANCELLED, closed_at=tx.now)
        )
    return len(over)


async def _ids(
    tx: Tx, of_all: TextClause, of_one: TextClause, alert_id: UUID | None, at_most: int
) -> list[UUID]:
    given: dict[str, object] = {"at_most": at_most}
    if alert_id is None:
        return list(await tx.session.scalars(of_all, given))
    return list(await tx.session.scalars(of_one, {**given, "only": alert_id}))
