"""Eco actions and badges over GraphQL."""

from datetime import date, datetime
from uuid import UUID

import strawberry

from app import eco
from app.kernel.auth import Role
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.kernel.table import Json
from app.members import MemberNotActive, MemberNotFound
from app.staff import subject
from schema.acting import acting_member, acting_staff, answered
from schema.context import Info
from schema.enums import describe
from schema.fields import Wanted, mutation, wanted
from schema.guard import MEMBER, staff
from schema.nodes import MemberPart, Node, NodeLoader, global_id, key_of
from schema.scalars import Points
from schema.sight import sees_member_of

describe(
    eco.EcoType,
    "What was done.",
    name="EcoActionType",
    PACKAGING_RETURN="Packaging was brought back.",
    OWN_BAG="Own bags were used.",
    SELF_PICKUP="The order was picked up on foot.",
    NO_CUTLERY="No cutlery was taken.",
    BATTERY_RECYCLING="Batteries were handed in.",
)
describe(
    eco.EcoState,
    "How far an eco action has come.",
    name="EcoActionStatus",
    SUBMITTED="Waits for verification.",
    VERIFIED="Found true, not credited yet.",
    CREDITED="Its CARBON points are credited.",
    REJECTED="Was not accepted.",
    REVERSED="Was credited and taken back.",
)
describe(
    eco.EvidenceKind,
    "What shows that an action took place: an order, a leader's scan, or a photo.",
    name="EcoEvidenceKind",
    ORDER="An order of the member's.",
    LEADER_SCAN="The leader scanned a code on the spot.",
    PHOTO="A photo.",
)


@strawberry.type(description="Something that a member did for the environment.")
class EcoAction(Node):
    type: eco.EcoType = strawberry.field(description="What was done.")
    status: eco.EcoState = strawberry.field(description="How far it has come.")
    grams_co2e: int = strawberry.field(
        description="Grams of CO2e it counts for, by a factor that the platform has set."
    )
    factor_version: int = strawberry.field(description="The version of that factor.")
    carbon_points: Points = strawberry.field(description="CARBON points it brings once verified.")
    evidence_kind: eco.EvidenceKind = strawberry.field(description="What shows it.")
    evidence: str = strawberry.field(description="The scan's code, picture's address or note.")
    day: date = strawberry.field(description="The business day it was handed in on.")
    submitted_at: datetime = strawberry.field(description="When it was handed in.")
    decided_at: datetime | None = strawberry.field(description="When it was verified or rejected.")
    reason: str | None = strawberry.field(description="Why it was rejected or taken back.")


def action_of(row: eco.EcoAction) -> EcoAction:
    """The GraphQL value of an action."""
    return EcoAction(
        id=global_id("EcoAction", row.id),
        type=row.type,
        status=row.state,
        grams_co2e=row.grams_co2e,
        factor_version=row.factor_version,
        carbon_points=Points(row.carbon_points),
        evidence_kind=row.evidence_kind,
        evidence=row.evidence,
        day=row.day,
        submitted_at=row.submitted_at,
        decided_at=row.verified_at,
        reason=row.reason,
    )


async def load_action(info: Info, key: UUID) -> EcoAction | None:
    """An action, for its member, their leader and staff."""
    row = await _visible(info, key)
    return None if row is None else action_of(row)


async def _visible(info: Info, key: UUID) -> eco.EcoAction | None:
    row = await info.context.one(eco.actions_by_id, key)
    if row is None or not await sees_member_of(info, row.member_id):
        return None
    return row


NODES: dict[str, NodeLoader] = {"EcoAction": load_action}


@strawberry.type(description="A badge that a member holds.")
class MemberBadge:
    code: str = strawberry.field(description="A stable code for programs, such as GREEN_START.")
    name: str = strawberry.field(description="Its name, in the caller's language.")
    description: str = strawberry.field(
        description="What it is awarded for, in the caller's language."
    )
    figure: int = strawberry.field(
        description="The figure it was awarded for: actions, grams of CO2e or days in a row."
    )
    issued_at: datetime = strawberry.field(description="When it was awarded.")
    expires_at: datetime | None = strawberry.field(description="When it ends; null if it does not.")


def badge_of(row: eco.HeldBadge, *, chinese: bool) -> MemberBadge:
    """The GraphQL value of a badge that a member holds."""
    badge = row.badge
    return MemberBadge(
        code=badge.code,
        name=badge.name_zh if chinese else badge.name_en,
        description=badge.description_zh if chinese else badge.description_en,
        figure=row.figure,
        issued_at=row.issued_at,
        expires_at=row.expires_at,
    )


@strawberry.type(description="A member's badges.")
class EcoOfMember(MemberPart):
    @wanted(description="The badges that the member holds now, newest first.")
    def badges(self, info: Info) -> Wanted[list[MemberBadge]]:
        chinese = info.context.locale == "zh-CN"
        return Wanted(
            eco.badges_by_member,
            self.key,
            lambda rows: [badge_of(row, chinese=chinese) for row in rows or ()],
        )


@strawberry.input(description="An eco action to hand in.")
class SubmitEcoActionInput:
    type: eco.EcoType = strawberry.field(description="What was done.")
    evidence_kind: eco.EvidenceKind = strawberry.field(description="What shows it.")
    evidence: str = strawberry.field(
        default="",
        description="The scan's code, picture's address or a note, up to 500 characters; may be "
        "empty with an order.",
    )
    order_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="For evidence ORDER: a settled order of one's own. Each type counts once an "
        "order, and without one once a business day.",
    )
    idempotency_key: str | None = strawberry.field(
        default=None, description="A key of the client's; the same key never hands in twice."
    )


@strawberry.type(description="The action awaits verification.")
class SubmitEcoActionSuccess:
    action: EcoAction = strawberry.field(description="The action.")


@strawberry.input(description="Staff's or a leader's decision on an eco action.")
class VerifyEcoActionInput:
    action_id: strawberry.ID = strawberry.field(description="The action.")
    accept: bool = strawberry.field(
        default=True, description="True to credit it, false to reject it."
    )
    reason: str | None = strawberry.field(
        default=None, description="Why, up to 200 characters; required to reject."
    )
    idempotency_key: str | None = strawberry.field(
        default=None, description="A key of the client's; the same key never decides twice."
    )


@strawberry.type(description="The action is decided.")
class VerifyEcoActionSuccess:
    action: EcoAction = strawberry.field(description="The action as it is now.")


async def _decide(tx: Tx, input: VerifyEcoActionInput, action_id: UUID, by: UUID) -> Json:
    if input.accept:
        await eco.verify(tx, action_id=action_id, actor_id=by)
    elif input.reason is None:
        raise InvalidInput(
            field="reason", reason="is required to reject", reason_zh="拒绝时必须填写原因"
        )
    else:
        await eco.reject(tx, action_id=action_id, actor_id=by, reason=input.reason)
    return {"action": str(action_id)}


async def _action(info: Info, answer: Json) -> EcoAction:
    row = await info.context.one(eco.actions_by_id, UUID(answer["action"]))
    if row is None:
        raise LookupError(f"eco action {answer['action']}")
    return action_of(row)


@strawberry.type(description="Mutations of eco actions.")
class EcoMutation:
    @mutation(
        MEMBER,
        SubmitEcoActionSuccess,
        refusals=[eco.EcoActionExists, eco.OrderNotYours, MemberNotActive, MemberNotFound],
        description="Hands in an eco action with its evidence, to be verified.",
    )
    async def submit_eco_action(
        self, info: Info, input: SubmitEcoActionInput
    ) -> SubmitEcoActionSuccess:
        member_id = acting_member(info)
        order_id = None if input.order_id is None else key_of(input.order_id, "Order", "orderId")

        async def work(tx: Tx) -> Json:
            row = await eco.submit(
                tx,
                member_id=member_id,
                type=input.type,
                evidence_kind=input.evidence_kind,
                evidence=input.evidence,
                order_id=order_id,
            )
            return {"action": str(row.id)}

        done = await answered(info, input, work)
        return SubmitEcoActionSuccess(action=await _action(info, done))

    @mutation(
        staff(Role.SUPPORT, Role.LEADER),
        VerifyEcoActionSuccess,
        refusals=[eco.EcoActionNotFound, eco.NotAwaitingVerification],
        description="Accepts an eco action, which credits its CARBON points, or rejects it; a "
        "leader those of their community.",
    )
    async def verify_eco_action(
        self, info: Info, input: VerifyEcoActionInput
    ) -> VerifyEcoActionSuccess:
        staff_id = acting_staff(info)
        action_id = key_of(input.action_id, "EcoAction", "actionId")
        if await _visible(info, action_id) is None:
            raise eco.EcoActionNotFound()
        done = await answered(
            info,
            input,
            lambda tx: _decide(tx, input, action_id, staff_id),
            about=subject(eco.EcoAction, action_id),
        )
        return VerifyEcoActionSuccess(action=await _action(info, done))
