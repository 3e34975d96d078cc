"""Builders of playbooks, and of alerts at a level for them to answer."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import update

from app import churn, members, playbooks
from app.kernel.db import Tx
from app.playbooks import Audience, Level, MeasureDraft, MeasureKind
from app.segments import Stage
from tests.make import churn as make_churn
from tests.make import coupons as make_coupons
from tests.make import members as make_members
from tests.make import segments as make_segments


def message(level: Level = Level.L1, audience: Audience = Audience.OTHERS) -> MeasureDraft:
    """A message with the member's name and favourite category."""
    return MeasureDraft(
        level,
        audience,
        MeasureKind.MESSAGE,
        text_zh="{nickname}，{category}到货了",
        text_en="{nickname}, fresh: {category}",
    )


def coupon(
    batch_id: UUID, level: Level = Level.L1, audience: Audience = Audience.OTHERS
) -> MeasureDraft:
    """A coupon of a batch."""
    return MeasureDraft(level, audience, MeasureKind.COUPON, batch_id=batch_id)


def task(
    level: Level = Level.L3, audience: Audience = Audience.OTHERS, *, for_leader: bool = False
) -> MeasureDraft:
    """A call that costs 5 yuan."""
    return MeasureDraft(
        level,
        audience,
        MeasureKind.TASK,
        text_zh="问候{nickname}",
        text_en="Greet {nickname}",
        contact_fen=500,
        for_leader=for_leader,
    )


async def playbook(
    tx: Tx, measures: Sequence[MeasureDraft], *, active: bool = True, **design: Any
) -> playbooks.Playbook:
    """A playbook in force, with nobody held out unless told otherwise."""
    given: dict[str, Any] = {"holdout_permille": 0, "level_holdout_permille": 0, **design}
    draft = playbooks.PlaybookDraft(name="挽留", measures=measures, **given)
    row = await playbooks.create_playbook(tx, draft=draft, by=None)
    return await playbooks.activate_playbook(tx, playbook_id=row.id) if active else row


async def alerts(
    tx: Tx,
    count: int,
    *,
    level: churn.AlertState = churn.AlertState.L1,
    stage: Stage | None = Stage.REGULAR,
    net90: int = 9_000,
    community_id: UUID | None = None,
    is_test: bool = False,
) -> dict[UUID, UUID]:
    """So many members with an alert at a level: member -> alert."""
    ids: list[UUID] = []
    for _ in range(count):
        row = await make_members.member(tx, community_id=community_id, is_test=is_test)
        ids.append(row.id)
        if stage is not None:
            await make_segments.stage(tx, member_id=row.id, stage=stage, net90=net90)
    await make_churn.scores(tx, member_ids=ids, probability=[0.9] * count)
    await tx.session.execute(
        update(churn.ChurnAlert)
        .where(churn.ChurnAlert.member_id.in_(ids))
        .values(state=level, escalates_at=tx.now + timedelta(hours=72))
    )
    found = await churn.open_alert_by_member(tx, ids)
    return {member_id: row.id for member_id, row in found.items()}


async def acted(
    tx: Tx,
    *,
    playbook: playbooks.Playbook,
    member_id: UUID,
    arm: playbooks.Arm = playbooks.Arm.TREATED,
    level: Level = Level.L1,
    audience: Audience = Audience.OTHERS,
    at: datetime | None = None,
    features: dict[str, Any] | None = None,
    cost_fen: int = 0,
    left_alone: bool = False,
) -> playbooks.PlaybookAction:
    """An action of the past, for what is measured later."""
    treated = arm is playbooks.Arm.TREATED
    outcome = playbooks.ActionOutcome.DONE if treated else playbooks.ActionOutcome.HELD_OUT
    if left_alone and treated:
        outcome = playbooks.ActionOutcome.LEFT_ALONE
    row = playbooks.PlaybookAction(
        member_id=member_id,
        alert_id=tx.new_id(),
        level=level,
        playbook_id=playbook.id,
        experiment_id=playbook.experiment_id,
        audience=audience,
        arm=arm,
        kind=MeasureKind.MESSAGE,
        outcome=outcome,
        left_alone=left_alone,
        cost_fen=cost_fen,
        features=features or {},
        at=at or tx.now,
    )
    tx.session.add(row)
    await tx.session.flush()
    return row


async def everything(tx: Tx, *, member_id: UUID, alert: churn.ChurnAlert) -> dict[str, UUID]:
    """One of each: a playbook with its batch, a task of the leader, a message, a place, an arm."""
    batch = await make_coupons.batch(tx)
    home = (await members.by_id(tx, [member_id]))[member_id].community_id
    row = await playbook(
        tx, [coupon(batch.id, Level.L2), message(), task(for_leader=True)], community_id=home
    )
    await acted(tx, playbook=row, member_id=member_id, at=tx.now - timedelta(days=60))
    for arm in (playbooks.Arm.TREATED, playbooks.Arm.CONTROL):
        for _ in range(2):
            other = await make_members.member(tx, community_id=home)
            await acted(
                tx, playbook=row, member_id=other.id, arm=arm, at=tx.now - timedelta(days=60)
            )
    action = await acted(tx, playbook=row, member_id=member_id, level=Level.L3)
    await tx.session.execute(
        update(playbooks.PlaybookAction)
        .where(playbooks.PlaybookAction.alert_id == action.alert_id)
        .values(alert_id=alert.id)
    )
    speaks = playbooks.PlaybookTask(
        member_id=member_id,
        id=tx.new_id(),
        alert_id=alert.id,
        level=Level.L3,
        community_id=home,
        for_leader=True,
        reasons=[make_churn.REASON],
        script_zh="问候",
        script_en="Greet",
        state=playbooks.TaskState.OPEN,
        created_at=tx.now,
        due_at=tx.now + timedelta(hours=72),
    )
    words = playbooks.PlaybookMessage(
        member_id=member_id,
        id=tx.new_id(),
        alert_id=alert.id,
        level=Level.L1,
        text_zh="您好",
        text_en="Hello",
        sent_at=tx.now,
    )
    tx.session.add_all([speaks, words])
    await tx.session.flush()
    places = await playbooks.open_alerts(tx, at_most=100)
    await playbooks.store_ranks(tx, [playbooks.Ranked(one) for one in places])
    return {"Playbook": row.id, "PlaybookTask": speaks.id}
