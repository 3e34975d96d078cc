"""What a community has set for itself, over GraphQL: seen and changed by staff."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import strawberry

from app import churn, coupons, members, playbooks, points, tiers
from app.kernel.auth import Role
from app.kernel.db import Read, Tx
from app.kernel.errors import InvalidInput, Locale
from app.kernel.table import Json
from app.staff import subject
from schema.acting import answered
from schema.context import Info
from schema.enums import describe
from schema.fields import mutation, query
from schema.guard import OFFICE, staff
from schema.nodes import key_of

describe(
    members.SettingKind,
    "What the value of a setting is.",
    name="CommunitySettingKind",
    INTEGER="A whole number.",
    NUMBER="A number.",
    CHOICE="One of the choices.",
    INTEGERS="A list of whole numbers.",
)


@strawberry.type(description="A setting of a neighbourhood, with what it may be.")
class CommunitySetting:
    key: str = strawberry.field(description="Its key, such as checkIn.points.")
    kind: members.SettingKind = strawberry.field(description="What its value is.")
    value: strawberry.scalars.JSON = strawberry.field(description="What counts now.")
    is_own: bool = strawberry.field(
        description="True if the neighbourhood has chosen it; else it is the product's default."
    )
    default_value: strawberry.scalars.JSON = strawberry.field(
        description="What counts where nothing is chosen."
    )
    least: float | None = strawberry.field(description="The smallest number it may be.")
    most: float | None = strawberry.field(description="The greatest number it may be.")
    choices: list[str] = strawberry.field(description="What a CHOICE may be; at most 10.")
    description: str = strawberry.field(description="What it decides, in the caller's language.")


@strawberry.input(description="A setting to change.")
class CommunitySettingInput:
    key: str = strawberry.field(description="Its key, as communitySettings names it.")
    value: strawberry.scalars.JSON | None = strawberry.field(
        default=None, description="What it is from now on; null for the product's default."
    )


@strawberry.input(description="Changes of a neighbourhood's settings: all are made, or none.")
class UpdateCommunitySettingsInput:
    community_id: strawberry.ID = strawberry.field(description="The neighbourhood.")
    changes: list[CommunitySettingInput] = strawberry.field(
        description="The changes, 1 to 50 of different keys."
    )
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key gets the first answer again."
    )


@strawberry.type(description="The settings are changed.")
class UpdateCommunitySettingsSuccess:
    settings: list[CommunitySetting] = strawberry.field(
        description="All settings as they count now; at most 200."
    )


async def _known(read: Read) -> list[members.Setting]:
    """Every key that some rule reads; the tiers have one each."""
    codes = [tier.code for tier in await tiers.all_tiers(read)]
    return [
        *points.SETTINGS,
        *points.tier_settings(codes),
        *coupons.SETTINGS,
        *churn.SETTINGS,
        *playbooks.SETTINGS,
        *members.SETTINGS,
    ]


def _told(found: Sequence[members.InForce], locale: Locale) -> list[CommunitySetting]:
    return [
        CommunitySetting(
            key=one.setting.key,
            kind=one.setting.kind,
            value=strawberry.scalars.JSON(one.value),
            is_own=one.own,
            default_value=strawberry.scalars.JSON(one.setting.default),
            least=one.setting.least,
            most=one.setting.most,
            choices=list(one.setting.choices),
            description=one.setting.zh if locale == "zh-CN" else one.setting.en,
        )
        for one in found
    ]


async def _settings(info: Info, community_id: UUID) -> list[CommunitySetting]:
    async with info.context.read() as read:
        row = (await members.communities_by_id(read, [community_id])).get(community_id)
        if row is None:
            raise members.CommunityNotFound()
        found = members.in_force(row.settings, await _known(read))
    return _told(found, info.context.locale)


@strawberry.type(description="Queries of neighbourhoods' settings.")
class CommunitySettingsQuery:
    @query(OFFICE, description="What counts in a neighbourhood, by setting; at most 200.")
    async def community_settings(
        self,
        info: Info,
        community_id: Annotated[strawberry.ID, strawberry.argument(description="Which one.")],
    ) -> list[CommunitySetting]:
        return await _settings(info, key_of(community_id, "Community", "communityId"))


@strawberry.type(description="Mutations of neighbourhoods' settings.")
class CommunitySettingsMutation:
    @mutation(
        staff(Role.CAMPAIGN_MANAGER),
        UpdateCommunitySettingsSuccess,
        refusals=[members.CommunityNotFound, members.SettingUnknown],
        description="Changes settings of a neighbourhood; what is decided from now on goes by "
        "them.",
    )
    async def update_community_settings(
        self, info: Info, input: UpdateCommunitySettingsInput
    ) -> UpdateCommunitySettingsSuccess:
        community_id = key_of(input.community_id, "Community", "communityId")
        changes = {change.key: change.value for change in input.changes}
        if len(changes) < len(input.changes):
            raise InvalidInput(
                field="changes", reason="name each key once", reason_zh="每个设置项只能出现一次"
            )

        async def work(tx: Tx) -> Json:
            await members.update_settings(
                tx,
                community_id=community_id,
                changes=changes,
                known=await _known(tx),
                checks=[points.check_settings],
            )
            return {}

        await answered(info, input, work, about=subject(members.Community, community_id))
        return UpdateCommunitySettingsSuccess(settings=await _settings(info, community_id))
