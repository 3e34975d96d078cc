"""Reviews of products by those who bought them."""

from datetime import datetime
from uuid import UUID

import strawberry

from app import reviews
from app.kernel.db import Tx
from app.kernel.table import Json
from app.members import MemberNotActive, MemberNotFound
from schema.acting import acting_member, answered
from schema.context import Info
from schema.enums import describe
from schema.fields import field, mutation
from schema.guard import MEMBER, SIGNED_IN
from schema.nodes import Node, NodeLoader, global_id
from schema.sight import sees_member_of

describe(
    reviews.ReviewState,
    "How far a review's moderation has come.",
    name="ReviewStatus",
    PENDING="Waits for moderation; its author sees it.",
    PUBLISHED="Everybody sees it.",
    HIDDEN="Only its author sees it.",
)


@strawberry.type(description="What a buyer says of a product.")
class Review(Node):
    sku: str = strawberry.field(description="The product.")
    rating: int = strawberry.field(description="Stars, from 1 to 5.")
    text: str = strawberry.field(description="What the buyer says.")
    status: reviews.ReviewState = strawberry.field(description="Whether others see it.")
    submitted_at: datetime = strawberry.field(description="When it was written.")


def review_of(row: reviews.Review) -> Review:
    """The GraphQL value of a review."""
    return Review(
        id=global_id("Review", row.id),
        sku=row.sku,
        rating=row.rating,
        text=row.text,
        status=row.state,
        submitted_at=row.submitted_at,
    )


async def load_review(info: Info, key: UUID) -> Review | None:
    """A published review for everyone signed in, any other for its author and who sees them."""
    caller = info.context.caller
    if not SIGNED_IN.test(caller):
        return None
    row = await info.context.one(reviews.by_id, key)
    if row is None:
        return None
    is_public = row.state is reviews.ReviewState.PUBLISHED
    if not is_public and not await sees_member_of(info, row.member_id):
        return None
    return review_of(row)


NODES: dict[str, NodeLoader] = {"Review": load_review}


@strawberry.input(description="A review of something the member bought.")
class SubmitReviewInput:
    sku: str = strawberry.field(description="The product.")
    rating: int = strawberry.field(description="Stars, from 1 to 5.")
    text: str = strawberry.field(default="", description="Up to 2,000 characters; may be empty.")
    idempotency_key: str | None = strawberry.field(
        default=None, description="A key of the client's; the same key never writes two."
    )


@strawberry.type(description="The review is stored and waits for moderation.")
class SubmitReviewSuccess:
    key: strawberry.Private[UUID]

    @field(description="The review.")
    async def review(self, info: Info) -> Review:
        row = await info.context.one(reviews.by_id, self.key)
        if row is None:
            raise LookupError(f"review {self.key}")
        return review_of(row)


@strawberry.type(description="Mutations of reviews.")
class ReviewsMutation:
    @mutation(
        MEMBER,
        SubmitReviewSuccess,
        refusals=[
            reviews.NotABuyer,
            reviews.AlreadyReviewed,
            MemberNotActive,
            MemberNotFound,
        ],
        description="Reviews a product that the member bought, once; others see it after "
        "moderation.",
    )
    async def submit_review(self, info: Info, input: SubmitReviewInput) -> SubmitReviewSuccess:
        member_id = acting_member(info)

        async def work(tx: Tx) -> Json:
            review = await reviews.submit(
                tx, member_id=member_id, sku=input.sku, rating=input.rating, text=input.text
            )
            return {"review": str(review.id)}

        answer = await answered(info, input, work)
        return SubmitReviewSuccess(key=UUID(answer["review"]))
