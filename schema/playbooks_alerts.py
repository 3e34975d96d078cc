"""What playbooks did about an alert or wrote to a member, and what acting on it is worth."""

from datetime import datetime
from uuid import UUID

import strawberry

from app import playbooks
from schema.context import Info
from schema.enums import describe
from schema.fields import field
from schema.nodes import MemberPart, global_id
from schema.scalars import Fen

describe(
    playbooks.Level,
    "A level of an alert that a playbook answers.",
    name="PlaybookLevel",
    L1="A guide or a recommendation.",
    L2="A targeted coupon; alerts of VIPs begin here.",
    L3="Somebody speaks to the member.",
)
describe(
    playbooks.Audience,
    "Whom a measure is for, by stage of the life cycle.",
    name="PlaybookAudience",
    NEWCOMER="Members who are new, with or without a first order.",
    LOW_FREQUENCY="Members who order seldom.",
    POTENTIAL="Members whose orders or looks are rising.",
    LAPSED_HIGH_VALUE="Silent members whose orders were large.",
    VIP="Those with the highest spend.",
    OTHERS="Everyone for whom the level has no measure of their own.",
)
describe(
    playbooks.MeasureKind,
    "What a playbook does.",
    name="PlaybookMeasureKind",
    MESSAGE="Writes to the member.",
    COUPON="Gives a coupon of a batch.",
    POINTS="Gives points.",
    TASK="Asks staff or the leader to speak to the member.",
    NOTHING="Does nothing at this level.",
)
describe(
    playbooks.Arm,
    "On which side of a playbook's experiment a member lies.",
    name="PlaybookSide",
    TREATED="The member gets what the playbook does.",
    CONTROL="Held out of the whole playbook, to compare with.",
    LEVEL_CONTROL="Held out of this level, to compare with.",
)
describe(
    playbooks.ActionOutcome,
    "What became of a playbook's action.",
    name="PlaybookOutcome",
    DONE="It was done.",
    HELD_OUT="Nothing, because the member is held out.",
    LEFT_ALONE="Nothing, because too little is to be gained by it.",
    NOTHING="The playbook does nothing here.",
    OUT_OF_STOCK="The batch has no coupons or no money left.",
    BATCH_NOT_ACTIVE="The batch is paused, ended or revoked.",
    VALIDITY_OVER="The period in which the coupons are valid has passed.",
    AT_LIMIT="The member has as many of these coupons as one may have.",
    MEMBER_NOT_ACTIVE="The member is frozen or has left.",
)
describe(
    playbooks.RankedBy,
    "What an alert's place in the queue goes by.",
    name="AlertRankedBy",
    UPLIFT="By a model of what acting changes, proven on an experiment.",
    EXPECTED_LOSS="By what is at stake, as nothing better is proven.",
)


@strawberry.type(description="What a playbook did about one level of an alert.")
class PlaybookAction:
    level: playbooks.Level = strawberry.field(description="The level.")
    audience: playbooks.Audience = strawberry.field(description="The member's audience then.")
    kind: playbooks.MeasureKind = strawberry.field(description="What was to be done.")
    side: playbooks.Arm = strawberry.field(description="The member's side of the experiment.")
    outcome: playbooks.ActionOutcome = strawberry.field(description="What became of it.")
    at: datetime = strawberry.field(description="When.")


@strawberry.type(description="Where an open alert stands among those worth acting on.")
class AlertPlace:
    ranked_by: playbooks.RankedBy = strawberry.field(description="What it goes by.")
    worth_fen: Fen = strawberry.field(
        description="What acting is expected to be worth; the queue is ordered by it."
    )
    expected_effect: float | None = strawberry.field(
        description="By how much acting raises the chance that the member stays; null where no "
        "model has been proven."
    )
    at: datetime = strawberry.field(description="When it was reckoned.")


def place_of(row: playbooks.AlertRank) -> AlertPlace:
    """The GraphQL value of a place in the queue."""
    return AlertPlace(
        ranked_by=row.ranked_by,
        worth_fen=Fen(row.priority_fen),
        expected_effect=row.effect,
        at=row.at,
    )


@strawberry.type(description="Fields of an alert.")
class AnsweredAlert:
    """Base of the `ChurnAlert` type: the playbooks' share of it."""

    key: strawberry.Private[UUID]
    member_key: strawberry.Private[UUID]

    @field(description="Where it stands among those worth acting on; null once it is over.")
    async def place(self, info: Info) -> AlertPlace | None:
        row = await info.context.one(playbooks.rank_by_member, self.member_key)
        return None if row is None or row.alert_id != self.key else place_of(row)

    @field(
        description="By how much acting raises the chance that the member stays; null where no "
        "model has been proven on an experiment."
    )
    async def expected_effect(self, info: Info) -> float | None:
        row = await info.context.one(playbooks.rank_by_member, self.member_key)
        return None if row is None or row.alert_id != self.key else row.effect

    @field(description="What playbooks did about it, level by level; at most 3.")
    async def answers(self, info: Info) -> list[PlaybookAction]:
        rows = await info.context.one(playbooks.actions_by_alert, self.key)
        return [
            PlaybookAction(
                level=row.level,
                audience=row.audience,
                kind=row.kind,
                side=row.arm,
                outcome=row.outcome,
                at=row.at,
            )
            for row in rows or ()
        ]


@strawberry.type(description="A message to a member.")
class MemberMessage:
    id: strawberry.ID = strawberry.field(description="The message's id.")
    text: str = strawberry.field(description="Its words, in the reader's language.")
    sent_at: datetime = strawberry.field(description="When it was sent.")


@strawberry.type(description="Fields of a member.")
class MessagesOfMember(MemberPart):
    @field(description="The newest 50 messages that were written to them, newest first.")
    async def messages(self, info: Info) -> list[MemberMessage]:
        rows = await info.context.one(playbooks.messages_by_member, self.key)
        is_zh = info.context.locale == "zh-CN"
        return [
            MemberMessage(
                id=global_id("MemberMessage", row.id),
                text=row.text_zh if is_zh else row.text_en,
                sent_at=row.sent_at,
            )
            for row in rows or ()
        ]
