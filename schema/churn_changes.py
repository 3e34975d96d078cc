"""What staff do with alerts over GraphQL: see, take over, hand back, mute, end."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol
from uuid import UUID

import strawberry

from app import churn
from app.kernel.auth import Role, StaffCaller
from app.kernel.db import Tx
from app.kernel.errors import NotAllowed
from app.kernel.table import Json
from app.staff import subject
from schema.acting import Keyed, answered
from schema.churn import KIND, ChurnAlert, alert_of
from schema.context import Info
from schema.fields import Wanted, mutation, wanted
from schema.guard import staff
from schema.nodes import key_of

ACTORS = staff(Role.CAMPAIGN_MANAGER, Role.SUPPORT)
# Who may end what a colleague holds, and hand it back for them.
MANAGERS = (Role.OWNER, Role.CAMPAIGN_MANAGER)


class AlertInput(Keyed, Protocol):
    """The input of a mutation of one alert."""

    alert_id: strawberry.ID


KEY = "A key of the client's, 1 to 128 characters; the same key gets the first answer again."
OVER = [churn.AlertNotFound, churn.AlertClosed]


@strawberry.input(description="An alert that the caller has seen.")
class AcknowledgeAlertInput:
    alert_id: strawberry.ID = strawberry.field(description="The alert.")
    idempotency_key: str = strawberry.field(description=KEY)


@strawberry.input(description="An alert that the caller will work on.")
class TakeOverAlertInput:
    alert_id: strawberry.ID = strawberry.field(description="The alert.")
    idempotency_key: str = strawberry.field(description=KEY)


@strawberry.input(description="An alert that goes back to the queue.")
class HandBackAlertInput:
    alert_id: strawberry.ID = strawberry.field(description="The alert.")
    reason: str | None = strawberry.field(
        default=None, description="Why, up to 200 characters, for whoever takes it next."
    )
    idempotency_key: str = strawberry.field(description=KEY)


@strawberry.input(description="An alert whose member is to be left alone for a time.")
class MuteAlertInput:
    alert_id: strawberry.ID = strawberry.field(description="The alert.")
    until: datetime = strawberry.field(
        description="Until when the member gets no other alert; after now, within 366 days."
    )
    reason: str = strawberry.field(description="Why, up to 200 characters.")
    idempotency_key: str = strawberry.field(description=KEY)


@strawberry.input(description="An alert whose member need not be left alone any more.")
class UnmuteAlertInput:
    alert_id: strawberry.ID = strawberry.field(description="The alert that was muted.")
    reason: str | None = strawberry.field(default=None, description="Why, up to 200 characters.")
    idempotency_key: str = strawberry.field(description=KEY)


@strawberry.input(description="An alert that is over by a person's word.")
class CloseAlertInput:
    alert_id: strawberry.ID = strawberry.field(description="The alert.")
    verdict: churn.Verdict = strawberry.field(description="What it came to.")
    reason: str = strawberry.field(description="Why, up to 200 characters.")
    idempotency_key: str = strawberry.field(description=KEY)


@strawberry.type(description="An alert as it is after the mutation.")
class AlertSuccess:
    key: strawberry.Private[UUID]

    @wanted(description="The alert as it is now.")
    def alert(self, info: Info) -> Wanted[ChurnAlert]:
        return Wanted(churn.alert_by_id, self.key, _found)


def _found(row: churn.ChurnAlert | None) -> ChurnAlert:
    if row is None:
        raise LookupError("an alert that was just changed")
    return alert_of(row)


@strawberry.type(description="The alert counts as seen.")
class AcknowledgeAlertSuccess(AlertSuccess):
    pass


@strawberry.type(description="The alert is the caller's for 72 hours.")
class TakeOverAlertSuccess(AlertSuccess):
    pass


@strawberry.type(description="The alert is nobody's again.")
class HandBackAlertSuccess(AlertSuccess):
    pass


@strawberry.type(description="The alert is over, and its member muted.")
class MuteAlertSuccess(AlertSuccess):
    pass


@strawberry.type(description="The member may be alerted again.")
class UnmuteAlertSuccess(AlertSuccess):
    pass


@strawberry.type(description="The alert is over.")
class CloseAlertSuccess(AlertSuccess):
    pass


def _actor(info: Info) -> StaffCaller:
    caller = info.context.caller
    if not isinstance(caller, StaffCaller):
        raise NotAllowed()
    return caller


async def _do(info: Info, input: AlertInput, act: Callable[[Tx, UUID], Awaitable[object]]) -> UUID:
    """Act on the input's alert once for this caller and key, audited; answers the alert's id."""
    key = key_of(input.alert_id, KIND, "alertId")

    async def work(tx: Tx) -> Json:
        await act(tx, key)
        return {"alert": str(key)}

    await answered(info, input, work, about=subject(churn.ChurnAlert, key))
    return key


@strawberry.type(description="Mutations of alerts.")
class ChurnMutation:
    @mutation(
        ACTORS,
        AcknowledgeAlertSuccess,
        refusals=OVER,
        description="Notes that the caller has seen an alert; the first who has stays.",
    )
    async def acknowledge_alert(
        self, info: Info, input: AcknowledgeAlertInput
    ) -> AcknowledgeAlertSuccess:
        who = _actor(info).id

        async def act(tx: Tx, key: UUID) -> object:
            return await churn.acknowledge(tx, alert_id=key, actor_id=who)

        return AcknowledgeAlertSuccess(key=await _do(info, input, act))

    @mutation(
        ACTORS,
        TakeOverAlertSuccess,
        refusals=[*OVER, churn.AlertTaken],
        description="Gives the caller an alert for 72 hours, in which it does not move up by "
        "itself; again, for 72 hours more from now.",
    )
    async def take_over_alert(self, info: Info, input: TakeOverAlertInput) -> TakeOverAlertSuccess:
        who = _actor(info).id

        async def act(tx: Tx, key: UUID) -> object:
            return await churn.take_over(tx, alert_id=key, actor_id=who)

        return TakeOverAlertSuccess(key=await _do(info, input, act))

    @mutation(
        ACTORS,
        HandBackAlertSuccess,
        refusals=[*OVER, churn.AlertNotTaken],
        description="Gives an alert back to the queue, where it moves up once its level's time is "
        "over; owners and campaign managers may do so for a colleague.",
    )
    async def hand_back_alert(self, info: Info, input: HandBackAlertInput) -> HandBackAlertSuccess:
        who = _actor(info)

        async def act(tx: Tx, key: UUID) -> object:
            return await churn.hand_back(
                tx,
                alert_id=key,
                actor_id=who.id,
                reason=input.reason,
                anybodys=who.role in MANAGERS,
            )

        return HandBackAlertSuccess(key=await _do(info, input, act))

    @mutation(
        ACTORS,
        MuteAlertSuccess,
        refusals=[*OVER, churn.AlertTaken, churn.ReasonRequired],
        description="Ends an alert, and lets its member get no other until then; only owners and "
        "campaign managers may mute what a colleague holds.",
    )
    async def mute_alert(self, info: Info, input: MuteAlertInput) -> MuteAlertSuccess:
        who = _actor(info)

        async def act(tx: Tx, key: UUID) -> object:
            return await churn.mute(
                tx,
                alert_id=key,
                actor_id=who.id,
                until=input.until,
                reason=input.reason,
                anybodys=who.role in MANAGERS,
            )

        return MuteAlertSuccess(key=await _do(info, input, act))

    @mutation(
        ACTORS,
        UnmuteAlertSuccess,
        refusals=[churn.AlertNotFound, churn.AlertNotMuted],
        description="Ends a mute before its time: the next score at the trigger raises an alert.",
    )
    async def unmute_alert(self, info: Info, input: UnmuteAlertInput) -> UnmuteAlertSuccess:
        who = _actor(info).id

        async def act(tx: Tx, key: UUID) -> object:
            return await churn.unmute(tx, alert_id=key, actor_id=who, reason=input.reason)

        return UnmuteAlertSuccess(key=await _do(info, input, act))

    @mutation(
        ACTORS,
        CloseAlertSuccess,
        refusals=[*OVER, churn.AlertTaken, churn.ReasonRequired],
        description="Ends an alert as what it came to; the member is alerted again only after "
        "calming down. Only owners and campaign managers may end what a colleague holds.",
    )
    async def close_alert(self, info: Info, input: CloseAlertInput) -> CloseAlertSuccess:
        who = _actor(info)

        async def act(tx: Tx, key: UUID) -> object:
            await churn.close_by_staff(
                tx,
                alert_id=key,
                actor_id=who.id,
                state=churn.AlertState(input.verdict.value),
                reason=input.reason,
                anybodys=who.role in MANAGERS,
            )

        return CloseAlertSuccess(key=await _do(info, input, act))
