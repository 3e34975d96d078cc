"""Birthdays and festivals over GraphQL, and what is given on them."""

from datetime import date, datetime
from uuid import UUID

import strawberry

from app import coupons, gifts
from app.kernel.auth import Role
from app.kernel.clock import business_day
from app.kernel.db import Tx
from app.kernel.table import Json
from app.members import MemberNotActive, MemberNotFound
from app.tiers import TierNotFound
from schema.acting import acting_member, acting_staff, answered
from schema.context import Info, note_made
from schema.coupons import CouponBatch, batch_of
from schema.enums import describe
from schema.fields import field, loaded, mutation, query
from schema.guard import MEMBER, OFFICE, SIGNED_IN, staff
from schema.nodes import MemberPart, key_of
from schema.subjects import NamedSubject

describe(
    gifts.Calendar,
    "By which calendar a day of the year is told.",
    SOLAR="The solar calendar (公历).",
    LUNAR="The lunar calendar (农历).",
)
describe(
    gifts.Feb29,
    "When those born on 29 February celebrate in other years.",
    name="Feb29Choice",
    FEB28="On 28 February.",
    MAR1="On 1 March.",
)


@strawberry.type(description="A member's birthday, without its year.")
class Birthday:
    calendar: gifts.Calendar = strawberry.field(description="By which calendar it is told.")
    month: int = strawberry.field(description="The month, 1 to 12.")
    day: int = strawberry.field(description="The day of the month.")
    leap_month: bool = strawberry.field(
        description="True if it is in a doubled lunar month (闰月)."
    )
    feb29: gifts.Feb29 | None = strawberry.field(
        description="For 29 February: when it is celebrated in other years."
    )
    next_on: date = strawberry.field(description="The day on which it is celebrated next.")
    may_change: bool = strawberry.field(description="True until it has been changed once.")
    counts_from_cycle: int | None = strawberry.field(
        description="After a change: the year of its calendar from which it counts."
    )


def birthday_of(told: gifts.ToldBirthday) -> Birthday:
    """The GraphQL value of a birthday."""
    born = told.birthday
    return Birthday(
        calendar=born.calendar,
        month=born.month,
        day=born.day,
        leap_month=born.leap_month,
        feb29=born.feb29,
        next_on=told.next_on,
        may_change=told.from_cycle is None,
        counts_from_cycle=told.from_cycle,
    )


@strawberry.type(description="A member's birthday.")
class BirthdayOfMember(MemberPart):
    @field(description="The member's birthday, if they told it.", allow=MEMBER | OFFICE)
    async def birthday(self, info: Info) -> Birthday | None:
        told = await info.context.one(gifts.birthdays_by_member, self.key)
        return None if told is None else birthday_of(told)


@strawberry.type(description="A day that comes back each year.")
class Festival:
    code: str = strawberry.field(description="A stable code for programs, such as MID_AUTUMN.")
    name: str = strawberry.field(description="Its name, in the caller's language.")
    calendar: gifts.Calendar = strawberry.field(description="By which calendar it falls.")
    month: int = strawberry.field(description="The month, 1 to 12.")
    day: int = strawberry.field(description="The day of the month.")
    next_on: date = strawberry.field(description="The next day it falls on, today included.")


def festival_of(info: Info, row: gifts.Festival) -> Festival:
    """The GraphQL value of a festival."""
    ctx = info.context
    today = business_day(ctx.database.clock(), ctx.settings.time_zone)
    born = gifts.Birthday(row.calendar, row.month, row.day)
    return Festival(
        code=row.code,
        name=row.name_zh if ctx.locale == "zh-CN" else row.name_en,
        calendar=row.calendar,
        month=row.month,
        day=row.day,
        next_on=gifts.next_birthday(born, today),
    )


@strawberry.type(description="What members are given on an occasion.")
class OccasionGift:
    batch_key: strawberry.Private[UUID]
    occasion: str = strawberry.field(description="BIRTHDAY or a festival's code.")
    tier: str | None = strawberry.field(
        description="The tier's code; null for all tiers that have none of their own."
    )
    since: datetime = strawberry.field(description="Since when.")

    batch: CouponBatch = loaded(
        coupons.batches_by_id,
        key=lambda gift: gift.batch_key,
        make=batch_of,
        description="The batch whose coupons are given.",
    )


def gift_of(row: gifts.OccasionGift) -> OccasionGift:
    """The GraphQL value of an occasion's gift."""
    return OccasionGift(
        batch_key=row.batch_id,
        occasion=row.occasion,
        tier=row.tier_code,
        since=row.created_at,
    )


@strawberry.type(description="Queries of festivals and what is given on them.")
class OccasionsQuery:
    @query(SIGNED_IN, description="Every festival, at most 207.")
    async def festivals(self, info: Info) -> list[Festival]:
        async with info.context.read() as read:
            rows = await gifts.festivals(read)
        return [festival_of(info, row) for row in rows]

    @query(OFFICE, description="What is given on birthdays and festivals now, tier by tier.")
    async def occasion_gifts(self, info: Info) -> list[OccasionGift]:
        async with info.context.read() as read:
            rows = await gifts.gifts_in_force(read)
        return [gift_of(row) for row in rows]


@strawberry.input(description="The signed-in member's birthday.")
class SetBirthdayInput:
    calendar: gifts.Calendar = strawberry.field(description="By which calendar it is told.")
    month: int = strawberry.field(description="The month, 1 to 12.")
    day: int = strawberry.field(description="The day of the month.")
    leap_month: bool = strawberry.field(
        default=False, description="True if it is in a doubled lunar month (闰月)."
    )
    feb29: gifts.Feb29 | None = strawberry.field(
        default=None,
        description="For 29 February: when it is celebrated in other years, by default FEB28.",
    )
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="A key of the client's; sent again with it, it gets the first answer.",
    )


@strawberry.type(description="The birthday is told.")
class SetBirthdaySuccess:
    key: strawberry.Private[UUID]

    @field(description="The birthday, with when it counts.")
    async def birthday(self, info: Info) -> Birthday:
        told = await info.context.one(gifts.birthdays_by_member, self.key)
        if told is None:
            raise LookupError(f"birthday of member {self.key}")
        return birthday_of(told)


@strawberry.input(description="What to give on an occasion from now on.")
class SetOccasionGiftInput:
    occasion: str = strawberry.field(description="BIRTHDAY or a festival's code.")
    tier: str | None = strawberry.field(
        default=None,
        description="A tier's code; null for all tiers that have none of their own.",
    )
    batch_id: strawberry.ID | None = strawberry.field(
        default=None, description="The batch whose coupons are given; null gives none any more."
    )
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="A key of the client's; sent again with it, it gets the first answer.",
    )


@strawberry.type(description="The gift is set.")
class SetOccasionGiftSuccess:
    gift: OccasionGift | None = strawberry.field(description="What is given; null for nothing.")


@strawberry.input(description="A festival to add to those everybody knows.")
class AddFestivalInput:
    code: str = strawberry.field(
        description="A code of capital letters, digits and _, up to 40 characters."
    )
    name_zh: str = strawberry.field(description="Its Chinese name, up to 40 characters.")
    name_en: str = strawberry.field(description="Its English name, up to 40 characters.")
    calendar: gifts.Calendar = strawberry.field(description="By which calendar it falls.")
    month: int = strawberry.field(description="The month, 1 to 12.")
    day: int = strawberry.field(
        description="The day; lunar 30 is the 29th where the month has no 30th."
    )
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key never adds two."
    )

    def festival(self) -> gifts.Festival:
        """The festival that the input stands for."""
        return gifts.Festival(
            self.code, self.name_zh, self.name_en, self.calendar, self.month, self.day
        )


@strawberry.type(description="The festival is added.")
class AddFestivalSuccess:
    festival: Festival = strawberry.field(description="The festival.")


@strawberry.type(description="Mutations of birthdays and festivals.")
class OccasionsMutation:
    @mutation(
        MEMBER,
        SetBirthdaySuccess,
        refusals=[gifts.BirthdayChangedAlready, MemberNotActive, MemberNotFound],
        description="Tells the member's birthday, or changes it: once, counting from the next "
        "cycle. Telling the same again changes nothing.",
    )
    async def set_birthday(self, info: Info, input: SetBirthdayInput) -> SetBirthdaySuccess:
        member_id = acting_member(info)
        born = gifts.Birthday(input.calendar, input.month, input.day, input.leap_month, input.feb29)

        async def work(tx: Tx) -> Json:
            await gifts.set_birthday(tx, member_id=member_id, birthday=born)
            return {}

        await answered(info, input, work)
        return SetBirthdaySuccess(key=member_id)

    @mutation(
        staff(Role.CAMPAIGN_MANAGER),
        SetOccasionGiftSuccess,
        refusals=[gifts.OccasionNotFound, TierNotFound, coupons.BatchNotFound],
        description="Gives members of a tier, or of all others, coupons of a batch on an occasion. "
        "Setting the same again changes nothing.",
    )
    async def set_occasion_gift(
        self, info: Info, input: SetOccasionGiftInput
    ) -> SetOccasionGiftSuccess:
        staff_id = acting_staff(info)
        named = input.batch_id
        batch_id = None if named is None else key_of(named, "CouponBatch", "batchId")
        in_force = {"occasion": input.occasion, "tier_code": input.tier, "ended_at": None}
        row: gifts.OccasionGift | None = None

        async def work(tx: Tx) -> Json:
            made = await gifts.set_occasion_gift(
                tx,
                occasion=input.occasion,
                tier_code=input.tier,
                batch_id=batch_id,
                by=staff_id,
            )
            return {"gift": None if made is None else str(made.id)}

        about = NamedSubject(gifts.OccasionGift, in_force)
        gift_id = (await answered(info, input, work, about=about))["gift"]
        if gift_id is not None:
            row = await info.context.one(gifts.occasion_gifts_by_id, UUID(gift_id))
        return SetOccasionGiftSuccess(gift=None if row is None else gift_of(row))

    @mutation(
        staff(Role.CAMPAIGN_MANAGER),
        AddFestivalSuccess,
        refusals=[gifts.FestivalExists],
        description="Adds a festival to those everybody knows.",
    )
    async def add_festival(self, info: Info, input: AddFestivalInput) -> AddFestivalSuccess:

        async def work(tx: Tx) -> Json:
            made = await gifts.add_festival(tx, festival=input.festival())
            note_made(NamedSubject(gifts.FestivalRow, {"code": made.code}))
            return {"code": made.code}

        code = (await answered(info, input, work))["code"]
        async with info.context.read() as read:
            rows = {row.code: row for row in await gifts.festivals(read)}
        return AddFestivalSuccess(festival=festival_of(info, rows[code]))
