"""The risk of members leaving: scores, and the staff's queue of alerts, live."""

from collections.abc import AsyncIterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry

from app import churn, members
from app.kernel.auth import Role
from app.kernel.errors import Locale
from app.kernel.live import Fact
from app.kernel.table import Json
from schema.context import Ctx, Info
from schema.enums import describe
from schema.fields import field, query, subscription
from schema.guard import staff
from schema.live import live_cursor, resumed
from schema.nodes import MemberPart, Node, NodeLoader, global_id
from schema.paging import After, Connection, First, connect, decode_cursor, encode_cursor, page_size
from schema.streams import FactStream

if TYPE_CHECKING:
    from schema.members import Member

WATCHERS = staff(Role.CAMPAIGN_MANAGER, Role.SUPPORT, Role.ANALYST)
KIND = "ChurnAlert"

describe(
    churn.AlertState,
    "How far an alert has come: the first four are open, the others over.",
    name="ChurnAlertState",
    OPEN="It was just raised.",
    L1="A guide or a recommendation is tried.",
    L2="A targeted coupon is tried.",
    L3="A leader or manager speaks to the member.",
    RECOVERED="The member ordered again, or the risk has fallen.",
    CHURNED="No order came within the horizon.",
    FALSE_ALARM="Staff found that there was nothing to it.",
    MUTED="Staff silenced it, with a reason.",
)


def spoken(reasons: Sequence[Json], locale: Locale) -> list[str]:
    """The sentences of stored reasons in a language."""
    return [str(reason["zh" if locale == "zh-CN" else "en"]) for reason in reasons]


@strawberry.type(description="How likely a member is to place no order within the horizon.")
class ChurnRisk:
    stored: strawberry.Private[list[Json]]
    probability: float = strawberry.field(description="From 0 to 1, calibrated.")
    horizon_days: int = strawberry.field(description="The days ahead that it speaks of.")
    as_of: datetime = strawberry.field(description="The instant before which facts were seen.")

    @field(description="The weightiest facts behind it, in the reader's language.", shared=True)
    def reasons(self, info: Info) -> list[str]:
        return spoken(self.stored, info.context.locale)


@strawberry.type(description="Fields of a member.")
class ChurnOfMember(MemberPart):
    @field(description="The newest score; null for members who were never scored.", allow=WATCHERS)
    async def risk(self, info: Info) -> ChurnRisk | None:
        row = await info.context.one(churn.score_by_member, self.key)
        if row is None:
            return None
        return ChurnRisk(
            stored=row.reasons,
            probability=row.probability,
            horizon_days=row.horizon_days,
            as_of=row.as_of,
        )


@strawberry.type(description="One step in an alert's history.")
class ChurnAlertStep:
    state: churn.AlertState = strawberry.field(description="The state that was entered.")
    at: datetime = strawberry.field(description="When.")
    reason: str | None = strawberry.field(description="Why, where staff did it.")


@strawberry.type(description="A warning that a member is about to leave; one open a member.")
class ChurnAlert(Node):
    key: strawberry.Private[UUID]
    member_key: strawberry.Private[UUID]
    stored: strawberry.Private[list[Json]]
    level: churn.AlertState = strawberry.field(description="How far it has come.")
    probability: float = strawberry.field(
        description="The newest probability of no order within the horizon, while it is open."
    )
    trigger: float = strawberry.field(description="The probability from which it was raised.")
    horizon_days: int = strawberry.field(description="The days ahead that it speaks of.")
    raised_at: datetime = strawberry.field(description="When it was raised.")
    escalates_at: datetime | None = strawberry.field(
        description="When the next level begins unless the member recovers."
    )
    closed_at: datetime | None = strawberry.field(description="When it ended.")

    @field(description="The weightiest facts behind it, in the reader's language.", shared=True)
    def reasons(self, info: Info) -> list[str]:
        return spoken(self.stored, info.context.locale)

    @field(description="The member it is about.", shared=True)
    async def member(self, info: Info) -> Annotated["Member", strawberry.lazy("schema.members")]:
        from schema.members import member_of  # the Member type has a part of this module in it

        row = await info.context.one(members.by_id, self.member_key)
        if row is None:
            raise LookupError(f"member {self.member_key} of an alert")
        return member_of(row)

    @field(description="Its history, oldest first.", shared=True)
    async def steps(self, info: Info) -> list[ChurnAlertStep]:
        rows = await info.context.one(churn.steps_by_alert, self.key)
        return [ChurnAlertStep(state=row.state, at=row.at, reason=row.reason) for row in rows or ()]


def alert_of(row: churn.ChurnAlert) -> ChurnAlert:
    """The GraphQL value of an alert."""
    return ChurnAlert(
        id=global_id(KIND, row.id),
        key=row.id,
        member_key=row.member_id,
        stored=row.reasons,
        level=row.state,
        probability=row.probability,
        trigger=row.trigger,
        horizon_days=row.horizon_days,
        raised_at=row.raised_at,
        escalates_at=row.escalates_at,
        closed_at=row.closed_at,
    )


async def load_alert(info: Info, key: UUID) -> ChurnAlert | None:
    """An alert, for the staff who may see them; None for everyone else."""
    if not WATCHERS.test(info.context.caller):
        return None
    row = await info.context.one(churn.alert_by_id, key)
    return None if row is None else alert_of(row)


NODES: dict[str, NodeLoader] = {KIND: load_alert}


@strawberry.type(description="Queries of alerts.")
class ChurnQuery:
    @query(
        WATCHERS,
        description="Alerts of one state, or all that are open, the likeliest to leave first.",
    )
    async def churn_alerts(
        self,
        info: Info,
        state: Annotated[
            churn.AlertState | None,
            strawberry.argument(description="Only of this state; left out, all open ones."),
        ] = None,
        first: First = 20,
        after: After = None,
    ) -> Connection[ChurnAlert]:
        size = page_size(first)
        position = None if after is None else decode_cursor(after, float, UUID)
        async with info.context.read() as read:
            rows = await churn.alerts_page(
                read,
                state=state,
                after=None if position is None else (position[0], position[1]),
                first=size,
            )
        return connect(
            rows,
            first=size,
            after=after,
            node=alert_of,
            cursor=lambda row: encode_cursor(row.probability, row.id),
        )


@strawberry.type(description="An alert that was just raised.")
class ChurnAlertRaised:
    cursor: str = strawberry.field(
        description="Where this lies in the stream: pass it as `after` when subscribing again."
    )
    alert: ChurnAlert = strawberry.field(description="The alert as it is now.")


async def _raised(ctx: Ctx, fact: Fact) -> ChurnAlertRaised | None:
    # Whoever follows the topic may see its alerts: that was asked when they subscribed.
    if fact.kind != churn.RiskRaised.kind:
        return None
    row = await ctx.one(churn.alert_by_id, UUID(fact.payload["alert_id"]))
    return (
        None if row is None else ChurnAlertRaised(cursor=live_cursor(fact.seq), alert=alert_of(row))
    )


@strawberry.type(description="Subscriptions of alerts.")
class ChurnSubscription:
    @subscription(WATCHERS, description="Each alert at the moment it is raised.")
    async def churn_alert_raised(
        self,
        info: Info,
        after: Annotated[
            str | None,
            strawberry.argument(description="The cursor of the last alert seen, to miss none."),
        ] = None,
    ) -> AsyncIterable[ChurnAlertRaised]:
        return FactStream[ChurnAlertRaised](
            ctx=info.context,
            topic=churn.ALERTS_TOPIC,
            shared=True,
            event=_raised,
            after=await resumed(info.context, after),
        )
