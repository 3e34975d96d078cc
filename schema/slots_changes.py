"""Calling booked times off and changing their places, over GraphQL."""

from uuid import UUID

import strawberry

from app import tiers
from app.kernel.auth import Role
from app.kernel.db import Tx
from app.kernel.table import Json
from app.staff import subject
from schema.acting import acting_staff, answered
from schema.benefits import BenefitSlot, slot_of
from schema.context import Info
from schema.fields import mutation
from schema.guard import staff
from schema.nodes import key_of

MANAGERS = staff(Role.CAMPAIGN_MANAGER)


@strawberry.input(description="A time to call off.")
class CancelBenefitSlotInput:
    slot_id: strawberry.ID = strawberry.field(description="The time.")
    reason: str = strawberry.field(
        description="Why, up to 200 characters; whoever has booked it sees it."
    )
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key gets the first answer again."
    )


@strawberry.input(description="A time with more places or fewer.")
class ResizeBenefitSlotInput:
    slot_id: strawberry.ID = strawberry.field(description="The time.")
    capacity: int = strawberry.field(
        description="How many places there are now, at most 100,000 and not fewer than are booked."
    )
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key gets the first answer again."
    )


@strawberry.type(description="The time is called off, and every booking of it is given back.")
class CancelBenefitSlotSuccess:
    slot: BenefitSlot = strawberry.field(description="The time.")


@strawberry.type(description="The time has so many places.")
class ResizeBenefitSlotSuccess:
    slot: BenefitSlot = strawberry.field(description="The time.")


async def _slot(info: Info, slot_id: UUID) -> BenefitSlot:
    async with info.context.read() as read:
        return slot_of((await tiers.slots_by_id(read, [slot_id]))[slot_id])


@strawberry.type(description="Mutations of times that can be booked.")
class SlotsMutation:
    @mutation(
        MANAGERS,
        CancelBenefitSlotSuccess,
        refusals=[tiers.SlotNotFound, tiers.SlotBegun],
        description="Calls a time off before it begins: bookings and the uses they took are given "
        "back, and the members are told why.",
    )
    async def cancel_benefit_slot(
        self, info: Info, input: CancelBenefitSlotInput
    ) -> CancelBenefitSlotSuccess:
        staff_id = acting_staff(info)
        slot_id = key_of(input.slot_id, "BenefitSlot", "slotId")

        async def work(tx: Tx) -> Json:
            await tiers.cancel_slot(tx, slot_id=slot_id, reason=input.reason, actor_id=staff_id)
            return {}

        await answered(info, input, work, about=subject(tiers.BenefitSlot, slot_id))
        return CancelBenefitSlotSuccess(slot=await _slot(info, slot_id))

    @mutation(
        MANAGERS,
        ResizeBenefitSlotSuccess,
        refusals=[
            tiers.SlotNotFound,
            tiers.SlotBegun,
            tiers.SlotCancelled,
            tiers.SlotTooSmall,
        ],
        description="Gives a time that has not begun more places, or fewer.",
    )
    async def resize_benefit_slot(
        self, info: Info, input: ResizeBenefitSlotInput
    ) -> ResizeBenefitSlotSuccess:
        slot_id = key_of(input.slot_id, "BenefitSlot", "slotId")

        async def work(tx: Tx) -> Json:
            await tiers.resize_slot(tx, slot_id=slot_id, capacity=input.capacity)
            return {}

        await answered(info, input, work, about=subject(tiers.BenefitSlot, slot_id))
        return ResizeBenefitSlotSuccess(slot=await _slot(info, slot_id))
