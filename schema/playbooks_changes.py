"""Writing playbooks, changing them by new versions, and putting them in force, over GraphQL."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import strawberry

from app import coupons, members, playbooks
from app.kernel.db import Tx
from app.kernel.table import Json
from app.staff import subject
from schema.acting import acting_staff, answered, may_approve_alone
from schema.context import Info, note_made
from schema.fields import field, mutation
from schema.nodes import key_of
from schema.playbooks import KIND, MANAGERS, Playbook, playbook_of
from schema.scalars import Fen


@strawberry.input(description="What a playbook does at a level for an audience.")
class PlaybookMeasureInput:
    level: playbooks.Level = strawberry.field(description="The level that it answers.")
    audience: playbooks.Audience = strawberry.field(
        description="Whom it is for; OTHERS serves every audience without one of their own."
    )
    kind: playbooks.MeasureKind = strawberry.field(description="What is done.")
    batch_id: strawberry.ID | None = strawberry.field(
        default=None, description="The batch that coupons come from; of coupons alone."
    )
    points: int | None = strawberry.field(
        default=None, description="How many points, 1 to 100,000; of points alone."
    )
    text_zh: str | None = strawberry.field(
        default=None,
        description="The message, or a task's script, in Chinese, up to 500 characters; {nickname} "
        "and {category} become the member's name and favourite category.",
    )
    text_en: str | None = strawberry.field(default=None, description="The same in English.")
    contact_fen: Fen = strawberry.field(
        default=Fen(0), description="What reaching one member costs beside what is given."
    )
    for_leader: bool = strawberry.field(
        default=False, description="Whether a task is for the community's leader."
    )


@strawberry.input(description="What a playbook is to be.")
class PlaybookInput:
    name: str = strawberry.field(description="The playbook's name, up to 60 characters.")
    measures: list[PlaybookMeasureInput] = strawberry.field(
        description="What it does; one for each level and audience, at most 18."
    )
    community_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The one community that it is for; null for all without one of their own.",
    )
    holdout_permille: int = strawberry.field(
        default=playbooks.HOLDOUT_PERMILLE,
        description="Of 1,000 members, how many get nothing at any level, 0 to 500.",
    )
    level_holdout_permille: int = strawberry.field(
        default=playbooks.LEVEL_HOLDOUT_PERMILLE,
        description="Of 1,000 members, how many besides get nothing at a level, 0 to 500.",
    )
    horizon_days: int = strawberry.field(
        default=playbooks.HORIZON_DAYS,
        description="How many days after an action an order counts as its effect, 7 to 180.",
    )
    persuadable_only: bool = strawberry.field(
        default=False,
        description="Whether members whom a proven model says are not worth it are left alone.",
    )
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key never makes two."
    )


@strawberry.input(description="A new playbook.")
class CreatePlaybookInput(PlaybookInput):
    pass


@strawberry.input(description="The next version of a playbook.")
class UpdatePlaybookInput(PlaybookInput):
    playbook_id: strawberry.ID = strawberry.field(description="The newest version there is.")


@strawberry.input(description="The version to approve.")
class ApprovePlaybookInput:
    playbook_id: strawberry.ID = strawberry.field(description="A drafted version.")


@strawberry.input(description="The version to put in force.")
class ActivatePlaybookInput:
    playbook_id: strawberry.ID = strawberry.field(description="A drafted version.")


@strawberry.input(description="The version to end.")
class RetirePlaybookInput:
    playbook_id: strawberry.ID = strawberry.field(description="The version.")


@strawberry.type(description="A version as a mutation left it.")
class PlaybookMade:
    key: strawberry.Private[UUID]

    @field(description="The version.")
    async def playbook(self, info: Info) -> Playbook:
        row = await info.context.one(playbooks.playbooks_by_id, self.key)
        if row is None:
            raise LookupError(f"playbook {self.key}")
        return playbook_of(row)


@strawberry.type(description="The playbook is drafted; activate it when it is right.")
class CreatePlaybookSuccess(PlaybookMade):
    pass


@strawberry.type(description="The next version is drafted; the one in force stays so until then.")
class UpdatePlaybookSuccess(PlaybookMade):
    pass


@strawberry.type(description="The version is approved and may be activated.")
class ApprovePlaybookSuccess:
    playbook: Playbook = strawberry.field(description="The version.")


@strawberry.type(description="The version answers alerts from now on.")
class ActivatePlaybookSuccess:
    playbook: Playbook = strawberry.field(description="The version.")


@strawberry.type(description="The version answers nothing any more.")
class RetirePlaybookSuccess:
    playbook: Playbook = strawberry.field(description="The version.")


def _draft(given: PlaybookInput) -> playbooks.PlaybookDraft:
    home = given.community_id
    return playbooks.PlaybookDraft(
        name=given.name,
        measures=[_measure(one) for one in given.measures],
        community_id=None if home is None else key_of(home, "Community", "communityId"),
        holdout_permille=given.holdout_permille,
        level_holdout_permille=given.level_holdout_permille,
        horizon_days=given.horizon_days,
        persuadable_only=given.persuadable_only,
    )


def _measure(given: PlaybookMeasureInput) -> playbooks.MeasureDraft:
    batch = given.batch_id
    return playbooks.MeasureDraft(
        level=given.level,
        audience=given.audience,
        kind=given.kind,
        batch_id=None if batch is None else key_of(batch, "CouponBatch", "batchId"),
        points=given.points,
        text_zh=given.text_zh,
        text_en=given.text_en,
        contact_fen=int(given.contact_fen),
        for_leader=given.for_leader,
    )


async def _made(
    info: Info, given: PlaybookInput, make: Callable[[Tx, UUID], Awaitable[playbooks.Playbook]]
) -> UUID:
    """Make a version once for this caller and key; answers its id."""
    by = acting_staff(info)

    async def work(tx: Tx) -> Json:
        row = await make(tx, by)
        note_made(subject(playbooks.Playbook, row.id))
        return {"playbook": str(row.id)}

    return UUID((await answered(info, given, work))["playbook"])


@strawberry.type(description="Mutations of playbooks.")
class PlaybooksMutation:
    @mutation(
        MANAGERS,
        CreatePlaybookSuccess,
        refusals=[coupons.BatchNotFound, members.CommunityNotFound],
        description="Drafts a playbook: what is done about alerts, level by level.",
    )
    async def create_playbook(
        self, info: Info, input: CreatePlaybookInput
    ) -> CreatePlaybookSuccess:
        draft = _draft(input)
        key = await _made(
            info,
            input,
            lambda tx, by: playbooks.create_playbook(tx, draft=draft, by=by),
        )
        return CreatePlaybookSuccess(key=key)

    @mutation(
        MANAGERS,
        UpdatePlaybookSuccess,
        refusals=[
            playbooks.PlaybookNotFound,
            playbooks.PlaybookSuperseded,
            coupons.BatchNotFound,
            members.CommunityNotFound,
        ],
        description="Drafts the next version of a playbook; versions themselves never change.",
    )
    async def update_playbook(
        self, info: Info, input: UpdatePlaybookInput
    ) -> UpdatePlaybookSuccess:
        draft, before = _draft(input), key_of(input.playbook_id, KIND, "playbookId")
        key = await _made(
            info,
            input,
            lambda tx, by: playbooks.update_playbook(tx, playbook_id=before, draft=draft, by=by),
        )
        return UpdatePlaybookSuccess(key=key)

    @mutation(
        MANAGERS,
        ApprovePlaybookSuccess,
        refusals=[
            playbooks.PlaybookNotFound,
            playbooks.PlaybookMoveNotAllowed,
            playbooks.PlaybookNeedsAnother,
        ],
        description="Approves a drafted version that somebody else wrote; the first who does "
        "stays.",
    )
    async def approve_playbook(
        self, info: Info, input: ApprovePlaybookInput
    ) -> ApprovePlaybookSuccess:
        key, by = key_of(input.playbook_id, KIND, "playbookId"), acting_staff(info)
        async with info.context.begin(about=subject(playbooks.Playbook, key)) as tx:
            row = await playbooks.approve_playbook(
                tx, playbook_id=key, by=by, alone=may_approve_alone(info)
            )
        return ApprovePlaybookSuccess(playbook=playbook_of(row))

    @mutation(
        MANAGERS,
        ActivatePlaybookSuccess,
        refusals=[
            playbooks.PlaybookNotFound,
            playbooks.PlaybookMoveNotAllowed,
            playbooks.PlaybookNeedsApproval,
            coupons.BatchNotActive,
        ],
        description="Puts a drafted version in force in place of the one that was; an active one "
        "stays as it is. What gives more than its author may answer for is approved first.",
    )
    async def activate_playbook(
        self, info: Info, input: ActivatePlaybookInput
    ) -> ActivatePlaybookSuccess:
        key = key_of(input.playbook_id, KIND, "playbookId")
        async with info.context.begin(about=subject(playbooks.Playbook, key)) as tx:
            row = await playbooks.activate_playbook(tx, playbook_id=key)
        return ActivatePlaybookSuccess(playbook=playbook_of(row))

    @mutation(
        MANAGERS,
        RetirePlaybookSuccess,
        refusals=[playbooks.PlaybookNotFound],
        description="Ends a version; what it has given stays given.",
    )
    async def retire_playbook(
        self, info: Info, input: RetirePlaybookInput
    ) -> RetirePlaybookSuccess:
        key = key_of(input.playbook_id, KIND, "playbookId")
        async with info.context.begin(about=subject(playbooks.Playbook, key)) as tx:
            row = await playbooks.retire_playbook(tx, playbook_id=key)
        return RetirePlaybookSuccess(playbook=playbook_of(row))
