"""Changing the early access of drops, over GraphQL."""

from uuid import UUID

import strawberry

from app import drops, tiers
from app.kernel.auth import Role
from app.kernel.db import Tx
from app.kernel.table import Json
from app.staff import subject
from schema.acting import answered
from schema.context import Info
from schema.drops import Drop, drop_by_key
from schema.drops_changes import DropWindowInput, ranks_of, windows_of
from schema.fields import field, mutation
from schema.guard import staff
from schema.nodes import key_of


@strawberry.input(description="All windows of early access that a drop is to have.")
class SetDropEarlyAccessInput:
    drop_id: strawberry.ID = strawberry.field(description="The drop, which has not opened.")
    early_access: list[DropWindowInput] = strawberry.field(
        description="The windows instead of those it has, at most five; a later one is for a "
        "lower tier, and an empty list ends early access."
    )
    idempotency_key: str = strawberry.field(
        description="A key of the client's; sent again it gets the first answer."
    )


@strawberry.type(description="The drop has these windows.")
class SetDropEarlyAccessSuccess:
    drop_key: strawberry.Private[UUID]

    @field(description="The drop.")
    async def drop(self, info: Info) -> Drop:
        return await drop_by_key(info, self.drop_key)


@strawberry.type(description="Mutations of early access.")
class DropsEarlyMutation:
    @mutation(
        staff(Role.CAMPAIGN_MANAGER),
        SetDropEarlyAccessSuccess,
        refusals=[
            drops.DropNotFound,
            drops.DropNotScheduled,
            drops.EarlyAccessBegun,
            tiers.TierNotFound,
        ],
        description="Changes who may claim from a drop early, until the first window begins.",
    )
    async def set_drop_early_access(
        self, info: Info, input: SetDropEarlyAccessInput
    ) -> SetDropEarlyAccessSuccess:
        drop_id = key_of(input.drop_id, "Drop", "dropId")

        async def work(tx: Tx) -> Json:
            ranks = await ranks_of(tx, {one.tier for one in input.early_access})
            early = windows_of(input.early_access, ranks)
            await drops.set_early_access(tx, drop_id=drop_id, early=early)
            return {}

        await answered(info, input, work, about=subject(drops.Drop, drop_id))
        return SetDropEarlyAccessSuccess(drop_key=drop_id)
