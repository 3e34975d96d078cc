"""The staff's queue of alerts as a list: filters, orders and their cursors."""

from typing import Annotated, Final
from uuid import UUID

import strawberry

from app import churn
from app.kernel.auth import StaffCaller
from app.kernel.errors import InvalidInput
from schema.churn import WATCHERS, ChurnAlert, alert_of
from schema.context import Info
from schema.fields import query
from schema.nodes import key_of
from schema.paging import After, Connection, First, Keyset, by_two, ordinal


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
        page = BY_ORDER[order].asked(first, after)
        owner = None if owner_id is None else key_of(owner_id, "StaffAccount", "ownerId")
        caller = info.context.caller
        if mine and isinstance(caller, StaffCaller):
            if owner not in (None, caller.id):
                raise InvalidInput(
                    field="mine",
                    reason="ownerId names somebody else",
                    reason_zh="ownerId指定了他人",
                )
            owner = caller.id
        asked = churn.AlertsAsked(state, owner, unacknowledged=unacknowledged, free=free)
        async with info.context.read() as read:
            rows = await churn.alerts_page(
                read, asked=asked, order=order, after=page.position, first=page.size
            )
        return page.page(rows, node=alert_of, key=lambda row: (_worth(row, order), row.id))


def _worth(row: churn.ChurnAlert, order: churn.AlertOrder) -> float:
    return row.probability if order is churn.AlertOrder.PROBABILITY else row.expected_loss_fen


def _share(value: object) -> float:
    """A probability of a keyset; raises ValueError for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("no probability")
    return float(value)


# Cursors of the oldest order do not name it, so that those from before there were two go on.
BY_ORDER: Final[dict[churn.AlertOrder, Keyset[tuple[float, UUID]]]] = {
    churn.AlertOrder.PROBABILITY: by_two(_share, UUID),
    churn.AlertOrder.EXPECTED_LOSS: by_two(ordinal, UUID, order=churn.AlertOrder.EXPECTED_LOSS),
}
