"""Reviews over GraphQL."""

from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

from app import reviews
from app.kernel.auth import MemberCaller
from app.kernel.db import Database
from schema.nodes import key_of
from tests.conftest import Api
from tests.make import members as make_members
from tests.make import orders as make_orders

DOCUMENT = (
    Path(__file__).parents[2] / "examples" / "graphql" / "submit-review.graphql"
).read_text()
NODE = "query ($id: ID!) { node(id: $id) { id ... on Review { status rating } } }"


async def test_a_review_is_seen_by_others_once_published(
    api: Api, database: Database, as_member: Callable[[UUID], MemberCaller]
) -> None:
    async with database.begin() as tx:
        author, other = await make_members.member(tx), await make_members.member(tx)
        await make_orders.order(tx, member_id=author.id, sku="PEACH")
    given = {"input": {"sku": "PEACH", "rating": 5, "text": "甜", "idempotencyKey": "k"}}
    for _ in range(2):
        answer = await api(DOCUMENT, given, caller=as_member(author.id))
        review = answer["data"]["submitReview"]["review"]
        assert (review["status"], review["text"]) == ("PENDING", "甜")
    refused = await api(DOCUMENT, given, caller=as_member(other.id))
    assert refused["data"]["submitReview"]["code"] == "NOT_A_BUYER"
    anonymous = await api(DOCUMENT, given)
    assert anonymous["data"]["submitReview"]["code"] == "NOT_SIGNED_IN"

    async def seen_by(member: UUID) -> bool:
        found = await api(NODE, {"id": review["id"]}, caller=as_member(member))
        return found["data"]["node"] is not None

    assert (await seen_by(author.id), await seen_by(other.id)) == (True, False)
    async with database.begin() as tx:
        key = key_of(review["id"], "Review")
        await reviews.moderate(tx, review_id=key, staff_id=uuid4(), publish=True)
    assert await seen_by(other.id)


async def test_what_cannot_be_stored_is_a_refusal(
    api: Api, database: Database, as_member: Callable[[UUID], MemberCaller]
) -> None:
    async with database.begin() as tx:
        author = await make_members.member(tx)
        await make_orders.order(tx, member_id=author.id, sku="PEACH")
    given = {"input": {"sku": "PEACH", "rating": 9, "text": "甜"}}
    answer = await api(DOCUMENT, given, caller=as_member(author.id))
    assert answer["data"]["submitReview"]["code"] == "INVALID_INPUT"
    # What PostgreSQL cannot store does not come as far as that.
    given = {"input": {"sku": "PEACH", "rating": 5, "text": "\0"}}
    answer = await api(DOCUMENT, given, caller=as_member(author.id))
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
