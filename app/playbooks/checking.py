"""What a playbook may be: drafts, and what is refused of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from app import coupons, members
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.kernel.numbers import check_within
from app.kernel.text import checked_text
from app.playbooks.rules import HOLDOUT_PERMILLE, HORIZON_DAYS, LEVEL_HOLDOUT_PERMILLE
from app.playbooks.tables import Audience, Level, MeasureKind, PlaybookMeasure

LONGEST_NAME = 60
LONGEST_TEXT = 500
MOST_POINTS = 100_000
MOST_CONTACT_FEN = 100_000
_SPOKEN = frozenset({MeasureKind.MESSAGE, MeasureKind.TASK})


@dataclass(frozen=True, slots=True)
class MeasureDraft:
    """What is to be done at a level for an audience; OTHERS serves every audience without one."""

    level: Level
    audience: Audience
    kind: MeasureKind
    batch_id: UUID | None = None
    points: int | None = None
    text_zh: str | None = None
    text_en: str | None = None
    contact_fen: int = 0
    for_leader: bool = False


@dataclass(frozen=True, slots=True)
class PlaybookDraft:
    """A playbook to make, or what a new version is to be."""

    name: str
    measures: Sequence[MeasureDraft]
    community_id: UUID | None = None
    holdout_permille: int = HOLDOUT_PERMILLE
    level_holdout_permille: int = LEVEL_HOLDOUT_PERMILLE
    horizon_days: int = HORIZON_DAYS
    persuadable_only: bool = False


async def check_draft(tx: Tx, draft: PlaybookDraft) -> None:
    """Raise coupons.BatchNotFound, members.CommunityNotFound or InvalidInput for what is amiss."""
    _check_design(draft)
    if not draft.measures:
        raise InvalidInput(field="measures", reason="at least one", reason_zh="至少一项措施")
    places = [(one.level, one.audience) for one in draft.measures]
    if len(set(places)) != len(places):
        raise InvalidInput(
            field="measures",
            reason="one for each level and audience",
            reason_zh="每个级别与人群只能有一项",
        )
    for one in draft.measures:
        _check_measure(one)
    wanted = {one.batch_id for one in draft.measures if one.batch_id is not None}
    if len(await coupons.batches_by_id(tx, wanted)) != len(wanted):
        raise coupons.BatchNotFound()
    home = draft.community_id
    if home is not None and not await members.communities_by_id(tx, [home]):
        raise members.CommunityNotFound()


def _check_design(draft: PlaybookDraft) -> None:
    for field, value in (
        ("holdoutPermille", draft.holdout_permille),
        ("levelHoldoutPermille", draft.level_holdout_permille),
    ):
        check_within(value, 0, 500, field=field)
    check_within(draft.horizon_days, 7, 180, field="horizonDays")


def _check_measure(one: MeasureDraft) -> None:
    spoken = one.kind in _SPOKEN
    belongs = (
        ("batchId", one.batch_id is not None, one.kind is MeasureKind.COUPON),
        ("points", one.points is not None, one.kind is MeasureKind.POINTS),
        ("textZh", one.text_zh is not None, spoken),
        ("textEn", one.text_en is not None, spoken),
    )
    for field, given, wanted in belongs:
        if given is not wanted:
            reason, zh = (
                ("is needed here", "此处必填") if wanted else ("is not for it", "此处不适用")
            )
            raise InvalidInput(field=field, reason=f"{one.kind}: {reason}", reason_zh=zh)
    if one.for_leader and one.kind is not MeasureKind.TASK:
        raise InvalidInput(field="forLeader", reason="of tasks alone", reason_zh="仅用于任务")
    _check_amounts(one)
    for field, words in (("textZh", one.text_zh), ("textEn", one.text_en)):
        if words is not None:
            checked_text(words, field=field, longest=LONGEST_TEXT)


def _check_amounts(one: MeasureDraft) -> None:
    for field, value, least, most in (
        ("points", 1 if one.points is None else one.points, 1, MOST_POINTS),
        ("contactFen", one.contact_fen, 0, MOST_CONTACT_FEN),
    ):
        check_within(value, least, most, field=field)


async def check_batches(tx: Tx, playbook_id: UUID) -> None:
    """Raise coupons.BatchNotActive where a coupon of the version could not be given now."""
    found = await tx.session.scalars(
        select(PlaybookMeasure.batch_id).where(
            PlaybookMeasure.playbook_id == playbook_id, PlaybookMeasure.batch_id.is_not(None)
        )
    )
    wanted = {key for key in found if key is not None}
    for batch in (await coupons.batches_by_id(tx, wanted)).values():
        if batch.state is not coupons.BatchState.ACTIVE:
            raise coupons.BatchNotActive(state=batch.state)
