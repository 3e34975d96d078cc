"""The staff's queue of alerts as a list: filters, orders and their cursors."""

from typing import Annotated
from uuid import UUID

import strawberry

from app import churn
from app.kernel.auth import StaffCaller
from app.kernel.errors import InvalidInput
from schema.churn import WATCHERS, ChurnAlert, alert_of
from schema.context import Info
from schema.fields import query
from schema.nodes import key_of
from schema.paging import (
    After,
    Connection,
    First,
    connect,
    decode_cursor,
    encode_cursor,
    ordinal,
    page_size,
)


@strawberry.type(description="Queries of alerts.")
class ChurnQuery:
    @query(
        WATCHERS,
        description="Alerts of one state, or all that are open, the likeliest to leave first "
        "unless ordered otherwise.",
    )
    async def churn_alerts(
        self,
        info: Info,
        state: Annotated[
            churn.AlertState | None,
            strawberry.argument(description="Only of this state or level; left out, all open."),
        ] = None,
        first: First = 20,
        after: After = None,
        order: Annotated[
            churn.AlertOrder,
            strawberry.argument(description="What comes first; a cursor is of one order."),
        ] = churn.AlertOrder.PROBABILITY,
        owner_id: Annotated[
            strawberry.ID | None,
            strawberry.argument(description="Only those that this staff account holds."),
        ] = None,
        mine: Annotated[
            bool, strawberry.argument(description="Only those that the caller holds.")
        ] = False,
        free: Annotated[
            bool, strawberry.argument(description="Only those that nobody holds.")
        ] = False,
        unacknowledged: Annotated[
            bool, strawberry.argument(description="Only those that nobody has seen yet.")
        ] = False,
    ) -> Connection[ChurnAlert]:
        size = page_size(first)
        owner = None if owner_id is None else key_of(owner_id, "StaffAccount", "ownerId")
        caller = info.context.caller
        if mine and isinstance(caller, StaffCaller):
            if owner not in (None, caller.id):
                raise InvalidInput(field="mine", reason="ownerId names somebody else")
            owner = caller.id
        asked = churn.AlertsAsked(state, owner, unacknowledged=unacknowledged, free=free)
        async with info.context.read() as read:
            rows = await churn.alerts_page(
                read, asked=asked, order=order, after=_place(after, order), first=size
            )
        return connect(
            rows,
            first=size,
            after=after,
            node=alert_of,
            cursor=lambda row: _cursor(row, order),
        )


def _cursor(row: churn.ChurnAlert, order: churn.AlertOrder) -> str:
    # That of the oldest order names none, so that cursors from before there were two go on.
    if order is churn.AlertOrder.PROBABILITY:
        return encode_cursor(row.probability, row.id)
    return encode_cursor(order.value, row.expected_loss_fen, row.id)


def _place(after: str | None, order: churn.AlertOrder) -> tuple[float, UUID] | None:
    if after is None:
        return None
    if order is churn.AlertOrder.PROBABILITY:
        probability, key = decode_cursor(after, _share, UUID)
        return probability, key

    def same_order(value: object) -> None:
        if value != order.value:
            raise ValueError("of another order")

    _, number, key = decode_cursor(after, same_order, ordinal, UUID)
    return number, key


def _share(value: object) -> float:
    """A probability of a keyset; raises ValueError for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("no probability")
    return float(value)
