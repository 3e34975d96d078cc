"""Stages of the life cycle, RFM scores and silence episodes: the face of the slice."""

from app.segments.commands import run
from app.segments.events import SegmentsSwapped, StageChanged
from app.segments.merging import hold_runs, merge
from app.segments.names import stage_name
from app.segments.queries import (
    StageCount,
    counts,
    current_run,
    members_in_stage,
    open_episode_by_member,
    stage_by_member,
    transitions_by_member,
)
from app.segments.rules import CHURNED_AFTER
from app.segments.stages import Alarm, Stage, StageReason
from app.segments.tables import MemberStage, SegmentRun, SilenceEpisode, StageTransition

__all__ = [
    "CHURNED_AFTER",
    "Alarm",
    "MemberStage",
    "SegmentRun",
    "SegmentsSwapped",
    "SilenceEpisode",
    "Stage",
    "StageChanged",
    "StageCount",
    "StageReason",
    "StageTransition",
    "counts",
    "current_run",
    "hold_runs",
    "members_in_stage",
    "merge",
    "open_episode_by_member",
    "run",
    "stage_by_member",
    "stage_name",
    "transitions_by_member",
]
