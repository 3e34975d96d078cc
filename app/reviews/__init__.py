"""Reviews of products by those who bought them: the face of the slice."""

from app.reviews.commands import moderate, submit
from app.reviews.errors import AlreadyReviewed, NotABuyer, ReviewNotFound
from app.reviews.events import ReviewPublished, ReviewSubmitted
from app.reviews.merging import merge
from app.reviews.queries import by_id, pending
from app.reviews.tables import Review, ReviewState

__all__ = [
    "AlreadyReviewed",
    "NotABuyer",
    "Review",
    "ReviewNotFound",
    "ReviewPublished",
    "ReviewState",
    "ReviewSubmitted",
    "by_id",
    "merge",
    "moderate",
    "pending",
    "submit",
]
