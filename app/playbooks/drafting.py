"""Making playbooks, changing them by new versions, and putting one in force."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, insert, or_, select

from app.kernel.db import Tx
from app.kernel.sets import lock_name
from app.kernel.text import checked_text
from app.playbooks.approving import check_approved, note_need
from app.playbooks.checking import (
    LONGEST_NAME,
    MeasureDraft,
    PlaybookDraft,
    check_batches,
    check_draft,
)
from app.playbooks.errors import (
    PlaybookMoveNotAllowed,
    PlaybookNeedsAnother,
    PlaybookNotFound,
    PlaybookSuperseded,
)
from app.playbooks.events import PlaybookActivated
from app.playbooks.rules import MOVES
from app.playbooks.tables import Playbook, PlaybookMeasure, PlaybookState


async def create_playbook(
    tx: Tx, *, draft: PlaybookDraft, by: UUID | None, ready_key: str | None = None
) -> Playbook:
    """Draft the first version of a playbook.

    Raises coupons.BatchNotFound, members.CommunityNotFound, InvalidInput.
    """
    await check_draft(tx, draft)
    line_id = tx.new_id()
    row = _version(tx, draft, line_id=line_id, version=1, experiment_id=tx.new_id(), by=by)
    row.ready_key = ready_key
    return await _store(tx, row, draft.measures)


async def update_playbook(
    tx: Tx, *, playbook_id: UUID, draft: PlaybookDraft, by: UUID | None
) -> Playbook:
    """Draft the next version of a playbook; the one in force stays so until it is activated.

    While the shares held out and the horizon stay as they are, it is the same experiment: whoever
    was held out stays so. Raises PlaybookNotFound, PlaybookSuperseded where the version is not the
    newest, and what `create_playbook` raises.
    """
    await lock_name(tx, "playbooks")
    before = await tx.session.get(Playbook, playbook_id)
    if before is None:
        raise PlaybookNotFound()
    newest = await tx.session.scalar(
        select(func.max(Playbook.version)).where(Playbook.line_id == before.line_id)
    )
    if newest != before.version:
        raise PlaybookSuperseded(version=newest)
    await check_draft(tx, draft)
    design = ("holdout_permille", "level_holdout_permille", "horizon_days")
    same = all(getattr(before, name) == getattr(draft, name) for name in design)
    row = _version(
        tx,
        draft,
        line_id=before.line_id,
        version=before.version + 1,
        experiment_id=before.experiment_id if same else tx.new_id(),
        by=by,
    )
    return await _store(tx, row, draft.measures)


async def approve_playbook(tx: Tx, *, playbook_id: UUID, by: UUID, alone: bool = False) -> Playbook:
    """Approve a drafted version, so that it may be activated; the first who does stays.

    Somebody else does it than who wrote it, unless one person may do both (`alone`): then the
    version keeps that it was so. Raises PlaybookNotFound, PlaybookNeedsAnother, and
    PlaybookMoveNotAllowed for one that is a draft no more.
    """
    await lock_name(tx, "playbooks")
    row = await _locked(tx, playbook_id)
    if row.approved_by is not None:
        return row
    if row.state is not PlaybookState.DRAFT:
        raise PlaybookMoveNotAllowed(state=row.state, to="APPROVED")
    own = by == row.created_by
    if own and not alone:
        raise PlaybookNeedsAnother()
    row.approved_by, row.approved_at, row.approved_alone = by, tx.now, own
    await tx.session.flush()
    return row


async def activate_playbook(tx: Tx, *, playbook_id: UUID) -> Playbook:
    """Put a drafted version in force; the one that was in force for its members is retired.

    An active one stays as it is. Raises PlaybookNotFound, PlaybookMoveNotAllowed,
    PlaybookNeedsApproval for one that gives more than its author alone may answer for, and
    coupons.BatchNotActive where a coupon's batch gives none out.
    """
    await lock_name(tx, "playbooks")
    row = await _locked(tx, playbook_id)
    if row.state is PlaybookState.ACTIVE:
        return row
    if PlaybookState.ACTIVE not in MOVES[row.state]:
        raise PlaybookMoveNotAllowed(state=row.state, to=PlaybookState.ACTIVE)
    await check_approved(tx, row)
    await check_batches(tx, playbook_id)
    # Its own earlier version, and whatever else answers the same members.
    instead_of = or_(
        Playbook.line_id == row.line_id,
        Playbook.community_id.is_not_distinct_from(row.community_id),
    )
    for earlier in await tx.session.scalars(
        select(Playbook).where(Playbook.state == PlaybookState.ACTIVE, instead_of)
    ):
        _retire(tx, earlier)
    await tx.session.flush()
    row.state, row.activated_at = PlaybookState.ACTIVE, tx.now
    tx.emit(PlaybookActivated(playbook_id=row.id, line_id=row.line_id, version=row.version))
    await tx.session.flush()
    return row


async def retire_playbook(tx: Tx, *, playbook_id: UUID) -> Playbook:
    """Let a version answer nothing any more, or throw a draft away; doing it again changes nothing.

    Raises PlaybookNotFound.
    """
    await lock_name(tx, "playbooks")
    row = await _locked(tx, playbook_id)
    if row.state is not PlaybookState.RETIRED:
        _retire(tx, row)
        await tx.session.flush()
    return row


def _retire(tx: Tx, row: Playbook) -> None:
    row.state, row.retired_at = PlaybookState.RETIRED, tx.now
    # A draft that was never in force counts as if it had been for no time.
    row.activated_at = row.activated_at or tx.now


async def _locked(tx: Tx, playbook_id: UUID) -> Playbook:
    row = await tx.session.get(Playbook, playbook_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise PlaybookNotFound()
    return row


def _version(
    tx: Tx,
    draft: PlaybookDraft,
    *,
    line_id: UUID,
    version: int,
    experiment_id: UUID,
    by: UUID | None,
) -> Playbook:
    return Playbook(
        id=tx.new_id(),
        line_id=line_id,
        version=version,
        experiment_id=experiment_id,
        name=checked_text(draft.name, field="name", longest=LONGEST_NAME),
        community_id=draft.community_id,
        holdout_permille=draft.holdout_permille,
        level_holdout_permille=draft.level_holdout_permille,
        horizon_days=draft.horizon_days,
        persuadable_only=draft.persuadable_only,
        state=PlaybookState.DRAFT,
        created_by=by,
        created_at=tx.now,
    )


async def _store(tx: Tx, row: Playbook, measures: Sequence[MeasureDraft]) -> Playbook:
    tx.session.add(row)
    await tx.session.flush()
    names = MeasureDraft.__slots__
    values = [
        {"playbook_id": row.id, **{name: getattr(one, name) for name in names}} for one in measures
    ]
    await tx.session.execute(insert(PlaybookMeasure), values)
    await note_need(tx, row)
    return row
