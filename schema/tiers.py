"""Tiers over GraphQL: what there is to reach, and where a member stands."""

from datetime import datetime

import strawberry

from app import tiers
from app.kernel.errors import Locale
from app.kernel.table import Json
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


describe(
    tiers.BenefitWindow,
    "The span over which a benefit's quota is counted, in the member's neighbourhood's days.",
    MONTH="A calendar month.",
    QUARTER="Three calendar months, from January, April, July or October.",
    YEAR="A calendar year.",
    LIFETIME="All time: what is used up does not come back.",
)
describe(
    tiers.BenefitKind,
    "What sort of thing a benefit is.",
    DELIVERY="A better delivery.",
    TRIAL="Trying new products.",
    GROUP="A place in a chat group.",
    BUNDLE="Goods or bundles that others cannot buy.",
    SERVICE="A better service.",
    EARLY_ACCESS="Buying before others.",
    EVENT="A seat at an event.",
    PARTNER="A partner's service, such as a check-up or after-school care.",
    GIFT="A gift.",
    OTHER="Anything else.",
)


@strawberry.type(description="Something that members of a tier may have.")
class TierBenefit:
    code: str = strawberry.field(description="A stable code for programs, such as vip-group.")
    name: str = strawberry.field(description="Its name, in the caller's language.")
    quota: int | None = strawberry.field(
        description="How often within the window; null is without limit."
    )
    window: tiers.BenefitWindow | None = strawberry.field(
        description="The span over which the quota is counted; null if there is no quota."
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


@strawberry.type(description="Where a member stands.")
class MemberTier:
    found: strawberry.Private[tiers.MemberTier]
    locale: strawberry.Private[Locale]
    code: str = strawberry.field(description="The tier's stable code, such as GOLD.")
    name: str = strawberry.field(description="The tier's name, in the caller's language.")
    rank: int = strawberry.field(description="The tier's place, 1 being the lowest.")

    @strawberry.field(description="What the member may have.")
    def benefits(self) -> list[TierBenefit]:
        return [benefit_of(benefit, self.locale) for benefit in self.found.tier.benefits]

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


def benefit_of(row: Json, locale: Locale) -> TierBenefit:
    """The GraphQL value of a benefit."""
    window = row.get("window")
    return TierBenefit(
        code=row["code"],
        name=row["zh" if locale == "zh-CN" else "en"],
        quota=row.get("quota"),
        window=None if window is None else tiers.BenefitWindow(window),
    )


def tier_of(row: tiers.Tier, locale: Locale) -> Tier:
    """The GraphQL value of a tier."""
    return Tier(
        code=row.code,
        name=name_of(row, locale),
        rank=row.rank,
        upgrade_at=row.upgrade_at,
        retain_at=row.retain_at,
        benefits=[benefit_of(benefit, locale) for benefit in row.benefits],
    )


def name_of(row: tiers.Tier, locale: Locale) -> str:
    """A tier's name for a person."""
    return row.name_zh if locale == "zh-CN" else row.name_en


def standing_of(found: tiers.MemberTier | None, locale: Locale) -> MemberTier:
    """The GraphQL value of where a member stands."""
    if found is None:
        raise LookupError("tier of a member")
    return MemberTier(
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
        return Wanted(tiers.by_member, self.key, lambda found: standing_of(found, locale))


@strawberry.type(description="Queries of tiers.")
class TierQuery:
    @query(PUBLIC, description="Every tier, lowest first.", remembered=True)
    async def tiers(self, info: Info) -> list[Tier]:
        async with info.context.read() as read:
            rows = await tiers.all_tiers(read)
        return [tier_of(row, info.context.locale) for row in rows]
