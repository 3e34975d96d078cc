"""Playbooks over GraphQL: what is done about alerts, for whom, and what came of it."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry

from app import members, playbooks
from app.kernel.auth import Role
from schema.acting import author_of
from schema.context import Info
from schema.coupons import CouponBatch, batch_by_key
from schema.enums import describe
from schema.fields import field, query
from schema.guard import OFFICE, staff
from schema.members import Community, community_of
from schema.nodes import Node, NodeLoader, global_id, key_of
from schema.paging import BY_ID, After, Connection, First
from schema.scalars import Fen

KIND = "Playbook"
MANAGERS = staff(Role.CAMPAIGN_MANAGER)

describe(
    playbooks.PlaybookState,
    "Where a version of a playbook stands.",
    DRAFT="Written, not in force.",
    ACTIVE="Answers alerts.",
    RETIRED="Answers nothing any more.",
)


@strawberry.type(description="What a playbook does at a level for an audience.")
class PlaybookMeasure:
    row: strawberry.Private[playbooks.PlaybookMeasure]
    level: playbooks.Level = strawberry.field(description="The level it answers.")
    audience: playbooks.Audience = strawberry.field(description="Whom it is for.")
    kind: playbooks.MeasureKind = strawberry.field(description="What is done.")
    points: int | None = strawberry.field(description="How many points are given.")
    text_zh: str | None = strawberry.field(
        description="The message or script in Chinese, with {nickname} and {category} in it."
    )
    text_en: str | None = strawberry.field(description="The same in English.")
    contact_fen: Fen = strawberry.field(
        description="What reaching one member costs beside what is given."
    )
    for_leader: bool = strawberry.field(
        description="Whether a task is for the community's leader; else it is for staff."
    )

    @field(description="The batch that coupons come from.")
    async def batch(self, info: Info) -> CouponBatch | None:
        key = self.row.batch_id
        return None if key is None else await batch_by_key(info, key)


@strawberry.type(
    description="What a version would do for the alerts that are open now, at one level for one "
    "audience."
)
class PlaybookExpected:
    level: playbooks.Level = strawberry.field(description="The level of the alerts.")
    audience: playbooks.Audience = strawberry.field(description="Whom they are about.")
    kind: playbooks.MeasureKind = strawberry.field(description="What would be done.")
    members: int = strawberry.field(description="Members with such an alert.")
    held_out: int = strawberry.field(description="Of them, those held out to compare with.")
    cost_fen: Fen = strawberry.field(
        description="What it would cost at most: every coupon used to its most, every contact paid."
    )
    coupons_left: int | None = strawberry.field(
        description="Coupons that the batch can still give; null for other measures."
    )


@strawberry.type(description="A figure with its 95% interval.")
class EstimatedFigure:
    value: float = strawberry.field(description="The figure.")
    low: float = strawberry.field(description="The lower end of the interval.")
    high: float = strawberry.field(description="The upper end of the interval.")


@strawberry.type(description="The members on one side of an experiment.")
class PlaybookArm:
    members: int = strawberry.field(description="Members whose horizon is over.")
    stayed: int = strawberry.field(description="Of them, those who ordered within the horizon.")
    cost_fen: float = strawberry.field(
        description="Contacts and points spent on them; coupons show in what orders brought."
    )


@strawberry.type(description="What a playbook changed, by comparison with members held out by lot.")
class PlaybookEffect:
    level: playbooks.Level | None = strawberry.field(
        description="The level alone; null for the playbook as a whole."
    )
    audience: playbooks.Audience | None = strawberry.field(
        description="The audience alone; null for everyone."
    )
    treated: PlaybookArm = strawberry.field(description="Members who were to be treated.")
    control: PlaybookArm = strawberry.field(description="Members who were held out.")
    stay_rate: EstimatedFigure | None = strawberry.field(
        description="By how much the share that stayed is higher among the treated (Newcombe's "
        "interval); null where an arm is empty or the read-out is blocked."
    )
    net_fen: EstimatedFigure | None = strawberry.field(
        description="By how many fen a treated member brought in more within the horizon, less "
        "what was spent, adjusted by the 90 days before."
    )
    split_chance: float = strawberry.field(
        description="How often chance splits the members as unevenly as this."
    )
    is_blocked: bool = strawberry.field(
        description="True where chance does so less often than 1 in 1,000: something is broken, "
        "and no difference is shown."
    )


@strawberry.type(description="A version of a playbook: what is done about alerts, level by level.")
class Playbook(Node):
    key: strawberry.Private[UUID]
    community_key: strawberry.Private[UUID | None]
    # Whether it gave too much when it was written; and whether it is a draft no more.
    was_above: strawberry.Private[bool]
    is_over: strawberry.Private[bool]
    name: str = strawberry.field(description="The playbook's name.")
    version: int = strawberry.field(description="Its number, from 1; a change makes the next.")
    state: playbooks.PlaybookState = strawberry.field(description="Where the version stands.")
    holdout_permille: int = strawberry.field(
        description="Of 1,000 members, how many get nothing at any level."
    )
    level_holdout_permille: int = strawberry.field(
        description="Of 1,000 members, how many besides get nothing at a level, drawn for each."
    )
    horizon_days: int = strawberry.field(
        description="How many days after an action an order counts as its effect."
    )
    persuadable_only: bool = strawberry.field(
        description="Whether members whom a proven model expects to gain too little are left alone."
    )
    created_at: datetime = strawberry.field(description="When it was written.")
    written_by: strawberry.ID | None = strawberry.field(
        description="The staff account that wrote it; null for what comes with the product."
    )
    approved_by: strawberry.ID | None = strawberry.field(
        description="The staff account that approved it; null where none has."
    )
    approved_at: datetime | None = strawberry.field(description="When it was approved.")
    approved_alone: bool = strawberry.field(
        description="True if its author approved it, where one person may do both."
    )
    activated_at: datetime | None = strawberry.field(description="When it came into force.")
    retired_at: datetime | None = strawberry.field(description="When it ended.")

    @field(description="The one community that it is for; null for all without one of their own.")
    async def community(self, info: Info) -> Community | None:
        if self.community_key is None:
            return None
        row = await info.context.one(members.communities_by_id, self.community_key)
        return None if row is None else community_of(row)

    @field(description="What it does, by level and audience; at most 18.")
    async def measures(self, info: Info) -> list[PlaybookMeasure]:
        rows = await info.context.one(playbooks.measures_by_playbook, self.key)
        return [_measure(row) for row in rows or ()]

    @field(description="The most that one alert can bring one member by it, in points and coupons.")
    async def worth_fen(self, info: Info) -> Fen:
        worth = await info.context.one(playbooks.worths_by_playbook, self.key)
        return Fen(0 if worth is None else worth.fen)

    @field(
        description="Whether somebody else than its author has to approve it before it can be "
        "activated, because it gives more than the community's limit (playbook_alone_fen)."
    )
    async def needs_approval(self, info: Info) -> bool:
        if self.was_above or self.is_over:
            return self.was_above
        worth = await info.context.one(playbooks.worths_by_playbook, self.key)
        return worth is not None and worth.is_above

    @field(
        description="Who would get what if it answered the alerts that are open now; at most 18. "
        "None for a retired version, which never will."
    )
    async def preview(self, info: Info) -> list[PlaybookExpected]:
        rows = await info.context.one(playbooks.preview_by_playbook, self.key)
        return [_expected(row) for row in rows or ()]


def _measure(row: playbooks.PlaybookMeasure) -> PlaybookMeasure:
    return PlaybookMeasure(
        row=row,
        level=row.level,
        audience=row.audience,
        kind=row.kind,
        points=row.points,
        text_zh=row.text_zh,
        text_en=row.text_en,
        contact_fen=Fen(row.contact_fen),
        for_leader=row.for_leader,
    )


def _expected(row: playbooks.Expected) -> PlaybookExpected:
    return PlaybookExpected(
        level=row.level,
        audience=row.audience,
        kind=row.kind,
        members=row.members,
        held_out=row.held_out,
        cost_fen=Fen(row.cost_fen),
        coupons_left=row.coupons_left,
    )


def playbook_of(row: playbooks.Playbook) -> Playbook:
    """The GraphQL value of a version."""
    return Playbook(
        id=global_id(KIND, row.id),
        key=row.id,
        community_key=row.community_id,
        was_above=row.needs_approval,
        is_over=row.state is not playbooks.PlaybookState.DRAFT,
        name=row.name,
        version=row.version,
        state=row.state,
        holdout_permille=row.holdout_permille,
        level_holdout_permille=row.level_holdout_permille,
        horizon_days=row.horizon_days,
        persuadable_only=row.persuadable_only,
        created_at=row.created_at,
        written_by=author_of(row.created_by),
        approved_by=author_of(row.approved_by),
        approved_at=row.approved_at,
        approved_alone=row.approved_alone,
        activated_at=row.activated_at,
        retired_at=row.retired_at,
    )


def _arm(sums: playbooks.Sums) -> PlaybookArm:
    return PlaybookArm(members=sums.members, stayed=sums.stayed, cost_fen=sums.cost)


def _figure(found: playbooks.Estimate | None) -> EstimatedFigure | None:
    if found is None:
        return None
    return EstimatedFigure(value=found.value, low=found.low, high=found.high)


def effect_of(row: playbooks.Effect) -> PlaybookEffect:
    """The GraphQL value of what an experiment showed."""
    return PlaybookEffect(
        level=row.level,
        audience=row.audience,
        treated=_arm(row.treated),
        control=_arm(row.control),
        stay_rate=_figure(row.stay),
        net_fen=_figure(row.net),
        split_chance=row.split,
        is_blocked=row.is_blocked,
    )


async def load_playbook(info: Info, key: UUID) -> Playbook | None:
    """A version, for staff but leaders."""
    if not OFFICE.test(info.context.caller):
        return None
    row = await info.context.one(playbooks.playbooks_by_id, key)
    return None if row is None else playbook_of(row)


NODES: dict[str, NodeLoader] = {KIND: load_playbook}


@strawberry.type(description="Queries of playbooks.")
class PlaybooksQuery:
    @query(OFFICE, description="Versions of playbooks, newest first.")
    async def playbooks(
        self,
        info: Info,
        first: First = 20,
        after: After = None,
        state: Annotated[
            playbooks.PlaybookState | None,
            strawberry.argument(description="Only those that stand so."),
        ] = None,
    ) -> Connection[Playbook]:
        asked = BY_ID.asked(first, after)
        async with info.context.read() as read:
            rows = await playbooks.playbooks_page(
                read, first=asked.size, after=asked.position, state=state
            )
        return asked.page(rows, node=playbook_of, key=lambda row: row.id)

    @query(
        OFFICE,
        description="What a playbook's experiment has shown: as a whole, by level and by audience; "
        "at most 28 rows. Versions with the same shares held out are one experiment.",
    )
    async def playbook_effects(
        self,
        info: Info,
        playbook_id: Annotated[
            strawberry.ID, strawberry.argument(description="Any version of the playbook.")
        ],
    ) -> list[PlaybookEffect]:
        key = key_of(playbook_id, KIND, "playbookId")
        rows = await info.context.one(playbooks.effects_by_playbook, key)
        return [effect_of(row) for row in rows or ()]
