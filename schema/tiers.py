"""Tiers over GraphQL: what there is to reach, and where a member stands."""

from datetime import datetime
from uuid import UUID

import strawberry

from app import tiers
from app.kernel.errors import Locale
from schema.benefits import TierBenefit, granted_of
from schema.context import Info
from schema.enums import describe
from schema.fields import Wanted, query, wanted
from schema.guard import PUBLIC
from schema.nodes import MemberPart

describe(
    tiers.StandingState,
    "How safely a member holds their tier.",
    name="TierState",
    STEADY="Meets what the tier asks for.",
    AT_RISK="Is under what the tier asks for, and was told.",
    GRACE="Keeps the tier for 30 days yet.",
)


@strawberry.type(description="A level of membership.")
class Tier:
    code: str = strawberry.field(description="A stable code for programs, such as GOLD.")
    name: str = strawberry.field(description="Its name, in the caller's language.")
    rank: int = strawberry.field(description="Its place among the tiers, 1 being the lowest.")
    upgrade_at: int = strawberry.field(description="The growth value at which it is reached.")
    retain_at: int = strawberry.field(description="The growth value from which it is kept.")
    benefits: list[TierBenefit] = strawberry.field(description="What its members may have.")


@strawberry.type(description="The tier above a member's own.")
class NextTier:
    tier: Tier = strawberry.field(description="The tier.")
    missing_growth: int = strawberry.field(
        description="How much growth value is missing; 1 is a yuan of settled spend."
    )


describe(
    tiers.MoveKind,
    "What a monthly run does to a member.",
    name="TierMoveKind",
    UPGRADE="Moves up to the tier that their growth reaches.",
    RECOVER="Is safe again.",
    AT_RISK="Is under what the tier asks for: a warning.",
    GRACE="Is still under it: 30 days of grace.",
    DOWNGRADE="Grace is over: one step down.",
)


@strawberry.type(
    description="Where a member would stand after the next monthly run if nothing more came."
)
class TierProjection:
    found: strawberry.Private[tiers.Projection]
    locale: strawberry.Private[Locale]
    at: datetime = strawberry.field(description="When the run judges: the first of next month.")
    growth: int = strawberry.field(description="Growth value of this instant.")
    growth_then: int = strawberry.field(
        description="What is left of it then, when older orders are more than 365 days old."
    )
    move: tiers.MoveKind | None = strawberry.field(
        description="What the run would do; null if it would leave the member alone."
    )
    state: tiers.StandingState = strawberry.field(description="How safe the tier would be.")
    missing_growth: int | None = strawberry.field(
        description="What the next tier needs now; null for those in the highest."
    )
    missing_to_keep: int = strawberry.field(
        description="What the run needs to leave the present tier alone; 0 if it is safe."
    )

    @strawberry.field(description="The tier that the member would be in.")
    def tier(self) -> Tier:
        return tier_of(self.found.tier, self.locale)

    @strawberry.field(
        description="What the next tier needs, in words, such as: Spend ¥120 more to reach Gold; "
        "null for those in the highest."
    )
    def next_in_words(self) -> str | None:
        above = self.found.next
        if above is None:
            return None
        return tiers.words_to_reach(
            self.found.missing_next, name_of(above, self.locale), chinese=self.locale == "zh-CN"
        )

    @strawberry.field(description="What keeping the present tier needs, in words.")
    def keep_in_words(self) -> str:
        return tiers.words_to_keep(
            self.found.missing_keep,
            name_of(self.found.present, self.locale),
            self.found.month,
            chinese=self.locale == "zh-CN",
        )


@strawberry.type(description="Where a member stands.")
class MemberTier:
    key: strawberry.Private[UUID]
    found: strawberry.Private[tiers.MemberTier]
    locale: strawberry.Private[Locale]
    code: str = strawberry.field(description="The tier's stable code, such as GOLD.")
    name: str = strawberry.field(description="The tier's name, in the caller's language.")
    rank: int = strawberry.field(description="The tier's place, 1 being the lowest.")

    @strawberry.field(description="What the member may have.")
    def benefits(self) -> list[TierBenefit]:
        return [granted_of(benefit, self.locale) for benefit in self.found.tier.benefits]

    since: datetime | None = strawberry.field(
        description="Since when the member has been in it; null if ever since joining."
    )
    growth: int = strawberry.field(
        description="Growth value of the trailing 365 days as last reckoned: 1 a yuan of settled "
        "spend less refunds, with check-ins and invitations."
    )
    state: tiers.StandingState = strawberry.field(description="Whether the tier is safe.")
    grace_until: datetime | None = strawberry.field(
        description="In GRACE: until when the tier is kept at least."
    )

    @strawberry.field(description="The tier above; null for those in the highest.")
    def next(self) -> NextTier | None:
        above = self.found.next
        if above is None:
            return None
        missing = max(above.upgrade_at - self.found.growth, 0)
        return NextTier(tier=tier_of(above, self.locale), missing_growth=missing)

    @wanted(description="Where the member would stand at the end of the month.")
    def projected(self, info: Info) -> Wanted[TierProjection]:
        locale = self.locale
        return Wanted(tiers.projections, self.key, lambda found: projection_of(found, locale))


def projection_of(found: tiers.Projection | None, locale: Locale) -> TierProjection:
    """The GraphQL value of a projection."""
    if found is None:
        raise LookupError("projection of a member")
    return TierProjection(
        found=found,
        locale=locale,
        at=found.at,
        growth=found.growth,
        growth_then=found.growth_then,
        move=found.kind,
        state=found.state,
        missing_growth=None if found.next is None else found.missing_next,
        missing_to_keep=found.missing_keep,
    )


def tier_of(row: tiers.Tier, locale: Locale) -> Tier:
    """The GraphQL value of a tier."""
    return Tier(
        code=row.code,
        name=name_of(row, locale),
        rank=row.rank,
        upgrade_at=row.upgrade_at,
        retain_at=row.retain_at,
        benefits=[granted_of(benefit, locale) for benefit in row.benefits],
    )


def name_of(row: tiers.Tier, locale: Locale) -> str:
    """A tier's name for a person."""
    return row.name_zh if locale == "zh-CN" else row.name_en


def standing_of(key: UUID, found: tiers.MemberTier | None, locale: Locale) -> MemberTier:
    """The GraphQL value of where a member stands."""
    if found is None:
        raise LookupError("tier of a member")
    return MemberTier(
        key=key,
        found=found,
        locale=locale,
        code=found.tier.code,
        name=name_of(found.tier, locale),
        rank=found.tier.rank,
        since=found.since,
        growth=found.growth,
        state=found.state,
        grace_until=found.grace_until,
    )


@strawberry.type(description="A member's tier.")
class TierOfMember(MemberPart):
    @wanted(description="The member's tier, and what is missing to the next.")
    def tier(self, info: Info) -> Wanted[MemberTier]:
        locale = info.context.locale
        key = self.key
        return Wanted(tiers.by_member, key, lambda found: standing_of(key, found, locale))


@strawberry.type(description="Queries of tiers.")
class TierQuery:
    @query(PUBLIC, description="Every tier, lowest first.", remembered=True)
    async def tiers(self, info: Info) -> list[Tier]:
        async with info.context.read() as read:
            rows = await tiers.all_tiers(read)
        return [tier_of(row, info.context.locale) for row in rows]
