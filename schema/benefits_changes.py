"""Using and booking benefits over GraphQL, and what staff record of it."""

from uuid import UUID

import strawberry

from app import tiers
from app.kernel.auth import MemberCaller, PartnerCaller, Role, Scope, StaffCaller
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput, NotAllowed
from app.kernel.table import Json
from app.members import MemberNotActive, MemberNotFound
from app.staff import Subject, partner_name
from schema.acting import acting_member, acting_staff, answered
from schema.benefits import BenefitUse, MemberBenefit, held_of, use_of
from schema.context import Info, note_made
from schema.fields import LATER, Wanted, mutation, wanted
from schema.guard import MEMBER, partner, staff
from schema.nodes import key_of

SUPPORT = staff(Role.SUPPORT)


@strawberry.input(description="A use of a benefit.")
class UseBenefitInput:
    benefit_code: str = strawberry.field(description="Which benefit.")
    member_id: strawberry.ID | None = strawberry.field(
        default=None, description="Whose; members leave it out, staff and partners say it."
    )
    quantity: int = strawberry.field(default=1, description="How often at once, at most 100.")
    reference: str | None = strawberry.field(
        default=None,
        description="The partner's number of it, up to 64 characters; it stands for one use. "
        "Partners must say it.",
    )
    note: str | None = strawberry.field(default=None, description="A note, up to 200 characters.")
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key never uses twice."
    )


@strawberry.input(description="A booking of a benefit.")
class BookBenefitInput:
    slot_id: strawberry.ID = strawberry.field(description="The time to book.")
    quantity: int = strawberry.field(default=1, description="How many places.")
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key never books twice."
    )


@strawberry.input(description="The end of a booking.")
class CancelBookingInput:
    booking_id: strawberry.ID = strawberry.field(description="The booking.")
    idempotency_key: str | None = strawberry.field(
        default=None,
        metadata={LATER: True},
        description="A key of the client's; sent again with it, it gets the first answer.",
    )


@strawberry.input(description="What came of a booking.")
class SettleBookingInput:
    member_id: strawberry.ID = strawberry.field(description="Whose booking.")
    booking_id: strawberry.ID = strawberry.field(description="The booking.")
    came: bool = strawberry.field(description="Whether the member came.")
    idempotency_key: str | None = strawberry.field(
        default=None,
        metadata={LATER: True},
        description="A key of the client's; sent again with it, it gets the first answer.",
    )


@strawberry.input(description="A use of a benefit to take back.")
class ReverseBenefitUseInput:
    member_id: strawberry.ID = strawberry.field(description="Whose use.")
    use_id: strawberry.ID = strawberry.field(description="The use.")
    reason: str = strawberry.field(description="Why, up to 200 characters; the member sees it.")
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key never takes back twice."
    )


@strawberry.type(description="A use of a benefit as it stands now.")
class BenefitUseSuccess:
    member: strawberry.Private[UUID]
    code: strawberry.Private[str]
    use: BenefitUse = strawberry.field(description="The use.")

    @wanted(description="What the member has left of it; null if their tier has it no more.")
    def benefit(self, info: Info) -> Wanted[MemberBenefit | None]:
        code, locale = self.code, info.context.locale

        def made(rows: list[tiers.HeldBenefit] | None) -> MemberBenefit | None:
            return next((held_of(row, locale) for row in rows or [] if row.code == code), None)

        return Wanted(tiers.benefits_by_member, self.member, made)


@strawberry.type(description="The benefit is used.")
class UseBenefitSuccess(BenefitUseSuccess):
    pass


@strawberry.type(description="The benefit is booked.")
class BookBenefitSuccess(BenefitUseSuccess):
    pass


@strawberry.type(description="The booking is cancelled.")
class CancelBookingSuccess(BenefitUseSuccess):
    pass


@strawberry.type(description="It is recorded what came of the booking.")
class SettleBookingSuccess(BenefitUseSuccess):
    pass


@strawberry.type(description="The use is taken back.")
class ReverseBenefitUseSuccess(BenefitUseSuccess):
    pass


async def _line(info: Info, member_id: UUID, use_id: UUID) -> tiers.UseLine:
    async with info.context.read() as read:
        return await tiers.use_line(read, member_id, use_id)


def _user(info: Info, given: strawberry.ID | None) -> UUID:
    caller = info.context.caller
    if isinstance(caller, MemberCaller):
        if given is not None and key_of(given, "Member", "memberId") != caller.id:
            raise NotAllowed()
        return caller.id
    if given is None:
        raise InvalidInput(field="memberId", reason="say whose", reason_zh="请指定会员")
    return key_of(given, "Member", "memberId")


async def _partner(tx: Tx, info: Info) -> str | None:
    """The partner that acts: the benefits whose `partner` has its key's name are its own."""
    caller = info.context.caller
    if not isinstance(caller, PartnerCaller):
        return None
    name = await partner_name(tx, caller.id)
    if name is None:
        raise NotAllowed()
    return name


@strawberry.type(description="Mutations of benefits.")
class BenefitsMutation:
    @mutation(
        MEMBER | SUPPORT | partner(Scope.BENEFITS_USE),
        UseBenefitSuccess,
        refusals=[
            tiers.BenefitNotFound,
            tiers.BenefitNotInTier,
            tiers.BenefitUsedUp,
            tiers.BenefitOfAnother,
            tiers.BookingNeeded,
            tiers.ReferenceUsed,
            tiers.TiersMissing,
            MemberNotActive,
            MemberNotFound,
        ],
        description="Uses a benefit of the member's tier, as far as its quota reaches. Partners "
        "record uses of their own benefits, whose `partner` is their key's name.",
    )
    async def use_benefit(self, info: Info, input: UseBenefitInput) -> UseBenefitSuccess:
        member_id, caller = _user(info, input.member_id), info.context.caller
        recorder = caller.id if isinstance(caller, StaffCaller | PartnerCaller) else None

        async def work(tx: Tx) -> Json:
            made = await tiers.use_benefit(
                tx,
                member_id=member_id,
                benefit_code=input.benefit_code,
                quantity=input.quantity,
                reference=input.reference,
                note=input.note,
                actor_id=recorder,
                partner=await _partner(tx, info),
            )
            note_made(Subject(tiers.BenefitUse, {"id": made.id, "member_id": member_id}))
            return {"use": str(made.id)}

        use_id = UUID((await answered(info, input, work))["use"])
        line = await _line(info, member_id, use_id)
        return UseBenefitSuccess(
            member=member_id, code=line.benefit.code, use=use_of(line, info.context.locale)
        )

    @mutation(
        MEMBER,
        BookBenefitSuccess,
        refusals=[
            tiers.SlotNotFound,
            tiers.SlotBegun,
            tiers.SlotCancelled,
            tiers.SlotFull,
            tiers.AlreadyBooked,
            tiers.BenefitNotFound,
            tiers.BenefitNotInTier,
            tiers.BenefitUsedUp,
            tiers.TiersMissing,
            MemberNotActive,
            MemberNotFound,
        ],
        description="Books a time of a benefit; it counts in the window in which the time begins.",
    )
    async def book_benefit(self, info: Info, input: BookBenefitInput) -> BookBenefitSuccess:
        member_id = acting_member(info)
        slot_id = key_of(input.slot_id, "BenefitSlot", "slotId")

        async def work(tx: Tx) -> Json:
            made = await tiers.book_benefit(
                tx, member_id=member_id, slot_id=slot_id, quantity=input.quantity
            )
            return {"use": str(made.id)}

        use_id = UUID((await answered(info, input, work))["use"])
        line = await _line(info, member_id, use_id)
        return BookBenefitSuccess(
            member=member_id, code=line.benefit.code, use=use_of(line, info.context.locale)
        )

    @mutation(
        MEMBER,
        CancelBookingSuccess,
        refusals=[tiers.BookingNotFound, tiers.SlotBegun, tiers.TiersMissing],
        description="Cancels a booking before its time begins, which gives the use back.",
    )
    async def cancel_booking(self, info: Info, input: CancelBookingInput) -> CancelBookingSuccess:
        member_id = acting_member(info)
        booking_id = key_of(input.booking_id, "BenefitUse", "bookingId")

        async def work(tx: Tx) -> Json:
            await tiers.cancel_booking(tx, member_id=member_id, booking_id=booking_id)
            return {}

        await answered(info, input, work)
        line = await _line(info, member_id, booking_id)
        return CancelBookingSuccess(
            member=member_id, code=line.benefit.code, use=use_of(line, info.context.locale)
        )

    @mutation(
        SUPPORT,
        SettleBookingSuccess,
        refusals=[tiers.BookingNotFound, tiers.SlotNotBegun, tiers.TiersMissing],
        description="Records whether the member came to a booked time; either way it counts.",
    )
    async def settle_booking(self, info: Info, input: SettleBookingInput) -> SettleBookingSuccess:
        staff_id = acting_staff(info)
        member_id = key_of(input.member_id, "Member", "memberId")
        booking_id = key_of(input.booking_id, "BenefitUse", "bookingId")

        async def work(tx: Tx) -> Json:
            await tiers.settle_booking(
                tx, member_id=member_id, booking_id=booking_id, came=input.came, actor_id=staff_id
            )
            return {}

        about = Subject(tiers.BenefitUse, {"id": booking_id, "member_id": member_id})
        await answered(info, input, work, about=about)
        line = await _line(info, member_id, booking_id)
        return SettleBookingSuccess(
            member=member_id, code=line.benefit.code, use=use_of(line, info.context.locale)
        )

    @mutation(
        SUPPORT,
        ReverseBenefitUseSuccess,
        refusals=[tiers.UseNotFound, tiers.UseNotReversible, tiers.TiersMissing],
        description="Takes a use of a benefit back, with a reason; its windows get it back.",
    )
    async def reverse_benefit_use(
        self, info: Info, input: ReverseBenefitUseInput
    ) -> ReverseBenefitUseSuccess:
        staff_id = acting_staff(info)
        member_id = key_of(input.member_id, "Member", "memberId")
        use_id = key_of(input.use_id, "BenefitUse", "useId")

        async def work(tx: Tx) -> Json:
            await tiers.reverse_use(
                tx, member_id=member_id, use_id=use_id, reason=input.reason, actor_id=staff_id
            )
            return {"use": str(use_id)}

        about = Subject(tiers.BenefitUse, {"id": use_id, "member_id": member_id})
        await answered(info, input, work, about=about)
        line = await _line(info, member_id, use_id)
        return ReverseBenefitUseSuccess(
            member=member_id, code=line.benefit.code, use=use_of(line, info.context.locale)
        )
