"""Batched reads of stages, and segments as sets for other slices' SQL."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, func, select

from app.kernel.db import Read
from app.segments.stages import Stage
from app.segments.tables import MemberStage, SegmentRun, SilenceEpisode, StageTransition


@dataclass(frozen=True, slots=True)
class StageCount:
    """How many members a stage has, and their net spend of 90 days in fen."""

    stage: Stage
    members: int
    net90: int


async def stage_by_member(read: Read, keys: Iterable[UUID]) -> dict[UUID, MemberStage]:
    """Each member's stage; members whom no run has judged yet are absent."""
    rows = await read.session.scalars(
        select(MemberStage).where(MemberStage.member_id.in_(list(keys)))
    )
    return {row.member_id: row for row in rows}


def members_in_stage(*stages: Stage) -> Select[UUID]:
    """The ids of the members in any of these stages, for use inside other statements."""
    return select(MemberStage.member_id).where(MemberStage.stage.in_(stages))


async def counts(read: Read) -> dict[Stage, StageCount]:
    """Every stage with its members and their spend; empty stages have zeros."""
    found = {stage: StageCount(stage, 0, 0) for stage in Stage}
    rows = await read.session.execute(
        select(MemberStage.stage, func.count(), func.sum(MemberStage.net90)).group_by(
            MemberStage.stage
        )
    )
    for stage, members, net90 in rows:
        found[stage] = StageCount(stage, members, int(net90))
    return found


async def current_run(read: Read) -> SegmentRun | None:
    """The run whose stages are in force; None before the first."""
    return await read.session.scalar(
        select(SegmentRun).where(SegmentRun.applied).order_by(SegmentRun.as_of.desc()).limit(1)
    )


async def open_episode_by_member(read: Read, keys: Iterable[UUID]) -> dict[UUID, SilenceEpisode]:
    """The silence each member is in; members who are not silent are absent."""
    rows = await read.session.scalars(
        select(SilenceEpisode).where(
            SilenceEpisode.member_id.in_(list(keys)), SilenceEpisode.woken_at.is_(None)
        )
    )
    return {row.member_id: row for row in rows}


async def transitions_by_member(
    read: Read, keys: Iterable[UUID]
) -> dict[UUID, list[StageTransition]]:
    """Each member's changes of stage, oldest first; members without any are absent."""
    rows = await read.session.scalars(
        select(StageTransition)
        .where(StageTransition.member_id.in_(list(keys)))
        .order_by(StageTransition.member_id, StageTransition.at, StageTransition.id)
    )
    found: dict[UUID, list[StageTransition]] = {}
    for row in rows:
        found.setdefault(row.member_id, []).append(row)
    return found
