"""A statement of a member's points over a span of time."""

from datetime import datetime
from typing import Annotated

import strawberry

from app import points
from app.kernel.auth import MemberCaller
from app.kernel.errors import InvalidInput
from schema.context import Info
from schema.fields import field, query
from schema.guard import SIGNED_IN
from schema.nodes import key_of
from schema.paging import After, Connection, First
from schema.points import BY_ENTRY, PointsEntry, entry_of
from schema.scalars import Points
from schema.sight import sees_member_of


@strawberry.type(description="What an account holds at an instant, or what movements did to it.")
class PointsFigures:
    balance: Points = strawberry.field(description="Points that can be redeemed.")
    pending: Points = strawberry.field(
        description="Points of orders whose refund window is still open."
    )
    debt: Points = strawberry.field(description="Points owed after refunds.")


def figures_of(row: points.Figures) -> PointsFigures:
    """The GraphQL value of figures."""
    return PointsFigures(
        balance=Points(row.active), pending=Points(row.pending), debt=Points(row.debt)
    )


@strawberry.type(description="All movements of one kind within a statement.")
class PointsKindTotal:
    kind: points.EntryKind = strawberry.field(description="What the movements were.")
    entries: int = strawberry.field(description="How many there were.")
    effect: PointsFigures = strawberry.field(
        description="What they did to the account, negative where they took."
    )


@strawberry.type(
    description="A member's account over a span, as booked: what is due but not yet booked by a "
    "job or a movement comes in the next."
)
class PointsStatement:
    span: strawberry.Private[points.Span]
    currency: points.Currency = strawberry.field(description="What is counted.")
    since: datetime | None = strawberry.field(
        name="from", description="When the span begins; null for the account's beginning."
    )
    until: datetime | None = strawberry.field(
        description="The instant before which the span ends; null for now."
    )
    opening: PointsFigures = strawberry.field(
        description="The account at the beginning: the sum of all movements before."
    )
    closing: PointsFigures = strawberry.field(
        description="The account at the end: its own totals less the movements since."
    )
    totals: list[PointsKindTotal] = strawberry.field(
        description="The movements within, by kind; kinds without any are left out."
    )
    reconciles: bool = strawberry.field(
        description="True if opening and totals add up to closing, which are reckoned apart."
    )

    @field(description="The movements within, newest first.")
    async def entries(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[PointsEntry]:
        asked = BY_ENTRY.asked(first, after)
        async with info.context.read() as read:
            rows = await points.statement_lines(
                read, self.span, first=asked.size, before=asked.position
            )
        return asked.page(rows, node=entry_of, key=lambda row: row.seq)


def statement_of(row: points.Statement) -> PointsStatement:
    """The GraphQL value of a statement."""
    return PointsStatement(
        span=row.span,
        currency=row.span.currency,
        since=row.span.since,
        until=row.span.until,
        opening=figures_of(row.opening),
        closing=figures_of(row.closing),
        totals=[
            PointsKindTotal(kind=one.kind, entries=one.entries, effect=figures_of(one.effect))
            for one in row.totals
        ],
        reconciles=row.reconciles,
    )


@strawberry.type(description="Queries of points.")
class PointsQuery:
    @query(
        SIGNED_IN,
        description="A member's points over a span: one's own, anyone's for staff, one's "
        "community's for leaders; null for members whom the caller may not see.",
    )
    async def points_statement(
        self,
        info: Info,
        member_id: Annotated[
            strawberry.ID | None,
            strawberry.argument(description="The member; left out, the signed-in one."),
        ] = None,
        currency: Annotated[
            points.Currency, strawberry.argument(description="Which points.")
        ] = points.Currency.POINTS,
        since: Annotated[
            datetime | None,
            strawberry.argument(
                name="from", description="When the span begins; left out, with the account."
            ),
        ] = None,
        until: Annotated[
            datetime | None,
            strawberry.argument(
                description="The instant before which the span ends; left out, now."
            ),
        ] = None,
    ) -> PointsStatement | None:
        caller = info.context.caller
        if member_id is not None:
            key = key_of(member_id, "Member", "memberId")
        elif isinstance(caller, MemberCaller):
            key = caller.id
        else:
            raise InvalidInput(
                field="memberId", reason="staff name a member", reason_zh="请指定会员"
            )
        if since is not None and until is not None and since > until:
            raise InvalidInput(
                field="until", reason="not before from", reason_zh="不能早于起始时间"
            )
        if not await sees_member_of(info, key):
            return None
        async with info.context.read() as read:
            row = await points.statement(read, points.Span(key, currency, since, until))
        return statement_of(row)
