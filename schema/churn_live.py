"""Alerts as they are raised, and the queue as it changes, live."""

from collections.abc import AsyncIterable
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import strawberry

from app import churn
from app.kernel.live import Fact
from schema.churn import WATCHERS, ChurnAlert, alert_of
from schema.context import Ctx, Info
from schema.enums import describe
from schema.fields import subscription
from schema.live import live_cursor, resumed
from schema.streams import FactStream

Since = Annotated[
    str | None,
    strawberry.argument(description="The cursor of the last alert seen, to miss none."),
]


class Change(StrEnum):
    """What happened to an alert of the queue."""

    RAISED = churn.RiskRaised.kind
    ESCALATED = churn.AlertEscalated.kind
    ACKNOWLEDGED = churn.AlertAcknowledged.kind
    TAKEN_OVER = churn.AlertTakenOver.kind
    HANDED_BACK = churn.AlertHandedBack.kind
    CLOSED = churn.AlertClosedBy.kind


CHANGES = {change.value: change for change in Change}

describe(
    Change,
    "What happened to an alert of the queue.",
    name="ChurnAlertChange",
    RAISED="It was raised.",
    ESCALATED="It moved up a level.",
    ACKNOWLEDGED="Somebody of staff saw it.",
    TAKEN_OVER="Somebody of staff works on it.",
    HANDED_BACK="It is nobody's again.",
    CLOSED="It is over, and leaves the queue.",
)


@strawberry.type(description="An alert that was just raised.")
class ChurnAlertRaised:
    cursor: str = strawberry.field(
        description="Where this lies in the stream: pass it as `after` when subscribing again."
    )
    alert: ChurnAlert = strawberry.field(description="The alert as it is now.")


@strawberry.type(description="A change of the queue of alerts.")
class ChurnAlertChanged:
    cursor: str = strawberry.field(
        description="Where this lies in the stream: pass it as `after` when subscribing again."
    )
    change: Change = strawberry.field(description="What happened.")
    alert: ChurnAlert = strawberry.field(
        description="The alert as it is now; more may have happened to it since."
    )


async def _raised(ctx: Ctx, fact: Fact) -> ChurnAlertRaised | None:
    # Whoever follows the topic may see its alerts: that was asked when they subscribed.
    if fact.kind != churn.RiskRaised.kind:
        return None
    row = await ctx.one(churn.alert_by_id, UUID(fact.payload["alert_id"]))
    return (
        None if row is None else ChurnAlertRaised(cursor=live_cursor(fact.seq), alert=alert_of(row))
    )


async def _changed(ctx: Ctx, fact: Fact) -> ChurnAlertChanged | None:
    change = CHANGES.get(fact.kind)
    if change is None:
        return None
    row = await ctx.one(churn.alert_by_id, UUID(fact.payload["alert_id"]))
    if row is None:
        return None
    return ChurnAlertChanged(cursor=live_cursor(fact.seq), change=change, alert=alert_of(row))


@strawberry.type(description="Subscriptions of alerts.")
class ChurnSubscription:
    @subscription(WATCHERS, description="Each alert at the moment it is raised.")
    async def churn_alert_raised(
        self, info: Info, after: Since = None
    ) -> AsyncIterable[ChurnAlertRaised]:
        return FactStream[ChurnAlertRaised](
            ctx=info.context,
            topic=churn.ALERTS_TOPIC,
            shared=True,
            event=_raised,
            after=await resumed(info.context, after),
        )

    @subscription(
        WATCHERS,
        description="Every change of the queue of alerts, in order: what is raised, moves up, is "
        "seen, taken over, handed back or over.",
    )
    async def churn_alert_changed(
        self, info: Info, after: Since = None
    ) -> AsyncIterable[ChurnAlertChanged]:
        return FactStream[ChurnAlertChanged](
            ctx=info.context,
            topic=churn.ALERTS_TOPIC,
            shared=True,
            event=_changed,
            after=await resumed(info.context, after),
        )
