"""Batches of coupons over GraphQL: drafting, approving and moving them, by staff."""

from enum import Enum
from typing import Annotated
from uuid import UUID

import strawberry

from app import coupons
from app.kernel.auth import Role
from app.kernel.db import Tx
from app.kernel.table import Json
from app.staff import subject
from schema.acting import acting_staff, answered, may_approve_alone
from schema.context import Info, note_made
from schema.coupons import (
    CouponBatch,
    CouponTemplate,
    batch_by_key,
    batch_of,
    template_of,
)
from schema.enums import describe
from schema.fields import field, mutation, query
from schema.guard import OFFICE, staff
from schema.nodes import key_of
from schema.paging import BY_ID, After, Connection, First
from schema.scalars import Fen


class BatchMove(Enum):
    """Where staff may take an approved batch."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    ENDED = "ENDED"
    REVOKED = "REVOKED"


describe(
    BatchMove,
    "Where staff may take a batch.",
    name="CouponBatchMove",
    ACTIVE="It gives out coupons, again after a pause.",
    PAUSED="It gives out none for now; those given stay good.",
    ENDED="It gives out no more, for good; those given stay good.",
    REVOKED="It gives out no more, and those given are void at once.",
)


@strawberry.input(description="A new batch of coupons of a template.")
class CreateCouponBatchInput:
    template_id: strawberry.ID = strawberry.field(description="What its coupons do.")
    quantity: int = strawberry.field(
        description="How many coupons; with codes made in advance at most 1,000,000."
    )
    budget_fen: Fen | None = strawberry.field(
        default=None,
        description="The most they may cost together; by default all that they can cost.",
    )
    code_mode: coupons.CodeMode = strawberry.field(
        default=coupons.CodeMode.UNIQUE, description="Whether its coupons have codes."
    )
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key never makes two."
    )


@strawberry.type(description="The batch is drafted.")
class CreateCouponBatchSuccess:
    batch_key: strawberry.Private[UUID]

    @field(description="The batch.")
    async def batch(self, info: Info) -> CouponBatch:
        return await batch_by_key(info, self.batch_key)


@strawberry.input(description="The approval of a drafted batch.")
class ApproveCouponBatchInput:
    batch_id: strawberry.ID = strawberry.field(description="The batch.")
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key gets the first answer again."
    )


@strawberry.type(description="The batch is approved; codes in advance are made.")
class ApproveCouponBatchSuccess:
    batch_key: strawberry.Private[UUID]
    codes: int = strawberry.field(
        description="How many codes were made; staff take them by `linli coupons codes`."
    )

    @field(description="The batch.")
    async def batch(self, info: Info) -> CouponBatch:
        return await batch_by_key(info, self.batch_key)


@strawberry.input(description="The next step of a batch.")
class MoveCouponBatchInput:
    batch_id: strawberry.ID = strawberry.field(description="The batch.")
    to: BatchMove = strawberry.field(description="Where it goes.")
    reason: str | None = strawberry.field(
        default=None, description="Why, up to 200 characters; the audit log keeps it."
    )
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key gets the first answer again."
    )


@strawberry.type(description="The batch is where it was taken.")
class MoveCouponBatchSuccess:
    batch_key: strawberry.Private[UUID]

    @field(description="The batch.")
    async def batch(self, info: Info) -> CouponBatch:
        return await batch_by_key(info, self.batch_key)


@strawberry.type(description="Queries of templates and batches.")
class CouponOfficeQuery:
    @query(OFFICE, description="Coupon templates, newest first.")
    async def coupon_templates(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[CouponTemplate]:
        asked = BY_ID.asked(first, after)
        async with info.context.read() as read:
            rows = await coupons.newest_templates(read, after=asked.position, first=asked.size)
        return asked.page(rows, node=template_of, key=lambda row: row.id)

    @query(OFFICE, description="Batches of coupons, newest first.")
    async def coupon_batches(
        self,
        info: Info,
        status: Annotated[
            coupons.BatchState | None,
            strawberry.argument(description="Only those that stand so."),
        ] = None,
        first: First = 20,
        after: After = None,
    ) -> Connection[CouponBatch]:
        asked = BY_ID.asked(first, after)
        async with info.context.read() as read:
            rows = await coupons.newest_batches(
                read, after=asked.position, first=asked.size, state=status
            )
        return asked.page(rows, node=batch_of, key=lambda row: row.id)


@strawberry.type(description="Mutations of batches of coupons.")
class CouponBatchesMutation:
    @mutation(
        staff(Role.CAMPAIGN_MANAGER),
        CreateCouponBatchSuccess,
        refusals=[coupons.TemplateNotFound],
        description="Drafts a batch of coupons; it gives out none before it is approved and moved.",
    )
    async def create_coupon_batch(
        self, info: Info, input: CreateCouponBatchInput
    ) -> CreateCouponBatchSuccess:
        staff_id = acting_staff(info)
        template_id = key_of(input.template_id, "CouponTemplate", "templateId")

        async def work(tx: Tx) -> Json:
            batch = await coupons.create_batch(
                tx,
                template_id=template_id,
                quantity=input.quantity,
                budget_fen=input.budget_fen,
                code_mode=input.code_mode,
                by=staff_id,
            )
            note_made(subject(coupons.Batch, batch.id))
            return {"batch": str(batch.id)}

        answer = await answered(info, input, work)
        return CreateCouponBatchSuccess(batch_key=UUID(answer["batch"]))

    @mutation(
        staff(Role.CAMPAIGN_MANAGER),
        ApproveCouponBatchSuccess,
        refusals=[
            coupons.BatchNotFound,
            coupons.BatchMoveNotAllowed,
            coupons.BatchNeedsAnother,
        ],
        description="Approves a batch that somebody else drafted, and makes its codes, if it has "
        "them in advance.",
    )
    async def approve_coupon_batch(
        self, info: Info, input: ApproveCouponBatchInput
    ) -> ApproveCouponBatchSuccess:
        staff_id = acting_staff(info)
        batch_id = key_of(input.batch_id, "CouponBatch", "batchId")

        async def work(tx: Tx) -> Json:
            batch = await coupons.approve_batch(
                tx, batch_id=batch_id, by=staff_id, alone=may_approve_alone(info)
            )
            if batch.code_mode is not coupons.CodeMode.BULK:
                return {"codes": 0}
            return {"codes": await coupons.make_codes(tx, batch_id=batch_id)}

        answer = await answered(info, input, work, about=subject(coupons.Batch, batch_id))
        return ApproveCouponBatchSuccess(batch_key=batch_id, codes=answer["codes"])

    @mutation(
        staff(Role.CAMPAIGN_MANAGER),
        MoveCouponBatchSuccess,
        refusals=[coupons.BatchNotFound, coupons.BatchMoveNotAllowed, coupons.BatchHeldByDrop],
        description="Activates, pauses, ends or revokes a batch.",
    )
    async def move_coupon_batch(
        self, info: Info, input: MoveCouponBatchInput
    ) -> MoveCouponBatchSuccess:
        batch_id = key_of(input.batch_id, "CouponBatch", "batchId")
        coupons.check_reason(input.reason)

        async def work(tx: Tx) -> Json:
            to = coupons.BatchState(input.to.value)
            await coupons.move_batch(tx, batch_id=batch_id, to=to)
            return {}

        await answered(info, input, work, about=subject(coupons.Batch, batch_id))
        return MoveCouponBatchSuccess(batch_key=batch_id)
