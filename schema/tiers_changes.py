"""What staff define of tiers and benefits over GraphQL, and the tiers that they give by hand."""

from datetime import datetime
from uuid import UUID

import strawberry

from app import members, tiers
from app.kernel.auth import Role
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.kernel.table import Json
from app.staff import Subject, subject
from schema.acting import acting_staff, answered
from schema.benefits import Benefit, BenefitSlot, benefit_of, slot_of
from schema.context import Info, note_made
from schema.fields import Wanted, mutation, wanted
from schema.guard import staff
from schema.nodes import key_of
from schema.subjects import NamedSubject
from schema.tiers import MemberTier, Tier, standing_of, tier_of

MANAGERS = staff(Role.CAMPAIGN_MANAGER)
SUPPORT = staff(Role.SUPPORT)
# What a GraphQL Int holds; the commands have narrower bounds of their own.
MOST_GRANTS = 100


@strawberry.input(description="A tier: a new one, or changes of the one that has this code.")
class DefineTierInput:
    code: str = strawberry.field(description="Its stable code, such as GOLD.")
    rank: int = strawberry.field(description="Its place, 1 being the lowest; no two share one.")
    name_zh: str = strawberry.field(description="Its Chinese name, up to 40 characters.")
    name_en: str = strawberry.field(description="Its English name, up to 40 characters.")
    upgrade_at: int = strawberry.field(
        description="The growth value at which it is reached; rises with the rank from 0."
    )
    retain_at: int = strawberry.field(
        description="The growth value from which it is kept; at most upgradeAt."
    )


@strawberry.input(description="A benefit: a new one, or changes of the one that has this code.")
class DefineBenefitInput:
    code: str = strawberry.field(description="Its stable code, such as vip-group.")
    kind: tiers.BenefitKind = strawberry.field(description="What sort of thing it is.")
    name_zh: str = strawberry.field(description="Its Chinese name, up to 40 characters.")
    name_en: str = strawberry.field(description="Its English name, up to 40 characters.")
    description_zh: str = strawberry.field(
        default="", description="What it is, in Chinese, up to 200 characters."
    )
    description_en: str = strawberry.field(
        default="", description="What it is, in English, up to 200 characters."
    )
    needs_booking: bool = strawberry.field(
        default=False, description="True if it is given at booked times only."
    )
    partner: str | None = strawberry.field(
        default=None, description="Who gives it, if that is a partner."
    )
    active: bool = strawberry.field(
        default=True, description="False to give it no more; what was used stays on record."
    )


@strawberry.input(description="A benefit that a tier gives.")
class TierBenefitInput:
    benefit_code: str = strawberry.field(description="Which benefit.")
    quota: int | None = strawberry.field(
        default=None, description="How often within the window; leave both out for no limit."
    )
    window: tiers.BenefitWindow | None = strawberry.field(
        default=None, description="The span over which the quota is counted."
    )


@strawberry.input(description="All that a tier gives.")
class SetTierBenefitsInput:
    tier_code: str = strawberry.field(description="Which tier.")
    benefits: list[TierBenefitInput] = strawberry.field(
        description="Its benefits in the order that members see, at most 100."
    )


@strawberry.input(description="A time at which a benefit can be booked.")
class OpenBenefitSlotInput:
    benefit_code: str = strawberry.field(description="Which benefit; it must need booking.")
    starts_at: datetime = strawberry.field(description="When it begins.")
    ends_at: datetime = strawberry.field(description="When it ends.")
    capacity: int = strawberry.field(description="How many places there are, at most 100,000.")
    venue: str | None = strawberry.field(default=None, description="Where, up to 100 characters.")
    community_id: strawberry.ID | None = strawberry.field(
        default=None, description="For members of this neighbourhood only."
    )
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key never opens two."
    )


@strawberry.input(description="A tier given by hand.")
class OverrideTierInput:
    member_id: strawberry.ID = strawberry.field(description="The member.")
    tier_code: str = strawberry.field(description="The tier that they get.")
    until: datetime = strawberry.field(
        description="Until when monthly runs leave them alone; then the ordinary rules hold again."
    )
    reason: str = strawberry.field(description="Why, up to 200 characters.")


@strawberry.input(description="A tier that was given by hand.")
class EndTierOverrideInput:
    member_id: strawberry.ID = strawberry.field(description="The member.")


@strawberry.type(description="The tier is defined.")
class DefineTierSuccess:
    tier: Tier = strawberry.field(description="The tier.")


@strawberry.type(description="The benefit is defined.")
class DefineBenefitSuccess:
    benefit: Benefit = strawberry.field(description="The benefit.")


@strawberry.type(description="The tier gives these benefits.")
class SetTierBenefitsSuccess:
    tier: Tier = strawberry.field(description="The tier.")


@strawberry.type(description="The time can be booked.")
class OpenBenefitSlotSuccess:
    slot: BenefitSlot = strawberry.field(description="The time.")


@strawberry.type(description="Where the member stands after it.")
class StandingSuccess:
    key: strawberry.Private[UUID]

    @wanted(description="The member's tier.")
    def tier(self, info: Info) -> Wanted[MemberTier]:
        key, locale = self.key, info.context.locale
        return Wanted(tiers.by_member, key, lambda found: standing_of(key, found, locale))


@strawberry.type(description="The member has the tier until the date given.")
class OverrideTierSuccess(StandingSuccess):
    pass


@strawberry.type(description="The ordinary rules hold for the member again.")
class EndTierOverrideSuccess(StandingSuccess):
    pass


@strawberry.type(description="Mutations of tiers.")
class TierMutation:
    @mutation(
        MANAGERS,
        DefineTierSuccess,
        description="Makes a tier or changes one; upgrades and the next run go by it.",
    )
    async def define_tier(self, info: Info, input: DefineTierInput) -> DefineTierSuccess:
        about = NamedSubject(tiers.Tier, {"code": input.code})
        async with info.context.begin(about=about) as tx:
            row = await tiers.define_tier(
                tx,
                code=input.code,
                rank=input.rank,
                name_zh=input.name_zh,
                name_en=input.name_en,
                upgrade_at=input.upgrade_at,
                retain_at=input.retain_at,
            )
        return DefineTierSuccess(tier=tier_of(row, info.context.locale))

    @mutation(
        MANAGERS,
        DefineBenefitSuccess,
        description="Makes a benefit or changes one, in every tier that has it.",
    )
    async def define_benefit(self, info: Info, input: DefineBenefitInput) -> DefineBenefitSuccess:
        about = NamedSubject(tiers.Benefit, {"code": input.code})
        async with info.context.begin(about=about) as tx:
            row = await tiers.define_benefit(
                tx,
                code=input.code,
                kind=input.kind,
                name_zh=input.name_zh,
                name_en=input.name_en,
                description_zh=input.description_zh,
                description_en=input.description_en,
                needs_booking=input.needs_booking,
                partner=input.partner,
                active=input.active,
            )
        return DefineBenefitSuccess(benefit=benefit_of(row, info.context.locale))

    @mutation(
        MANAGERS,
        SetTierBenefitsSuccess,
        refusals=[tiers.TierNotFound, tiers.BenefitNotFound],
        description="Gives a tier exactly these benefits; what was used of them stays counted.",
    )
    async def set_tier_benefits(
        self, info: Info, input: SetTierBenefitsInput
    ) -> SetTierBenefitsSuccess:
        if len(input.benefits) > MOST_GRANTS:
            raise InvalidInput(
                field="benefits", reason=f"at most {MOST_GRANTS}", reason_zh=f"最多{MOST_GRANTS}项"
            )
        about = NamedSubject(tiers.Tier, {"code": input.tier_code})
        grants = [tiers.Grant(one.benefit_code, one.quota, one.window) for one in input.benefits]
        async with info.context.begin(about=about) as tx:
            row = await tiers.set_tier_benefits(tx, tier_code=input.tier_code, grants=grants)
        return SetTierBenefitsSuccess(tier=tier_of(row, info.context.locale))

    @mutation(
        MANAGERS,
        OpenBenefitSlotSuccess,
        refusals=[tiers.BenefitNotFound, members.CommunityNotFound],
        description="Offers a time at which a benefit can be booked.",
    )
    async def open_benefit_slot(
        self, info: Info, input: OpenBenefitSlotInput
    ) -> OpenBenefitSlotSuccess:
        home = input.community_id
        community = None if home is None else key_of(home, "Community", "communityId")

        async def work(tx: Tx) -> Json:
            if community and not await members.communities_by_id(tx, [community]):
                raise members.CommunityNotFound()
            made = await tiers.open_slot(
                tx,
                benefit_code=input.benefit_code,
                starts_at=input.starts_at,
                ends_at=input.ends_at,
                capacity=input.capacity,
                venue=input.venue,
                community_id=community,
            )
            note_made(subject(tiers.BenefitSlot, made.id))
            return {"slot": str(made.id)}

        slot_id = UUID((await answered(info, input, work))["slot"])
        async with info.context.read() as read:
            slot = (await tiers.slots_by_id(read, [slot_id]))[slot_id]
        return OpenBenefitSlotSuccess(slot=slot_of(slot))

    @mutation(
        SUPPORT,
        OverrideTierSuccess,
        refusals=[tiers.TierNotFound, tiers.TiersMissing, members.MemberNotFound],
        description="Puts a member into a tier by hand, with a reason and an end date.",
    )
    async def override_tier(self, info: Info, input: OverrideTierInput) -> OverrideTierSuccess:
        staff_id = acting_staff(info)
        key = key_of(input.member_id, "Member", "memberId")
        about = Subject(tiers.Standing, {"member_id": key})
        async with info.context.begin(about=about) as tx:
            if not await members.by_id(tx, [key]):
                raise members.MemberNotFound()
            await tiers.override_tier(
                tx,
                member_id=key,
                tier_code=input.tier_code,
                until=input.until,
                reason=input.reason,
                actor_id=staff_id,
            )
        return OverrideTierSuccess(key=key)

    @mutation(
        SUPPORT,
        EndTierOverrideSuccess,
        refusals=[members.MemberNotFound],
        description="Gives a member back to the ordinary rules; their tier stays until these "
        "change it.",
    )
    async def end_tier_override(
        self, info: Info, input: EndTierOverrideInput
    ) -> EndTierOverrideSuccess:
        key = key_of(input.member_id, "Member", "memberId")
        about = Subject(tiers.Standing, {"member_id": key})
        async with info.context.begin(about=about) as tx:
            if not await members.by_id(tx, [key]):
                raise members.MemberNotFound()
            await tiers.end_override(tx, member_id=key)
        return EndTierOverrideSuccess(key=key)
