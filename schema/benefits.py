"""Benefits over GraphQL: the catalogue, what a member has left of them, and what they used."""

from datetime import date, datetime
from typing import Annotated, Final
from uuid import UUID

import strawberry

from app import members, tiers
from app.kernel.auth import MemberCaller
from app.kernel.errors import Locale
from app.kernel.table import Json
from schema.context import Info
from schema.enums import describe
from schema.fields import Wanted, query, wanted
from schema.guard import PUBLIC, SIGNED_IN, bound_to
from schema.nodes import MemberPart, Node, NodeLoader, global_id
from schema.paging import BY_ID, BY_INSTANT, After, Connection, First, by_one, word

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
describe(
    tiers.UseState,
    "What became of a use of a benefit.",
    name="BenefitUseState",
    BOOKED="Booked for a time that is to come, or that nobody has settled yet.",
    USED="Used; of a booking, the member came.",
    NO_SHOW="Booked, and the member did not come: it counts all the same.",
    CANCELLED="The booking was cancelled in time and counts no more.",
    REVERSED="Staff took it back and it counts no more.",
)


@strawberry.type(description="Something that members of some tiers may have.")
class Benefit:
    code: str = strawberry.field(description="A stable code for programs, such as vip-group.")
    name: str = strawberry.field(description="Its name, in the caller's language.")
    description: str = strawberry.field(description="What it is, in the caller's language.")
    kind: tiers.BenefitKind = strawberry.field(description="What sort of thing it is.")
    needs_booking: bool = strawberry.field(
        description="True if it is given at booked times: see benefitSlots."
    )
    partner: str | None = strawberry.field(description="Who gives it, if that is a partner.")


def benefit_of(row: tiers.Benefit | tiers.HeldBenefit, locale: Locale) -> Benefit:
    """The GraphQL value of a benefit."""
    chinese = locale == "zh-CN"
    return Benefit(
        code=row.code,
        name=row.name_zh if chinese else row.name_en,
        description=row.description_zh if chinese else row.description_en,
        kind=row.kind,
        needs_booking=row.needs_booking,
        partner=row.partner,
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


def granted_of(row: Json, locale: Locale) -> TierBenefit:
    """The GraphQL value of a benefit as a tier's row holds it."""
    window = row.get("window")
    return TierBenefit(
        code=row["code"],
        name=row["zh" if locale == "zh-CN" else "en"],
        quota=row.get("quota"),
        window=None if window is None else tiers.BenefitWindow(window),
    )


@strawberry.type(description="A benefit as a member has it now.")
class MemberBenefit:
    benefit: Benefit = strawberry.field(description="The benefit.")
    quota: int | None = strawberry.field(
        description="How often within the window; null is without limit."
    )
    window: tiers.BenefitWindow | None = strawberry.field(
        description="The span over which the quota is counted; null if there is no quota."
    )
    used: int = strawberry.field(
        description="How often it was used in this window, bookings included; without a quota, "
        "ever."
    )
    left: int | None = strawberry.field(
        description="How often it can still be used in this window; null is without limit."
    )
    window_ends_at: datetime | None = strawberry.field(
        description="When this window ends and the next begins; null where none does."
    )


def held_of(row: tiers.HeldBenefit, locale: Locale) -> MemberBenefit:
    """The GraphQL value of a benefit that a member has."""
    return MemberBenefit(
        benefit=benefit_of(row, locale),
        quota=row.quota,
        window=row.window,
        used=row.used,
        left=row.left,
        window_ends_at=row.window_ends_at,
    )


@strawberry.type(description="A time at which a benefit can be had, and how many may come.")
class BenefitSlot(Node):
    starts_at: datetime = strawberry.field(description="When it begins.")
    ends_at: datetime = strawberry.field(description="When it ends.")
    venue: str | None = strawberry.field(description="Where, if that was said.")
    capacity: int = strawberry.field(description="How many places there are.")
    left: int = strawberry.field(description="How many of them can still be booked.")
    cancelled_at: datetime | None = strawberry.field(
        description="When it was called off; its bookings were given back."
    )
    cancel_reason: str | None = strawberry.field(description="Why it was called off.")


def slot_of(row: tiers.BenefitSlot) -> BenefitSlot:
    """The GraphQL value of a slot."""
    return BenefitSlot(
        id=global_id("BenefitSlot", row.id),
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        venue=row.venue,
        capacity=row.capacity,
        left=0 if row.cancelled_at else row.capacity - row.booked,
        cancelled_at=row.cancelled_at,
        cancel_reason=row.cancel_reason,
    )


@strawberry.type(description="One use of a benefit, or one booking of it.")
class BenefitUse(Node):
    benefit: Benefit = strawberry.field(description="The benefit.")
    quantity: int = strawberry.field(description="How often at once, or how many places.")
    state: tiers.UseState = strawberry.field(description="What became of it.")
    at: datetime = strawberry.field(description="When it was used, or booked.")
    day: date = strawberry.field(
        description="The business day in the member's neighbourhood on which it counts."
    )
    slot: BenefitSlot | None = strawberry.field(description="Of a booking: the time.")
    reference: str | None = strawberry.field(description="The partner's number of it, if any.")
    note: str | None = strawberry.field(description="What was noted with it, if anything.")
    reversal_reason: str | None = strawberry.field(description="Why staff took it back.")


def use_of(line: tiers.UseLine, locale: Locale) -> BenefitUse:
    """The GraphQL value of a use."""
    row = line.use
    return BenefitUse(
        id=global_id("BenefitUse", row.id),
        benefit=benefit_of(line.benefit, locale),
        quantity=row.quantity,
        state=row.state,
        at=row.at,
        day=row.day,
        slot=None if line.slot is None else slot_of(line.slot),
        reference=row.reference,
        note=row.note,
        reversal_reason=row.reversal_reason,
    )


async def load_slot(info: Info, key: UUID) -> BenefitSlot | None:
    """A slot, for everyone signed in whose neighbourhood it is for."""
    caller = info.context.caller
    if not SIGNED_IN.test(caller):
        return None
    row = await info.context.one(tiers.slots_by_id, key)
    if row is None:
        return None
    home = await _home(info)
    return slot_of(row) if home is None or row.community_id in (None, home) else None


async def load_use(info: Info, key: UUID) -> BenefitUse | None:
    """One of the signed-in member's own uses."""
    caller = info.context.caller
    if not isinstance(caller, MemberCaller):
        return None
    line = await info.context.one(tiers.uses_by_member_and_id, (caller.id, key))
    return None if line is None else use_of(line, info.context.locale)


NODES: dict[str, NodeLoader] = {"BenefitSlot": load_slot, "BenefitUse": load_use}


BY_CODE: Final = by_one(word)


@strawberry.type(description="A member's benefits.")
class BenefitsOfMember(MemberPart):
    @wanted(description="What the member's tier gives them, and what is left of it now.")
    def benefits(self, info: Info) -> Wanted[list[MemberBenefit]]:
        locale = info.context.locale
        return Wanted(
            tiers.benefits_by_member,
            self.key,
            lambda rows: [held_of(row, locale) for row in rows or []],
        )

    @wanted(description="What the member has used and booked, latest first.")
    def benefit_uses(
        self, info: Info, first: First = 20, after: After = None
    ) -> Wanted[Connection[BenefitUse]]:
        asked, locale = BY_ID.asked(first, after), info.context.locale
        key = tiers.UsesKey(self.key, asked.size + 1, asked.position)
        return Wanted(
            tiers.uses_by_member,
            key,
            lambda rows: asked.page(
                rows, node=lambda line: use_of(line, locale), key=lambda line: line.use.id
            ),
        )


@strawberry.type(description="Queries of benefits.")
class BenefitsQuery:
    @query(PUBLIC, description="The catalogue of benefits that are given now, by code.")
    async def benefits(
        self, info: Info, first: First = 50, after: After = None
    ) -> Connection[Benefit]:
        asked, locale = BY_CODE.asked(first, after), info.context.locale
        async with info.context.read() as read:
            rows = await tiers.benefit_page(read, first=asked.size, after=asked.position)
        return asked.page(rows, node=lambda row: benefit_of(row, locale), key=lambda row: row.code)

    @query(
        SIGNED_IN,
        description="Times at which a benefit can be booked, soonest first; members see those of "
        "their neighbourhood.",
    )
    async def benefit_slots(
        self,
        info: Info,
        benefit_code: Annotated[str, strawberry.argument(description="Of which benefit.")],
        first: First = 20,
        after: After = None,
    ) -> Connection[BenefitSlot]:
        asked = BY_INSTANT.asked(first, after)
        home = await _home(info)
        async with info.context.read() as read:
            rows = await tiers.slot_page(
                read,
                benefit_code=benefit_code,
                first=asked.size,
                after=asked.position,
                community_id=home,
            )
        return asked.page(rows, node=slot_of, key=lambda row: (row.starts_at, row.id))


async def _home(info: Info) -> UUID | None:
    """The community whose times alone the caller sees; None for staff who see all."""
    caller = info.context.caller
    if isinstance(caller, MemberCaller):
        row = await info.context.one(members.by_id, caller.id)
        return None if row is None else row.community_id
    return bound_to(caller)
