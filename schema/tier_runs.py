"""The monthly run of the tiers over GraphQL: what it finds, asked for and published by staff."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import strawberry

from app import members, tiers
from app.kernel.auth import Role
from app.kernel.errors import InvalidInput, Locale
from app.kernel.text import checked_text
from schema.context import Info
from schema.enums import describe
from schema.fields import Wanted, field, mutation, query, wanted
from schema.guard import OFFICE, staff
from schema.members import Member, member_of
from schema.paging import BY_ID, After, Connection, First
from schema.subjects import NamedSubject

MANAGERS = staff(Role.CAMPAIGN_MANAGER)
LONGEST_ZONE = 64

describe(
    tiers.RunState,
    "How far a monthly run has come.",
    name="TierRunState",
    PREVIEWING="It is being calculated.",
    PREVIEWED="It is calculated; nobody has moved.",
    PUBLISHING="Members are being moved.",
    PUBLISHED="Everybody has moved who was to.",
)


@strawberry.type(description="What a monthly run does, or did, to one member, and why.")
class TierMove:
    row: strawberry.Private[tiers.TierMove]
    names: strawberry.Private[Mapping[str, str]]
    locale: strawberry.Private[Locale]
    kind: tiers.MoveKind = strawberry.field(description="What is done.")
    from_code: str = strawberry.field(description="The tier that the member is in.")
    to_code: str = strawberry.field(description="The tier that the member comes to.")
    growth: int = strawberry.field(description="Their growth value as the run found it.")
    threshold: int = strawberry.field(description="The growth value that it was held against.")
    applied: bool | None = strawberry.field(
        description="Null before the run is published; false where the member had changed "
        "meanwhile, so that the move no longer held."
    )

    @strawberry.field(description="Why, in words.")
    def reason(self) -> str:
        row = self.row
        why = tiers.Why(
            kind=row.kind,
            from_name=self.names[row.from_code],
            to_name=self.names[row.to_code],
            growth=row.growth,
            threshold=row.threshold,
        )
        return tiers.reason_of(why, chinese=self.locale == "zh-CN")

    @wanted(description="The member.")
    def member(self, info: Info) -> Wanted[Member]:
        return Wanted(members.by_id, self.row.member_id, _member)


@strawberry.type(description="How many members a monthly run moves alike.")
class TierMoveCount:
    kind: tiers.MoveKind = strawberry.field(description="What is done.")
    from_code: str = strawberry.field(description="The tier that they are in.")
    to_code: str = strawberry.field(description="The tier that they come to.")
    members: int = strawberry.field(description="How many members.")


@strawberry.type(description="A month's run over the members of one time zone.")
class TierRun:
    key: strawberry.Private[date]
    zone: str = strawberry.field(
        description="The IANA name of the time zone; its members' month begins at one instant."
    )
    month: str = strawberry.field(description="The month, such as 2026-11.")
    state: tiers.RunState = strawberry.field(description="How far it has come.")
    cutoff: datetime = strawberry.field(description="The instant from which it looks back.")
    members: int = strawberry.field(description="How many members it has judged so far.")
    started_at: datetime = strawberry.field(description="When it was begun.")
    previewed_at: datetime | None = strawberry.field(description="When it was calculated.")
    published_at: datetime | None = strawberry.field(description="When all had moved.")

    @field(description="How many members it moves, by kind and tiers.")
    async def counts(self, info: Info) -> list[TierMoveCount]:
        async with info.context.read() as read:
            rows = await tiers.move_counts(read, self.key, self.zone)
        return [count_of(row) for row in rows]

    @field(description="Its moves with their reasons, in the order of members.")
    async def moves(
        self,
        info: Info,
        kind: Annotated[
            tiers.MoveKind | None, strawberry.argument(description="Only those of this kind.")
        ] = None,
        first: First = 20,
        after: After = None,
    ) -> Connection[TierMove]:
        asked, locale = BY_ID.asked(first, after), info.context.locale
        async with info.context.read() as read:
            found = await tiers.moves(
                read,
                self.key,
                zone=self.zone,
                kind=kind,
                first=asked.size + 1,
                after=asked.position,
            )
            known = await tiers.all_tiers(read)
        names = {row.code: row.name_zh if locale == "zh-CN" else row.name_en for row in known}
        return asked.page(
            found, node=lambda row: move_of(row, names, locale), key=lambda row: row.member_id
        )


def _member(row: members.Member | None) -> Member:
    if row is None:
        raise LookupError("member of a move")
    return member_of(row)


def count_of(row: tiers.MoveCount) -> TierMoveCount:
    """The GraphQL value of a count."""
    return TierMoveCount(
        kind=row.kind, from_code=row.from_code, to_code=row.to_code, members=row.members
    )


def move_of(row: tiers.TierMove, names: Mapping[str, str], locale: Locale) -> TierMove:
    """The GraphQL value of a move."""
    return TierMove(
        row=row,
        names=names,
        locale=locale,
        kind=row.kind,
        from_code=row.from_code,
        to_code=row.to_code,
        growth=row.growth,
        threshold=row.threshold,
        applied=row.applied,
    )


def run_of(row: tiers.TierRun) -> TierRun:
    """The GraphQL value of a run."""
    return TierRun(
        key=row.month,
        zone=row.zone,
        month=f"{row.month:%Y-%m}",
        state=row.state,
        cutoff=row.cutoff,
        members=row.members,
        started_at=row.started_at,
        previewed_at=row.previewed_at,
        published_at=row.published_at,
    )


def _month(text: str) -> date:
    try:
        return tiers.parse_month(text)
    except ValueError as error:
        raise InvalidInput(
            field="month", reason="a month like 2026-11", reason_zh="如2026-11"
        ) from error


def _zone(info: Info, given: str | None) -> str:
    if given is None:
        return info.context.settings.time_zone
    name = checked_text(given, field="zone", longest=LONGEST_ZONE)
    try:
        return ZoneInfo(name).key
    # What is no name is told by ValueError, by KeyError, or by the folder that it is.
    except (ValueError, KeyError, OSError) as error:
        raise InvalidInput(
            field="zone", reason="a time zone like Asia/Urumqi", reason_zh="如Asia/Urumqi"
        ) from error


@strawberry.type(description="Queries of monthly runs.")
class TierRunQuery:
    @query(OFFICE, description="A month's run; null if it has not been begun.")
    async def tier_run(
        self,
        info: Info,
        month: Annotated[str, strawberry.argument(description="The month, such as 2026-11.")],
        zone: Annotated[
            str | None,
            strawberry.argument(
                description="The time zone of the neighbourhoods; null for the platform's."
            ),
        ] = None,
    ) -> TierRun | None:
        key, home = _month(month), _zone(info, zone)
        async with info.context.read() as read:
            row = await tiers.run_of(read, key, home)
        return None if row is None else run_of(row)


@strawberry.input(description="A run to calculate.")
class PreviewTierRunInput:
    month: str = strawberry.field(description="The present month or the next, such as 2026-11.")
    zone: str | None = strawberry.field(
        default=None,
        description="The time zone of the neighbourhoods, such as Asia/Urumqi; null for the "
        "platform's.",
    )


@strawberry.input(description="A run to publish.")
class PublishTierRunInput:
    month: str = strawberry.field(description="A month that has been previewed, such as 2026-11.")
    zone: str | None = strawberry.field(
        default=None,
        description="The time zone of the neighbourhoods, such as Asia/Urumqi; null for the "
        "platform's.",
    )


@strawberry.type(description="The run is being calculated: ask tierRun how far it is.")
class PreviewTierRunSuccess:
    run: TierRun = strawberry.field(description="The run.")


@strawberry.type(description="The run is being published: ask tierRun how far it is.")
class PublishTierRunSuccess:
    run: TierRun = strawberry.field(description="The run.")


@strawberry.type(description="Mutations of monthly runs.")
class TierRunMutation:
    @mutation(
        MANAGERS,
        PreviewTierRunSuccess,
        refusals=[tiers.RunAlreadyPublished, tiers.TiersMissing],
        description="Has a monthly run calculated in the background, anew if it has been.",
    )
    async def preview_tier_run(
        self, info: Info, input: PreviewTierRunInput
    ) -> PreviewTierRunSuccess:
        month, zone = _month(input.month), _zone(info, input.zone)
        about = NamedSubject(tiers.TierRun, {"month": month, "zone": zone})
        async with info.context.begin(about=about) as tx:
            row = await tiers.ask_preview(tx, month=month, zone=zone)
        return PreviewTierRunSuccess(run=run_of(row))

    @mutation(
        MANAGERS,
        PublishTierRunSuccess,
        refusals=[tiers.RunNotPreviewed, tiers.RunNotDue],
        description="Has a previewed run published in the background: what it found is done.",
    )
    async def publish_tier_run(
        self, info: Info, input: PublishTierRunInput
    ) -> PublishTierRunSuccess:
        month, zone = _month(input.month), _zone(info, input.zone)
        about = NamedSubject(tiers.TierRun, {"month": month, "zone": zone})
        async with info.context.begin(about=about) as tx:
            row = await tiers.ask_publication(tx, month=month, zone=zone)
        return PublishTierRunSuccess(run=run_of(row))
