"""What merging two members comes to, before and after."""

from typing import Annotated

import strawberry

from app import merging
from app.kernel.auth import Role
from app.kernel.table import Json
from schema.context import Info
from schema.fields import query
from schema.guard import staff
from schema.nodes import key_of
from schema.scalars import Points


@strawberry.type(description="What one member has, for comparing before a merge.")
class MemberHolding:
    points: Points = strawberry.field(description="Points that can be spent.")
    pending: Points = strawberry.field(description="Points that wait for their refund window.")
    debt: Points = strawberry.field(description="Points owed after refunds.")
    carbon: Points = strawberry.field(description="CARBON points that can be spent.")
    coupons: int = strawberry.field(description="Coupons that can still be used.")
    orders: int = strawberry.field(description="Orders on record.")
    votes: int = strawberry.field(description="Votes cast.")
    identities: int = strawberry.field(description="Ways in which the member is recognised.")
    tier: str | None = strawberry.field(description="The tier's code; null is the lowest.")


@strawberry.type(description="How many rows of a kind a merge moves.")
class MergeFigure:
    what: str = strawberry.field(description="What is moved, such as orders or identities.")
    rows: int = strawberry.field(description="How many.")


@strawberry.type(description="What merging two members would come to now.")
class MergePreview:
    survivor: MemberHolding = strawberry.field(description="What the one who goes on has.")
    merged: MemberHolding = strawberry.field(description="What the one who ends has.")
    after: MemberHolding = strawberry.field(description="What the survivor would have then.")
    moves: list[MergeFigure] = strawberry.field(description="What would move.")


def _holding(given: merging.Holding) -> MemberHolding:
    return MemberHolding(
        points=Points(given.points),
        pending=Points(given.pending),
        debt=Points(given.debt),
        carbon=Points(given.carbon),
        coupons=given.coupons,
        orders=given.orders,
        votes=given.votes,
        identities=given.identities,
        tier=given.tier,
    )


def moves_of(figures: Json) -> list[MergeFigure]:
    return [MergeFigure(what=name, rows=int(rows)) for name, rows in figures.items()]


@strawberry.type(description="Queries of merging.")
class MergingQuery:
    @query(
        staff(Role.SUPPORT),
        description="What mergeMembers would do now, to the row; it is done and undone.",
    )
    async def preview_merge(
        self,
        info: Info,
        survivor_id: Annotated[
            strawberry.ID, strawberry.argument(description="The member who would go on.")
        ],
        merged_id: Annotated[
            strawberry.ID, strawberry.argument(description="The member who would end.")
        ],
    ) -> MergePreview:
        into_id = key_of(survivor_id, "Member", "survivorId")
        from_id = key_of(merged_id, "Member", "mergedId")

        async def work() -> merging.Preview:
            async with info.context.database.begin() as tx:
                return await merging.preview(tx, from_id=from_id, into_id=into_id)

        told = await merging.patiently(work)
        return MergePreview(
            survivor=_holding(told.survivor),
            merged=_holding(told.merged),
            after=_holding(told.after),
            moves=moves_of(told.figures),
        )
