"""Where members stand in the life cycle: a member's own stage, and the whole picture."""

from collections.abc import Sequence
from datetime import datetime

import strawberry

from app import segments
from app.segments import Alarm, Stage
from schema.context import Info
from schema.enums import describe
from schema.fields import field, query
from schema.guard import OFFICE
from schema.nodes import MemberPart
from schema.scalars import Fen

# The name under which other modules of the schema use it, so that it is described first.
SegmentStage = Stage
describe(
    Stage,
    "The stages of the life cycle, exclusive; the first that matches, in this order.",
    name="SegmentStage",
    ONBOARDING="Joined less than 7 days ago, no order yet (新人).",
    NEW_UNCONVERTED="Joined 7 days ago or more, no order yet (新客未转化).",
    CHURNED="No order for 75 days (流失).",
    LAPSED_HIGH_VALUE="Silent, with a high average order before (沉默高价值).",
    SILENT="No order for 30 days (沉默).",
    VIP="Top of the net spend of 90 days (VIP).",
    POTENTIAL="Browses or orders more than before, or looks beyond its category (潜力).",
    LOW_FREQUENCY="Fewer than 2 orders in 30 days (低频).",
    REGULAR="Orders steadily (常规).",
)
describe(
    Alarm,
    "What is wrong with the share of VIPs.",
    name="SegmentAlarm",
    VIP_SHARE_OF_MEMBERS="VIPs are not 10 to 15% of the members.",
    VIP_SHARE_OF_SALES="VIPs make under half of the sales of 90 days.",
)


@strawberry.type(description="Scores from 1 (lowest fifth of buyers) to 5 (highest).")
class RfmScores:
    recency: int = strawberry.field(description="How recent the last order is.")
    frequency: int = strawberry.field(description="How many orders there were in 365 days.")
    monetary: int = strawberry.field(description="How much was spent, net, in 365 days.")


@strawberry.type(description="A member's stage in the life cycle.")
class MemberSegment:
    stage: Stage = strawberry.field(description="The stage.")
    since: datetime = strawberry.field(description="The run that first found the member in it.")
    last_order_at: datetime | None = strawberry.field(
        description="When the last order that counts was paid."
    )
    net90: Fen = strawberry.field(description="Net spend of 90 days.")
    rfm: RfmScores | None = strawberry.field(description="Scores; null without orders.")

    @field(description="The stage's name in the reader's language, such as 新客.")
    def name(self, info: Info) -> str:
        return segments.stage_name(self.stage, info.context.locale)


def segment_of(row: segments.MemberStage) -> MemberSegment:
    """The GraphQL value of a member's stage."""
    scores = None
    if row.rfm_r is not None and row.rfm_f is not None and row.rfm_m is not None:
        scores = RfmScores(recency=row.rfm_r, frequency=row.rfm_f, monetary=row.rfm_m)
    return MemberSegment(
        stage=row.stage,
        since=row.since,
        last_order_at=row.last_order_at,
        net90=Fen(row.net90),
        rfm=scores,
    )


@strawberry.type(description="Fields of a member.")
class SegmentsOfMember(MemberPart):
    @field(description="The member's stage; null until the first run after they joined.")
    async def segment(self, info: Info) -> MemberSegment | None:
        row = await info.context.one(segments.stage_by_member, self.key)
        return None if row is None else segment_of(row)


@strawberry.type(description="A stage with everyone in it.")
class SegmentSummary:
    stage: Stage = strawberry.field(description="The stage.")
    members: int = strawberry.field(description="How many members are in it.")
    share: float = strawberry.field(description="Their share of all members, from 0 to 1.")
    net90: Fen = strawberry.field(description="Their net spend of 90 days.")
    sales_share: float = strawberry.field(
        description="Their share of everyone's net spend of 90 days."
    )

    @field(description="The stage's name in the reader's language.")
    def name(self, info: Info) -> str:
        return segments.stage_name(self.stage, info.context.locale)


@strawberry.type(description="All members by stage.")
class SegmentOverview:
    as_of: datetime | None = strawberry.field(
        description="The instant before which orders were seen; null before the first run."
    )
    cut_points_version: int | None = strawberry.field(
        description="The version of the limits that VIPs and scores were drawn at."
    )
    members: int = strawberry.field(description="How many members have a stage.")
    stages: list[SegmentSummary] = strawberry.field(description="Every stage, empty ones too.")
    vip_sales_share: float = strawberry.field(
        description="The VIPs' share of everyone's net spend of 90 days."
    )
    alarms: list[Alarm] = strawberry.field(description="What is wrong with the share of VIPs.")


def summaries_of(found: Sequence[segments.StageCount]) -> list[SegmentSummary]:
    """The stages with their shares."""
    everyone = sum(item.members for item in found)
    sales = sum(item.net90 for item in found)
    return [
        SegmentSummary(
            stage=item.stage,
            members=item.members,
            share=item.members / everyone if everyone else 0.0,
            net90=Fen(item.net90),
            sales_share=item.net90 / sales if sales > 0 else 0.0,
        )
        for item in found
    ]


@strawberry.type(description="Queries of segments.")
class SegmentsQuery:
    @query(OFFICE, description="All members by stage of the life cycle, as the last run left them.")
    async def segments(self, info: Info) -> SegmentOverview:
        async with info.context.read() as read:
            run = await segments.current_run(read)
            found = await segments.counts(read)
        stages = summaries_of(list(found.values()))
        vip = next(item for item in stages if item.stage is Stage.VIP)
        return SegmentOverview(
            as_of=run.as_of if run else None,
            cut_points_version=run.version if run else None,
            members=sum(item.members for item in stages),
            stages=stages,
            vip_sales_share=vip.sales_share,
            alarms=[Alarm(alarm) for alarm in run.alarms] if run else [],
        )
