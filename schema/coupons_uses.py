"""Uses of coupons on orders, present and past, over GraphQL."""

from datetime import datetime

import strawberry

from app import coupons
from schema.enums import describe
from schema.scalars import Fen

describe(
    coupons.ReturnOutcome,
    "What became of a coupon whose order was refunded in full.",
    name="CouponReturnOutcome",
    CAME_BACK="It can be used again.",
    POLICY="It is of a kind that does not come back.",
    TOO_LATE="Fewer than 3 days of its validity were left.",
    BATCH_REVOKED="Its batch was revoked.",
    NO_BUDGET="The budget of its batch was promised to others meanwhile.",
)


@strawberry.type(description="A coupon used on an order.")
class CouponRedemption:
    order_ref: str = strawberry.field(description="The shop's number of the order.")
    discount_fen: Fen = strawberry.field(description="What the coupon took off.")
    at: datetime = strawberry.field(description="When it was used.")
    explanation: strawberry.scalars.JSON = strawberry.field(
        description="The reckoning line by line; its parts add up to the discount."
    )
    lost_fen: Fen = strawberry.field(
        description="What of the discount was lost when goods went back."
    )
    settlement: strawberry.scalars.JSON | None = strawberry.field(
        description="How that was reckoned, with the amount to give back; null before any return."
    )


def redemption_of(row: coupons.Redemption) -> CouponRedemption:
    """The GraphQL value of a redemption."""
    return CouponRedemption(
        order_ref=row.order_ref,
        discount_fen=Fen(row.discount_fen),
        at=row.at,
        explanation=strawberry.scalars.JSON(row.explanation),
        lost_fen=Fen(row.lost_fen),
        settlement=None if row.settlement is None else strawberry.scalars.JSON(row.settlement),
    )


@strawberry.type(description="The past use of a coupon on an order that was refunded in full.")
class CouponReturn:
    order_ref: str = strawberry.field(description="The shop's number of the order.")
    discount_fen: Fen = strawberry.field(description="What the coupon had taken off.")
    outcome: coupons.ReturnOutcome = strawberry.field(description="Whether it came back.")
    at: datetime = strawberry.field(description="When that was decided.")


def return_of(row: coupons.Return) -> CouponReturn:
    """The GraphQL value of a return."""
    return CouponReturn(
        order_ref=row.order_ref,
        discount_fen=Fen(row.discount_fen),
        outcome=row.outcome,
        at=row.at,
    )
