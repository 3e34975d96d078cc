"""Carrying out measures: coupons, points, messages and tasks, many members a statement."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, insert, select, text, tuple_, update

from app import coupons, points, staff
from app.churn import ChurnAlert
from app.kernel.clock import business_day
from app.kernel.db import Tx
from app.kernel.table import Json
from app.playbooks.events import PlaybookMessageSent
from app.playbooks.rules import TASK_LASTS
from app.playbooks.tables import (
    ActionOutcome,
    MeasureKind,
    PlaybookAction,
    PlaybookMessage,
    PlaybookTask,
    TaskState,
)

# A row of `answering._ACT`.
Act = Row[Any]
SHORTAGE_NOTICE = "playbook.coupons_gone"

_PEOPLE = text(
    """
    SELECT m.id, m.nickname, m.community_id, liked.category
    FROM member m
    LEFT JOIN LATERAL (
        SELECT l.category FROM order_line l
        JOIN member_order o ON o.member_id = l.member_id AND o.id = l.order_id
        WHERE l.member_id = m.id AND l.category IS NOT NULL
          AND o.paid_at >= CAST(:now AS timestamptz) - interval '365 days'
        GROUP BY l.category ORDER BY sum(l.quantity) DESC, l.category LIMIT 1
    ) liked ON true
    WHERE m.id = ANY(CAST(:ids AS uuid[]))
    """
)
_NOTE_COUPONS = text(
    """
    UPDATE playbook_action a SET coupon_id = g.coupon_id
    FROM unnest(
        CAST(:member_ids AS uuid[]), CAST(:alert_ids AS uuid[]), CAST(:levels AS text[]),
        CAST(:coupon_ids AS uuid[])
    ) AS g(member_id, alert_id, level, coupon_id)
    WHERE a.member_id = g.member_id AND a.alert_id = g.alert_id AND a.level = g.level
    """
)
# What stands for a category that nobody knows.
_PLACE = re.compile(r"\{(nickname|category)\}")
_SEASON = {"zh": "当季好物", "en": "what is in season"}


async def carry_out(tx: Tx, acts: Sequence[Act]) -> int:
    """Do what the rows promise; answers how many could not be, whose rows say why."""
    by_kind: dict[str, list[Act]] = defaultdict(list)
    for act in acts:
        by_kind[act.kind].append(act)
    refused = await _give_coupons(tx, by_kind[MeasureKind.COUPON])
    await _give_points(tx, by_kind[MeasureKind.POINTS])
    spoken = [*by_kind[MeasureKind.MESSAGE], *by_kind[MeasureKind.TASK]]
    if spoken:
        people = await _people(tx, [act.member_id for act in spoken])
        await _write_messages(tx, by_kind[MeasureKind.MESSAGE], people)
        await _set_tasks(tx, by_kind[MeasureKind.TASK], people)
    return refused


async def _give_coupons(tx: Tx, acts: Sequence[Act]) -> int:
    by_batch: dict[UUID, list[Act]] = defaultdict(list)
    for act in acts:
        by_batch[act.batch_id].append(act)
    refused = 0
    # Batches are locked in this order by every caller.
    for batch_id in sorted(by_batch):
        refused += await _give_from(tx, batch_id, by_batch[batch_id])
    return refused


async def _give_from(tx: Tx, batch_id: UUID, acts: Sequence[Act]) -> int:
    members = [act.member_id for act in acts]
    try:
        grants = await coupons.grant(
            tx,
            batch_id=batch_id,
            member_ids=members,
            source=coupons.Source.CAMPAIGN,
            source_id=acts[0].playbook_id,
        )
    except coupons.BatchNotActive:
        batch = (await coupons.batches_by_id(tx, [batch_id]))[batch_id]
        gone = batch.state is coupons.BatchState.EXHAUSTED
        why = ActionOutcome.OUT_OF_STOCK if gone else ActionOutcome.BATCH_NOT_ACTIVE
        outcomes = dict.fromkeys(members, why)
    except coupons.ValidityOver:
        outcomes = dict.fromkeys(members, ActionOutcome.VALIDITY_OVER)
    else:
        await _note_coupons(tx, acts, grants.granted)
        outcomes = {
            **dict.fromkeys(grants.unserved, ActionOutcome.OUT_OF_STOCK),
            **dict.fromkeys(grants.at_limit, ActionOutcome.AT_LIMIT),
            **dict.fromkeys(grants.not_active, ActionOutcome.MEMBER_NOT_ACTIVE),
        }
    await _note_refusals(tx, batch_id, acts, outcomes)
    return len(outcomes)


async def _note_coupons(tx: Tx, acts: Sequence[Act], granted: Mapping[UUID, UUID]) -> None:
    given = [act for act in acts if act.member_id in granted]
    if given:
        await tx.session.execute(
            _NOTE_COUPONS,
            {
                "member_ids": [act.member_id for act in given],
                "alert_ids": [act.alert_id for act in given],
                "levels": [act.level for act in given],
                "coupon_ids": [granted[act.member_id] for act in given],
            },
        )


async def _note_refusals(
    tx: Tx, batch_id: UUID, acts: Sequence[Act], outcomes: Mapping[UUID, ActionOutcome]
) -> None:
    """Write down what could not be given, and tell staff of a batch that cannot give."""
    of_batch: dict[ActionOutcome, int] = defaultdict(int)
    keys: dict[ActionOutcome, list[tuple[UUID, UUID, str]]] = defaultdict(list)
    for act in acts:
        outcome = outcomes.get(act.member_id)
        if outcome is not None:
            keys[outcome].append((act.member_id, act.alert_id, act.level))
            of_batch[outcome] += outcome in _BATCH_FAULTS
    for outcome, chosen in keys.items():
        place = tuple_(PlaybookAction.member_id, PlaybookAction.alert_id, PlaybookAction.level)
        await tx.session.execute(
            update(PlaybookAction).where(place.in_(chosen)).values(outcome=outcome, cost_fen=0)
        )
    told = [
        staff.Notice(
            kind=SHORTAGE_NOTICE,
            subject=f"{batch_id}: {outcome.value}",
            facts={
                "batchId": str(batch_id),
                "playbookId": str(acts[0].playbook_id),
                "why": outcome.value,
                "members": members,
            },
        )
        for outcome, members in of_batch.items()
        if members
    ]
    await staff.notify(tx, told, day=business_day(tx.now))


_BATCH_FAULTS = frozenset(
    {ActionOutcome.OUT_OF_STOCK, ActionOutcome.BATCH_NOT_ACTIVE, ActionOutcome.VALIDITY_OVER}
)


async def _give_points(tx: Tx, acts: Sequence[Act]) -> None:
    if not acts:
        return
    await points.earn_each(
        tx,
        amounts={act.member_id: act.points for act in acts},
        source=points.Source.CAMPAIGN,
        rule="playbook",
        # The action's row is what keeps it from coming twice; this only has to be new.
        subject=str(tx.new_id()),
    )


async def _people(tx: Tx, ids: Sequence[UUID]) -> dict[UUID, Act]:
    rows = await tx.session.execute(_PEOPLE, {"ids": list(ids), "now": tx.now})
    return {row.id: row for row in rows}


def _said(words: str, locale: str, person: Act) -> str:
    """The words with the member's own name and favourite category in them."""
    known = {"nickname": person.nickname, "category": person.category or _SEASON[locale]}
    # In one pass: what stands in a name is no placeholder.
    return _PLACE.sub(lambda found: known[found[1]], words)


async def _write_messages(tx: Tx, acts: Sequence[Act], people: Mapping[UUID, Act]) -> None:
    rows: list[Json] = [
        {
            "member_id": act.member_id,
            "id": tx.new_id(),
            "alert_id": act.alert_id,
            "level": act.level,
            "text_zh": _said(act.text_zh, "zh", people[act.member_id]),
            "text_en": _said(act.text_en, "en", people[act.member_id]),
            "sent_at": tx.now,
        }
        for act in acts
    ]
    if rows:
        await tx.session.execute(insert(PlaybookMessage), rows)
    for row in rows:
        tx.emit(
            PlaybookMessageSent(
                member_id=row["member_id"],
                message_id=row["id"],
                zh=row["text_zh"],
                en=row["text_en"],
            )
        )


async def _set_tasks(tx: Tx, acts: Sequence[Act], people: Mapping[UUID, Act]) -> None:
    if not acts:
        return
    found = await tx.session.execute(
        select(ChurnAlert.id, ChurnAlert.reasons).where(
            ChurnAlert.id.in_([act.alert_id for act in acts])
        )
    )
    reasons = {row.id: row.reasons for row in found}
    rows = [
        {
            "member_id": act.member_id,
            "id": tx.new_id(),
            "alert_id": act.alert_id,
            "level": act.level,
            "community_id": people[act.member_id].community_id,
            "for_leader": act.for_leader,
            "reasons": reasons[act.alert_id],
            "script_zh": _said(act.text_zh, "zh", people[act.member_id]),
            "script_en": _said(act.text_en, "en", people[act.member_id]),
            "state": TaskState.OPEN,
            "created_at": tx.now,
            "due_at": tx.now + TASK_LASTS,
        }
        for act in acts
    ]
    await tx.session.execute(insert(PlaybookTask), rows)
