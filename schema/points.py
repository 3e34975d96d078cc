"""Points over GraphQL: balances, the ledger's lines, checking in, and staff's corrections."""

from datetime import date, datetime
from typing import Final
from uuid import UUID

import strawberry

from app import points
from app.kernel.auth import Role, StaffCaller
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput, NotAllowed
from app.kernel.table import Json
from app.members import MemberNotActive, MemberNotFound
from app.staff import Subject
from schema.acting import acting_member, answered
from schema.context import Info
from schema.enums import describe
from schema.fields import Known, Wanted, mutation, wanted
from schema.guard import MEMBER, staff
from schema.nodes import MemberPart, key_of
from schema.paging import After, Connection, First, by_one, ordinal
from schema.scalars import Points

LONGEST_KEY = 128
BY_ENTRY: Final = by_one(ordinal)

describe(
    points.Currency,
    "What is counted; one is never turned into the other implicitly.",
    name="PointsCurrency",
    POINTS="Points for loyalty, spent on goods and coupons.",
    CARBON="Points for eco actions, spent on listed rewards and pledges.",
)
describe(
    points.EntryKind,
    "What a movement of points was.",
    name="PointsEntryKind",
    EARN="Points came in.",
    RELEASE="Pending points became usable.",
    SPEND="Points were spent.",
    SPEND_REFUND="Spent points came back with a refund.",
    EXPIRE="Points ran out of time.",
    CLAWBACK="Points of a refunded order were taken back.",
    DEBT="A clawback found too few points and left a debt.",
    SETTLE="New points paid off a debt.",
    ADJUST="Staff changed the balance, with a reason.",
    MERGE="Points came over from a merged account.",
)
describe(
    points.Source,
    "What points were earned by.",
    name="PointsSource",
    PURCHASE="An order.",
    COMEBACK="The first order after a silence.",
    CHECK_IN="A daily check-in.",
    SHARING="An invited neighbour's first order.",
    REVIEW="A product review.",
    CAMPAIGN="A campaign.",
    ECO="A verified eco action.",
    ADJUST="A correction by staff.",
    REFUND="A refund of points whose lot had expired.",
)


@strawberry.type(description="One movement of a member's points, written once and never changed.")
class PointsEntry:
    kind: points.EntryKind = strawberry.field(description="What the movement was.")
    amount: Points = strawberry.field(
        description="Points, negative where they were taken; RELEASE makes pending ones usable."
    )
    source: points.Source | None = strawberry.field(
        description="What the points were earned by, where the movement is of one such lot."
    )
    reason: str | None = strawberry.field(description="Why, where a person decided it.")
    at: datetime = strawberry.field(description="When it was booked.")


def entry_of(row: points.EntryLine) -> PointsEntry:
    """The GraphQL value of a movement."""
    return PointsEntry(
        kind=row.kind,
        amount=Points(row.amount),
        source=row.source,
        reason=row.reason,
        at=row.at,
    )


@strawberry.type(description="Points of one account that end together.")
class ExpiringPoints:
    expires_at: datetime = strawberry.field(
        description="When they end: from this instant on they are gone."
    )
    points: Points = strawberry.field(description="How many.")


def expiring_of(rows: list[points.Ending] | None) -> list[ExpiringPoints]:
    """The GraphQL value of what ends when."""
    return [
        ExpiringPoints(expires_at=row.expires_at, points=Points(row.points)) for row in rows or ()
    ]


@strawberry.type(description="What a member has in one currency, at this instant.")
class PointsAccount:
    key: strawberry.Private[UUID]
    currency: points.Currency = strawberry.field(description="What is counted.")
    balance: Points = strawberry.field(description="Points that can be redeemed now.")
    pending: Points = strawberry.field(
        description="Points of orders whose refund window is still open."
    )
    debt: Points = strawberry.field(
        description="Points owed after a refund; later earnings settle them first, and until then "
        "none can be redeemed."
    )
    expiring_soon: Points = strawberry.field(
        description="How many of the balance end within 30 days."
    )
    next_expiry_at: datetime | None = strawberry.field(
        description="When the next points end, if any do."
    )

    @wanted(description="What of the balance ends when, the soonest first, at most 20 ends.")
    def expiring(self, info: Info) -> Wanted[list[ExpiringPoints]]:
        return Wanted(points.endings_by_account, (self.key, self.currency), expiring_of)

    @wanted(description="The account's movements, newest first.")
    def entries(
        self,
        info: Info,
        first: First = 20,
        after: After = None,
    ) -> Wanted[Connection[PointsEntry]]:
        asked = BY_ENTRY.asked(first, after)
        key = points.EntriesKey(self.key, self.currency, asked.size + 1, asked.position)
        return Wanted(
            points.entries_by_member,
            key,
            lambda rows: asked.page(rows, node=entry_of, key=lambda row: row.seq),
        )


def account_of(member_id: UUID, row: points.Balance) -> PointsAccount:
    """The GraphQL value of a balance."""
    return PointsAccount(
        key=member_id,
        currency=row.currency,
        balance=Points(row.balance),
        pending=Points(row.pending),
        debt=Points(row.debt),
        expiring_soon=Points(row.expiring_soon),
        next_expiry_at=row.next_expiry_at,
    )


def account_wanted(member_id: UUID, currency: points.Currency) -> Wanted[PointsAccount]:
    """A member's account as it is now; both currencies of many members are one statement."""

    def made(found: points.Balances | None) -> PointsAccount:
        if found is None:
            raise LookupError(f"balances of member {member_id}")
        carbon = currency is points.Currency.CARBON
        return account_of(member_id, found.carbon if carbon else found.points)

    ahead = Known(key=member_id, currency=currency)
    return Wanted(points.balances_by_member, member_id, made, ahead=ahead)


@strawberry.type(description="A member's points.")
class PointsOfMember(MemberPart):
    @wanted(description="The member's points for shopping.")
    def points(self, info: Info) -> Wanted[PointsAccount]:
        return account_wanted(self.key, points.Currency.POINTS)

    @wanted(description="The member's CARBON points, earned by eco actions.")
    def carbon(self, info: Info) -> Wanted[PointsAccount]:
        return account_wanted(self.key, points.Currency.CARBON)


@strawberry.input(description="Today's check-in of the signed-in member.")
class CheckInInput:
    idempotency_key: str | None = strawberry.field(
        default=None, description="A key of the client's; the same key gets the first answer again."
    )


@strawberry.type(description="The member has checked in.")
class CheckInSuccess:
    key: strawberry.Private[UUID]
    day: date = strawberry.field(description="The business day in the member's neighbourhood.")
    streak: int = strawberry.field(description="How many days in a row, today included.")
    earned: Points = strawberry.field(description="What it brought, the streak's bonus included.")

    @wanted(description="The member's points after it.")
    def points(self, info: Info) -> Wanted[PointsAccount]:
        return account_wanted(self.key, points.Currency.POINTS)


@strawberry.input(description="A correction of a member's points by staff.")
class AdjustPointsInput:
    member_id: strawberry.ID = strawberry.field(description="The member.")
    amount: Points = strawberry.field(
        description="Points to give, or to take if negative; not 0, at most a million."
    )
    currency: points.Currency = strawberry.field(
        default=points.Currency.POINTS, description="Which points."
    )
    reason: str = strawberry.field(
        description="Why, up to 200 characters; the member sees it and the audit log keeps it."
    )
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key never adjusts twice."
    )


@strawberry.type(description="The points are adjusted.")
class AdjustPointsSuccess:
    key: strawberry.Private[UUID]
    currency: strawberry.Private[points.Currency]
    amount: Points = strawberry.field(description="What was given, or taken if negative.")

    @wanted(description="The member's account after it.")
    def account(self, info: Info) -> Wanted[PointsAccount]:
        return account_wanted(self.key, self.currency)


LARGEST_ADJUSTMENT = 1_000_000


@strawberry.type(description="Mutations of points.")
class PointsMutation:
    @mutation(
        MEMBER,
        CheckInSuccess,
        refusals=[points.AlreadyCheckedIn, MemberNotActive, MemberNotFound],
        description="Checks the member in, once a business day of their neighbourhood.",
    )
    async def check_in(self, info: Info, input: CheckInInput) -> CheckInSuccess:
        member_id = acting_member(info)

        async def work(tx: Tx) -> Json:
            row = await points.check_in(tx, member_id=member_id)
            return {"day": row.day.isoformat(), "streak": row.streak, "earned": row.points}

        done = await answered(info, input, work)
        return CheckInSuccess(
            key=member_id,
            day=date.fromisoformat(done["day"]),
            streak=done["streak"],
            earned=Points(done["earned"]),
        )

    @mutation(
        staff(Role.SUPPORT),
        AdjustPointsSuccess,
        refusals=[MemberNotFound, points.NotEnoughPoints, points.PointsInDebt],
        description="Gives a member points or takes some, with a reason.",
    )
    async def adjust_points(self, info: Info, input: AdjustPointsInput) -> AdjustPointsSuccess:
        caller = info.context.caller
        if not isinstance(caller, StaffCaller):
            raise NotAllowed()
        member_id = key_of(input.member_id, "Member", "memberId")
        if abs(input.amount) > LARGEST_ADJUSTMENT:
            raise InvalidInput(
                field="amount",
                reason=f"at most {LARGEST_ADJUSTMENT}",
                reason_zh=f"最多{LARGEST_ADJUSTMENT}",
            )
        if not 0 < len(input.idempotency_key) <= LONGEST_KEY:
            raise InvalidInput(
                field="idempotencyKey",
                reason=f"1 to {LONGEST_KEY} characters",
                reason_zh=f"1至{LONGEST_KEY}个字符",
            )
        account = {"member_id": member_id, "currency": input.currency}

        async def work(tx: Tx) -> Json:
            amount = await points.adjust(
                tx,
                member_id=member_id,
                amount=input.amount,
                actor_id=caller.id,
                reason=input.reason,
                subject=f"{caller.id}:{input.idempotency_key}",
                currency=input.currency,
            )
            return {"amount": amount}

        done = await answered(info, input, work, about=Subject(points.Account, account))
        return AdjustPointsSuccess(
            key=member_id, currency=input.currency, amount=Points(done["amount"])
        )
