"""Writing a review, and moderating it."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app import members, orders
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.kernel.text import checked_text
from app.reviews.errors import AlreadyReviewed, NotABuyer, ReviewNotFound
from app.reviews.events import ReviewPublished, ReviewSubmitted
from app.reviews.rules import LONGEST_REASON, LONGEST_SKU, LONGEST_TEXT, is_rating
from app.reviews.tables import Review, ReviewState


async def submit(tx: Tx, *, member_id: UUID, sku: str, rating: int, text: str) -> Review:
    """Write a review of something the member bought; others see it once it is published.

    Of two at once, one is kept. Raises NotABuyer without an order of the product that counts,
    AlreadyReviewed, members.MemberNotFound, members.MemberNotActive, InvalidInput.
    """
    product = checked_text(sku, field="sku", longest=LONGEST_SKU)
    said = checked_text(text, field="text", longest=LONGEST_TEXT, shortest=0)
    if not is_rating(rating):
        raise InvalidInput(field="rating", reason="1 to 5", reason_zh="1至5")
    await members.require_active(tx, member_id)
    bought = await orders.has_bought(tx, [(member_id, product)])
    if not bought[member_id, product]:
        raise NotABuyer()
    review = await tx.session.scalar(
        insert(Review)
        .values(
            member_id=member_id,
            id=tx.new_id(),
            sku=product,
            rating=rating,
            text=said,
            state=ReviewState.PENDING,
            submitted_at=tx.now,
        )
        .on_conflict_do_nothing(index_elements=[Review.member_id, Review.sku])
        .returning(Review)
    )
    if review is None:
        raise AlreadyReviewed()
    tx.emit(ReviewSubmitted(review_id=review.id, member_id=member_id, sku=product))
    return review


async def moderate(
    tx: Tx, *, review_id: UUID, staff_id: UUID, publish: bool, reason: str | None = None
) -> Review:
    """Publish a review or hide it; hiding needs a reason, and either can be turned round later.

    Its first publication is announced, and only that one, so that it is rewarded once. Raises
    ReviewNotFound, InvalidInput.
    """
    review = await tx.session.scalar(select(Review).where(Review.id == review_id).with_for_update())
    if review is None:
        raise ReviewNotFound()
    if not publish:
        review.hidden_reason = checked_text(reason or "", field="reason", longest=LONGEST_REASON)
    review.state = ReviewState.PUBLISHED if publish else ReviewState.HIDDEN
    review.moderated_at, review.moderated_by = tx.now, staff_id
    if publish and review.published_at is None:
        review.published_at = tx.now
        tx.emit(
            ReviewPublished(
                review_id=review.id,
                member_id=review.member_id,
                sku=review.sku,
                rating=review.rating,
            )
        )
    await tx.session.flush()
    return review
