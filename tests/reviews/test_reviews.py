"""Reviews by buyers, one a member and product, moderated before others see them."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from app import reviews
from app.kernel.db import Database
from app.kernel.errors import InvalidInput
from app.kernel.outbox import OutboxRow
from app.reviews import ReviewState
from tests.conftest import TestClock
from tests.make import members as make_members
from tests.make import orders as make_orders
from tests.make import reviews as make


async def buyer(database: Database, *, refunded_fen: int = 0) -> UUID:
    async with database.begin() as tx:
        member = await make_members.member(tx)
        await make_orders.order(
            tx, member_id=member.id, sku="SKU-1", total_fen=900, refunded_fen=refunded_fen
        )
        return member.id


async def submit(database: Database, member: UUID, **given: object) -> reviews.Review:
    wanted: dict[str, object] = {"sku": "SKU-1", "rating": 4, "text": "很新鲜", **given}
    async with database.begin() as tx:
        return await reviews.submit(tx, member_id=member, **wanted)  # pyright: ignore[reportArgumentType]


async def moderate(
    database: Database, review: UUID, *, publish: bool, reason: str | None = None
) -> reviews.Review:
    async with database.begin() as tx:
        return await reviews.moderate(
            tx, review_id=review, staff_id=uuid4(), publish=publish, reason=reason
        )


async def test_a_buyer_reviews_once(database: Database) -> None:
    member = await buyer(database)
    review = await submit(database, member, text="  很新鲜\n")
    assert (review.state, review.text, review.rating) == (ReviewState.PENDING, "很新鲜", 4)
    with pytest.raises(reviews.AlreadyReviewed):
        await submit(database, member)


async def test_of_twenty_at_once_one_is_kept(database: Database) -> None:
    member = await buyer(database)
    results = await asyncio.gather(
        *(submit(database, member, rating=1 + turn % 5) for turn in range(20)),
        return_exceptions=True,
    )
    refused = [item for item in results if isinstance(item, BaseException)]
    assert [type(item) for item in refused] == [reviews.AlreadyReviewed] * 19
    async with database.read() as read:
        assert await read.session.scalar(select(func.count()).select_from(reviews.Review)) == 1


async def test_only_what_was_bought_and_kept_may_be_reviewed(database: Database) -> None:
    member, returned = await buyer(database), await buyer(database, refunded_fen=900)
    with pytest.raises(reviews.NotABuyer):
        await submit(database, member, sku="SKU-2")
    with pytest.raises(reviews.NotABuyer):
        await submit(database, returned)


@pytest.mark.parametrize(
    "given",
    [
        {"rating": 0},
        {"rating": 6},
        {"text": "a\0b"},
        {"text": "x" * 2001},
        {"text": "\ud800"},
        {"sku": ""},
    ],
)
async def test_what_cannot_be_stored_is_refused(
    database: Database, given: dict[str, object]
) -> None:
    member = await buyer(database)
    with pytest.raises(InvalidInput):
        await submit(database, member, **given)


async def test_only_the_first_publication_is_announced(database: Database) -> None:
    async with database.begin() as tx:
        member = await make_members.member(tx)
        review = await make.review(tx, member_id=member.id)
    with pytest.raises(InvalidInput):
        await moderate(database, review.id, publish=False)
    await moderate(database, review.id, publish=True)
    hidden = await moderate(database, review.id, publish=False, reason="含广告")
    assert (hidden.state, hidden.hidden_reason) == (ReviewState.HIDDEN, "含广告")
    assert (await moderate(database, review.id, publish=True)).state is ReviewState.PUBLISHED
    async with database.read() as read:
        published = await read.session.scalars(
            select(OutboxRow.topics).where(OutboxRow.kind == reviews.ReviewPublished.kind)
        )
        assert list(published) == [[f"member:{member.id}"]]
    with pytest.raises(reviews.ReviewNotFound):
        await moderate(database, uuid4(), publish=True)


async def test_the_queue_of_moderation_is_oldest_first(
    database: Database, clock: TestClock
) -> None:
    ids: list[UUID] = []
    for rating in (5, 1, 3):
        review = await submit(database, await buyer(database), rating=rating)
        ids.append(review.id)
        clock.advance(seconds=1)
    await moderate(database, ids[0], publish=True)
    async with database.read() as read:
        assert [row.id for row in await reviews.pending(read, first=10)] == ids[1:]
        assert set(await reviews.by_id(read, ids)) == set(ids)
