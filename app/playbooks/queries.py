"""Batched reads of playbooks, what they did, and the queue of alerts by what acting is worth."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import bindparam, func, literal, select, text, true, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased
from sqlalchemy.types import Uuid

from app.churn import OPEN_STATES, ChurnAlert
from app.kernel.db import Read
from app.playbooks.rules import POINT_FEN, sql_arm, sql_audience, sql_measure
from app.playbooks.tables import (
    AlertRank,
    Audience,
    Level,
    MeasureKind,
    Playbook,
    PlaybookAction,
    PlaybookMeasure,
    PlaybookMessage,
    PlaybookState,
    PlaybookTask,
)

MOST_MESSAGES: Final = 50
"""How many messages of a member are shown."""


async def playbooks_by_id(read: Read, keys: Iterable[UUID]) -> dict[UUID, Playbook]:
    """Versions by id; unknown ids are absent."""
    rows = await read.session.scalars(select(Playbook).where(Playbook.id.in_(list(keys))))
    return {row.id: row for row in rows}


async def playbooks_page(
    read: Read, *, first: int, after: UUID | None = None, state: PlaybookState | None = None
) -> list[Playbook]:
    """Versions, newest first; one more than `first` if there are more."""
    query = select(Playbook).order_by(Playbook.id.desc()).limit(first + 1)
    if after is not None:
        query = query.where(Playbook.id < after)
    if state is not None:
        query = query.where(Playbook.state == state)
    return list(await read.session.scalars(query))


async def measures_by_playbook(
    read: Read, keys: Iterable[UUID]
) -> dict[UUID, list[PlaybookMeasure]]:
    """The measures of each version, by level and audience."""
    rows = await read.session.scalars(
        select(PlaybookMeasure)
        .where(PlaybookMeasure.playbook_id.in_(list(keys)))
        .order_by(PlaybookMeasure.level, PlaybookMeasure.audience)
    )
    found: dict[UUID, list[PlaybookMeasure]] = {}
    for row in rows:
        found.setdefault(row.playbook_id, []).append(row)
    return found


async def actions_by_alert(read: Read, keys: Iterable[UUID]) -> dict[UUID, list[PlaybookAction]]:
    """What was done about each alert, level by level."""
    alerts = list(keys)
    # By member, as the key goes; alerts know theirs.
    members = select(ChurnAlert.member_id).where(ChurnAlert.id.in_(alerts))
    rows = await read.session.scalars(
        select(PlaybookAction)
        .where(PlaybookAction.member_id.in_(members), PlaybookAction.alert_id.in_(alerts))
        .order_by(PlaybookAction.level)
    )
    found: dict[UUID, list[PlaybookAction]] = {}
    for row in rows:
        found.setdefault(row.alert_id, []).append(row)
    return found


async def messages_by_member(read: Read, keys: Iterable[UUID]) -> dict[UUID, list[PlaybookMessage]]:
    """The newest 50 messages of each member, newest first.

    Ids rise with time, so that no more than those are read, by the key.
    """
    asked = (
        func.unnest(literal(list(keys), ARRAY(Uuid())))
        .table_valued("member_id")
        .render_derived("k")
    )
    newest = aliased(
        PlaybookMessage,
        select(PlaybookMessage)
        .where(PlaybookMessage.member_id == asked.c.member_id)
        .order_by(PlaybookMessage.id.desc())
        .limit(MOST_MESSAGES)
        .lateral("newest"),
    )
    rows = await read.session.scalars(
        select(newest).select_from(asked).join(newest, true()).order_by(newest.id.desc())
    )
    found: dict[UUID, list[PlaybookMessage]] = {}
    for row in rows:
        found.setdefault(row.member_id, []).append(row)
    return found


async def tasks_by_id(read: Read, keys: Iterable[UUID]) -> dict[UUID, PlaybookTask]:
    """Tasks by id; unknown ids are absent."""
    rows = await read.session.scalars(select(PlaybookTask).where(PlaybookTask.id.in_(list(keys))))
    return {row.id: row for row in rows}


async def rank_by_member(read: Read, keys: Iterable[UUID]) -> dict[UUID, AlertRank]:
    """Where the open alert of each member stands; members without a place are absent."""
    rows = await read.session.scalars(select(AlertRank).where(AlertRank.member_id.in_(list(keys))))
    return {row.member_id: row for row in rows}


async def ranked_page(
    read: Read, *, first: int, after: tuple[int, UUID] | None = None
) -> list[tuple[AlertRank, ChurnAlert]]:
    """Open alerts, those first about which acting is worth most; one more than `first` if any."""
    query = (
        select(AlertRank, ChurnAlert)
        .join(
            ChurnAlert,
            (ChurnAlert.member_id == AlertRank.member_id) & (ChurnAlert.id == AlertRank.alert_id),
        )
        .where(ChurnAlert.state.in_(OPEN_STATES))
        .order_by(AlertRank.priority_fen.desc(), AlertRank.alert_id.desc())
        .limit(first + 1)
    )
    if after is not None:
        query = query.where(tuple_(AlertRank.priority_fen, AlertRank.alert_id) < tuple_(*after))
    return [(rank, alert) for rank, alert in await read.session.execute(query)]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a version would do for the alerts that are open now, at one level for one audience."""

    level: Level
    audience: Audience
    kind: MeasureKind
    members: int
    held_out: int
    # At most: every coupon used to its most, every contact paid.
    cost_fen: int
    # Coupons that its batch can still give; none for other measures.
    coupons_left: int | None


# Alerts just raised are answered as L1 within minutes. Members are drawn once an experiment, not
# once a version: versions with the same shares draw alike, so that a page of them costs one look at
# the open alerts. What coupons cost is bounded by how many there are and the money for them.
_PREVIEW = text(
    f"""
    WITH asked AS (
        SELECT * FROM playbook WHERE id = ANY(:ids) AND state <> 'RETIRED'
    ), facing AS (
        SELECT a.member_id, m.community_id, {sql_audience("s.stage")} AS audience,
               CASE a.state WHEN 'OPEN' THEN 'L1' ELSE a.state END AS level
        FROM churn_alert a
        JOIN member m ON m.id = a.member_id AND m.status = 'ACTIVE' AND NOT m.is_test
        LEFT JOIN member_stage s ON s.member_id = a.member_id
        WHERE a.state IN ('OPEN', 'L1', 'L2', 'L3')
    ), drawn AS (
        SELECT e.experiment_id, f.community_id, f.level, f.audience, count(*) AS members,
               count(*) FILTER (WHERE {
        sql_arm(
            "e.experiment_id",
            "f.member_id",
            "f.level",
            "e.holdout_permille",
            "e.level_holdout_permille",
        )
    } <> 'TREATED') AS held_out
        FROM (
            SELECT DISTINCT experiment_id, holdout_permille, level_holdout_permille FROM asked
        ) e CROSS JOIN facing f
        GROUP BY e.experiment_id, f.community_id, f.level, f.audience
    ), met AS (
        SELECT p.id, d.level, d.audience, sum(d.members) AS members, sum(d.held_out) AS held_out
        FROM asked p JOIN drawn d ON d.experiment_id = p.experiment_id
         AND (p.community_id IS NULL OR p.community_id = d.community_id)
        GROUP BY p.id, d.level, d.audience
    )
    SELECT met.id, met.level, met.audience, coalesce(t.kind, 'NOTHING') AS kind, met.members,
           met.held_out,
           (met.members - met.held_out)
               * (coalesce(t.contact_fen, 0) + coalesce(t.points, 0) * {POINT_FEN})
           + least((met.members - met.held_out) * coalesce(c.max_discount_fen, 0),
                   b.budget_fen - b.reserved_fen - b.spent_fen,
                   (b.quantity - b.granted - b.set_aside)::numeric * c.max_discount_fen)
               AS cost_fen,
           b.quantity - b.granted - b.set_aside AS coupons_left
    FROM met
    {sql_measure("met.id", "met.level", "met.audience")}
    LEFT JOIN coupon_batch b ON b.id = t.batch_id
    LEFT JOIN coupon_template c ON c.id = b.template_id
    ORDER BY met.id, met.level, met.audience
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid())))


async def preview_by_playbook(read: Read, keys: Iterable[UUID]) -> dict[UUID, list[Expected]]:
    """Who would get what if each version answered the alerts that are open now.

    One statement, whatever the number of versions. Retired ones will answer nothing, and are
    absent.
    """
    found: dict[UUID, list[Expected]] = {}
    for row in await read.session.execute(_PREVIEW, {"ids": list(keys)}):
        found.setdefault(row.id, []).append(
            Expected(
                Level(row.level),
                Audience(row.audience),
                MeasureKind(row.kind),
                int(row.members),
                int(row.held_out),
                int(row.cost_fen),
                row.coupons_left,
            )
        )
    return found
