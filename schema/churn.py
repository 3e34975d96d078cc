"""The risk of members leaving: scores, signals, and the staff's queue of alerts."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry

from app import churn, members
from app import staff as accounts
from app.kernel.auth import Role
from app.kernel.table import Json
from schema.churn_signals import ChurnSignal, all_words, signal_of, spoken
from schema.context import Info
from schema.enums import describe
from schema.fields import Wanted, field, wanted
from schema.guard import staff
from schema.nodes import MemberPart, Node, NodeLoader, global_id
from schema.playbooks_alerts import AnsweredAlert
from schema.scalars import Fen

if TYPE_CHECKING:
    from schema.members import Member
    from schema.sessions import StaffAccount

Colleague = Annotated["StaffAccount", strawberry.lazy("schema.sessions")] | None

WATCHERS = staff(Role.CAMPAIGN_MANAGER, Role.SUPPORT, Role.ANALYST)
KIND = "ChurnAlert"


def colleague(key: UUID | None) -> "Wanted[StaffAccount | None] | None":
    """The staff account of an id; None for nobody, and for accounts that are no more."""
    return None if key is None else Wanted(accounts.by_id, key, _account_of)


def _account_of(row: accounts.StaffAccount | None) -> "StaffAccount | None":
    from schema.sessions import StaffAccount  # its module has members in it, and they alerts

    if row is None:
        return None
    return StaffAccount(
        id=global_id("StaffAccount", row.id), login=row.login, name=row.name, role=row.role
    )


describe(
    churn.NextOrderOutlook,
    "What is known of when a member's next order comes.",
    TOLD="`nextOrderDays` says it.",
    LATE="More likely than not none comes in the next 180 days. Models follow no wait for longer, "
    "so that no number is told.",
    UNKNOWN="The model cannot tell, or the alert has ended.",
)


@strawberry.type(description="How likely a member is to place no order within the horizon.")
class ChurnRisk:
    stored: strawberry.Private[list[Json]]
    probability: float = strawberry.field(description="From 0 to 1, calibrated.")
    horizon_days: int = strawberry.field(description="The days ahead that it speaks of.")
    as_of: datetime = strawberry.field(description="The instant before which facts were seen.")
    next_order_days: float | None = strawberry.field(
        description="The median of the days from then until the next order: as likely as not it "
        "comes sooner. From half a day to 180 days; null where `nextOrderOutlook` is not TOLD."
    )
    next_order_outlook: churn.NextOrderOutlook = strawberry.field(
        description="Whether the days until the next order can be told, and why not."
    )

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
        outlook, days = churn.next_order(row.next_order_days)
        return ChurnRisk(
            stored=row.reasons,
            probability=row.probability,
            horizon_days=row.horizon_days,
            as_of=row.as_of,
            next_order_days=days,
            next_order_outlook=outlook,
        )

    @field(
        description="The signals that are open: what the member does much less of than before, "
        "one of a kind at most.",
        allow=WATCHERS,
    )
    async def signals(self, info: Info) -> list[ChurnSignal]:
        return signals_of(await info.context.one(churn.open_signals_by_member, self.key))


@strawberry.type(description="One step in an alert's history.")
class ChurnAlertStep:
    state: churn.AlertState = strawberry.field(description="The state that was entered.")
    at: datetime = strawberry.field(description="When.")
    reason: str | None = strawberry.field(description="Why, where staff did it.")
    actor_key: strawberry.Private[UUID | None] = None

    @wanted(description="Who of staff did it; null for what came by itself.", shared=True)
    def actor(self, info: Info) -> Wanted[Colleague] | None:
        return colleague(self.actor_key)


@strawberry.type(description="An entry of an alert's history: a state entered, or something done.")
class ChurnAlertEntry:
    actor_key: strawberry.Private[UUID | None]
    at: datetime = strawberry.field(description="When.")
    state: churn.AlertState | None = strawberry.field(
        description="The state that was entered; null for something that was done."
    )
    action: churn.AlertActionKind | None = strawberry.field(
        description="What was done; null for a state that was entered."
    )
    until: datetime | None = strawberry.field(description="Of a take-over: the end of the hold.")
    reason: str | None = strawberry.field(description="Why, where somebody said.")

    @wanted(description="Who of staff did it; null for what came by itself.", shared=True)
    def actor(self, info: Info) -> Wanted[Colleague] | None:
        return colleague(self.actor_key)


@strawberry.type(description="A warning that a member is about to leave; one open a member.")
class ChurnAlert(AnsweredAlert, Node):
    key: strawberry.Private[UUID]
    member_key: strawberry.Private[UUID]
    row: strawberry.Private[churn.ChurnAlert]
    level: churn.AlertState = strawberry.field(description="How far it has come.")
    probability: float = strawberry.field(
        description="The newest probability of no order within the horizon, while it is open."
    )
    trigger: float = strawberry.field(description="The probability from which it was raised.")
    horizon_days: int = strawberry.field(description="The days ahead that it speaks of.")
    raised_at: datetime = strawberry.field(description="When it was raised.")
    escalates_at: datetime | None = strawberry.field(
        description="When the next level begins unless the member recovers, or somebody takes it "
        "over or hands it back."
    )
    closed_at: datetime | None = strawberry.field(description="When it ended.")
    cause: churn.AlertCause = strawberry.field(description="What it was raised by.")
    expected_loss_fen: Fen = strawberry.field(
        description="The probability times what the member would spend within the horizon, going "
        "by their last 90 days: an average order of theirs at least."
    )
    acknowledged_at: datetime | None = strawberry.field(
        description="When somebody of staff first saw it."
    )
    taken_at: datetime | None = strawberry.field(description="When its owner took it over.")
    held_until: datetime | None = strawberry.field(
        description="Until when it is its owner's; it does not move up by itself before."
    )
    muted_until: datetime | None = strawberry.field(
        description="Until when its member gets no other alert, where it was muted for a time."
    )

    @wanted(
        description="The weightiest facts behind it and the signals of its time, in the reader's "
        "language.",
        shared=True,
    )
    def reasons(self, info: Info) -> Wanted[list[str]]:
        row, locale = self.row, info.context.locale
        return Wanted(
            churn.signals_by_alert,
            self.key,
            lambda signals: all_words(row.reasons, signals or (), row.cause, locale),
        )

    @wanted(
        description="The median of the days until the member's next order, by their newest score "
        "and from its instant: as likely as not it comes sooner. From half a day to 180 days; null "
        "where `nextOrderOutlook` is not TOLD.",
        shared=True,
    )
    def next_order_days(self, info: Info) -> Wanted[float | None] | None:
        if self.closed_at is not None:
            return None
        return Wanted(churn.score_by_member, self.member_key, lambda row: _next_order(row)[1])

    @wanted(
        description="Whether the days until the member's next order can be told, and why not.",
        shared=True,
    )
    def next_order_outlook(
        self, info: Info
    ) -> Wanted[churn.NextOrderOutlook] | churn.NextOrderOutlook:
        if self.closed_at is not None:
            return churn.NextOrderOutlook.UNKNOWN
        return Wanted(churn.score_by_member, self.member_key, lambda row: _next_order(row)[0])

    @wanted(description="The member's signals that were open at some time of it.", shared=True)
    def signals(self, info: Info) -> Wanted[list[ChurnSignal]]:
        return Wanted(churn.signals_by_alert, self.key, signals_of)

    @wanted(description="Who of staff first saw it.", shared=True)
    def acknowledged_by(self, info: Info) -> Wanted[Colleague] | None:
        return colleague(self.row.acknowledged_by)

    @wanted(
        description="Who of staff works on it, or did when it ended; null for nobody.", shared=True
    )
    def owner(self, info: Info) -> Wanted[Colleague] | None:
        return colleague(self.row.taken_by)

    @field(description="The member it is about.", shared=True)
    async def member(self, info: Info) -> Annotated["Member", strawberry.lazy("schema.members")]:
        from schema.members import member_of  # the Member type has a part of this module in it

        row = await info.context.one(members.by_id, self.member_key)
        if row is None:
            raise LookupError(f"member {self.member_key} of an alert")
        return member_of(row)

    @wanted(description="The states that it went through, oldest first.", shared=True)
    def steps(self, info: Info) -> Wanted[list[ChurnAlertStep]]:
        return Wanted(churn.steps_by_alert, self.key, steps_of)

    @wanted(
        description="Its history, oldest first: states, and the newest hundred of what was done.",
        shared=True,
    )
    def history(self, info: Info) -> Wanted[list[ChurnAlertEntry]]:
        key = self.key
        return Wanted(
            churn.steps_by_alert,
            key,
            lambda steps: Wanted(
                churn.actions_by_alert,
                key,
                lambda actions: history_of(steps or (), actions or ()),
            ),
        )


def _next_order(row: churn.ChurnScore | None) -> tuple[churn.NextOrderOutlook, float | None]:
    return churn.next_order(None if row is None else row.next_order_days)


def signals_of(rows: Sequence[churn.ChurnSignal] | None) -> list[ChurnSignal]:
    """The GraphQL values of signals."""
    return [signal_of(row) for row in rows or ()]


def steps_of(rows: Sequence[churn.ChurnAlertStep] | None) -> list[ChurnAlertStep]:
    """The GraphQL values of the states that an alert went through."""
    return [
        ChurnAlertStep(state=row.state, at=row.at, reason=row.reason, actor_key=row.actor_id)
        for row in rows or ()
    ]


def history_of(
    steps: Sequence[churn.ChurnAlertStep], actions: Sequence[churn.ChurnAlertAction]
) -> list[ChurnAlertEntry]:
    """The GraphQL values of what an alert went through; of one instant, what was done last."""
    entries = [
        ChurnAlertEntry(
            actor_key=row.actor_id,
            at=row.at,
            state=row.state,
            action=None,
            until=None,
            reason=row.reason,
        )
        for row in steps
    ]
    entries += [
        ChurnAlertEntry(
            actor_key=row.actor_id,
            at=row.at,
            state=None,
            action=row.kind,
            until=row.until,
            reason=row.reason,
        )
        for row in actions
    ]
    return sorted(entries, key=lambda entry: entry.at)


def alert_of(row: churn.ChurnAlert) -> ChurnAlert:
    """The GraphQL value of an alert."""
    due, held = row.escalates_at, row.held_until
    return ChurnAlert(
        id=global_id(KIND, row.id),
        key=row.id,
        member_key=row.member_id,
        row=row,
        level=row.state,
        probability=row.probability,
        trigger=row.trigger,
        horizon_days=row.horizon_days,
        raised_at=row.raised_at,
        escalates_at=due if due is None or held is None else max(due, held),
        closed_at=row.closed_at,
        cause=row.cause,
        expected_loss_fen=Fen(row.expected_loss_fen),
        acknowledged_at=row.acknowledged_at,
        taken_at=row.taken_at,
        held_until=row.held_until,
        muted_until=row.muted_until,
    )


async def load_alert(info: Info, key: UUID) -> ChurnAlert | None:
    """An alert, for the staff who may see them; None for everyone else."""
    if not WATCHERS.test(info.context.caller):
        return None
    row = await info.context.one(churn.alert_by_id, key)
    return None if row is None else alert_of(row)


NODES: dict[str, NodeLoader] = {KIND: load_alert}
