"""Drops over GraphQL: made, opened, claimed, and watched live without a gap or a double."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from app import drops
from app.kernel.auth import MemberCaller, StaffCaller
from app.kernel.live import Fact
from schema.drops import Picture
from schema.nodes import global_id
from tests.conftest import Api, TestClock
from tests.make import drops as make
from tests.make.examples import operation
from tests.make.members import member

TEMPLATE = operation("create-drop.graphql", "CreateCouponTemplate")
CREATE = operation("create-drop.graphql", "CreateDrop")
OPEN = operation("create-drop.graphql", "OpenDrop")
LIST = operation("watch-drop.graphql", "Drops")
ONE = operation("watch-drop.graphql", "Drop")
WATCH = operation("watch-drop.graphql", "WatchDrop")
CLAIM = operation("claim-drop.graphql", "ClaimDrop")

Relay = Callable[[], Awaitable[int]]


async def new_member(api: Api) -> MemberCaller:
    async with api.resources.database.begin() as tx:
        return MemberCaller((await member(tx)).id, uuid4())


async def open_drop(api: Api, stock: int = 10) -> UUID:
    async with api.resources.database.begin() as tx:
        return (await make.open_drop(tx, stock=stock)).id


async def claim(api: Api, drop_id: UUID, caller: MemberCaller, key: str = "tap") -> dict[str, Any]:
    given = {"dropId": global_id("Drop", drop_id), "idempotencyKey": key}
    return (await api(CLAIM, given, caller=caller))["data"]["claimDrop"]


async def watch(
    api: Api, drop_id: UUID, caller: MemberCaller, after: str | None = None
) -> AsyncIterator[Any]:
    given = {"dropId": global_id("Drop", drop_id), "after": after}
    return await api.subscribe(WATCH, given, caller=caller)


async def shown(stream: AsyncIterator[Any]) -> dict[str, Any]:
    result = await anext(stream)
    assert not result.errors
    return result.data["dropUpdated"]


async def until(stream: AsyncIterator[Any], remaining: int) -> list[dict[str, Any]]:
    """The updates up to the one that shows so many left."""
    seen = [await shown(stream)]
    while seen[-1]["drop"]["remaining"] != remaining:
        seen.append(await shown(stream))
    return seen


async def test_staff_make_and_open_a_drop_that_a_member_claims(
    api: Api, owner: StaffCaller, clock: TestClock
) -> None:
    template = {"name": "五元券", "kind": "FIXED", "value": 500, "validDays": 7}
    made = await api(TEMPLATE, {"input": template | {"batch": {"quantity": 30}}}, caller=owner)
    given = {
        "batchId": made["data"]["createCouponTemplate"]["batch"]["id"],
        "title": "周三秒杀",
        "opensAt": (clock.now + timedelta(hours=1)).isoformat(),
        "closesAt": (clock.now + timedelta(hours=2)).isoformat(),
        "stock": 20,
        "idempotencyKey": "one",
    }
    drop = (await api(CREATE, {"input": given}, caller=owner))["data"]["createDrop"]["drop"]
    assert drop["batch"] == {"setAside": 20, "reservedFen": 10_000}
    again = (await api(CREATE, {"input": given}, caller=owner))["data"]["createDrop"]["drop"]
    assert again == drop, "the same key makes no second drop"
    other = await api(CREATE, {"input": given | {"idempotencyKey": "two"}}, caller=owner)
    assert other["data"]["createDrop"]["code"] == "BATCH_TOO_SMALL"

    caller = await new_member(api)
    early = await api(CLAIM, {"dropId": drop["id"], "idempotencyKey": "early"}, caller=caller)
    assert early["data"]["claimDrop"]["code"] == "NOT_OPEN"
    opened = await api(OPEN, {"dropId": drop["id"]}, caller=owner)
    assert opened["data"]["openDrop"]["drop"]["state"] == "OPEN"
    twice = await api(OPEN, {"dropId": drop["id"]}, caller=owner)
    assert twice["data"]["openDrop"]["code"] == "DROP_NOT_SCHEDULED"
    late = await api(CLAIM, {"dropId": drop["id"], "idempotencyKey": "early"}, caller=caller)
    assert late["data"]["claimDrop"]["drop"] == {"state": "OPEN", "remaining": 19}
    coupon = late["data"]["claimDrop"]["claim"]["coupon"]
    assert coupon["template"] == {"name": "五元券"}
    assert coupon["expiresAt"] == "2026-03-24T16:00:00Z", "seven days, today being the first"

    listed = (await api(LIST, caller=caller))["data"]
    assert listed["drops"]["nodes"][0]["myClaim"] is not None
    assert (await api(ONE, {"dropId": drop["id"]}, caller=caller))["data"]["drop"][
        "remaining"
    ] == 19


async def test_one_key_is_one_claim_and_another_key_no_second(api: Api) -> None:
    drop_id = await open_drop(api, stock=2)
    first, second = await new_member(api), await new_member(api)
    answer = await claim(api, drop_id, first)
    assert (await claim(api, drop_id, first))["claim"] == answer["claim"]
    assert (await claim(api, drop_id, first, "again"))["code"] == "ALREADY_CLAIMED"
    assert (await claim(api, drop_id, second))["drop"] == {"state": "SOLD_OUT", "remaining": 0}
    third = await claim(api, drop_id, await new_member(api))
    assert third == {"code": "SOLD_OUT", "message": "Everything has been claimed."}


async def test_members_make_no_drops_and_see_no_batches(api: Api) -> None:
    caller = await new_member(api)
    drop_id = global_id("Drop", await open_drop(api))
    refused = await api(OPEN, {"dropId": drop_id}, caller=caller)
    assert refused["data"]["openDrop"]["code"] == "NOT_ALLOWED"
    peek = "query($id: ID!) { drop(id: $id) { batch { quantity } } }"
    answer = await api(peek, {"id": drop_id}, caller=caller)
    assert answer["errors"][0]["extensions"]["code"] == "NOT_ALLOWED"
    nobody = await api(ONE, {"dropId": drop_id})
    assert nobody["errors"][0]["extensions"]["code"] == "NOT_SIGNED_IN"


async def test_a_watcher_sees_now_then_the_newest_and_the_end(api: Api, relay: Relay) -> None:
    drop_id = await open_drop(api, stock=30)
    callers = [await new_member(api) for _ in range(30)]
    stream = await watch(api, drop_id, callers[0])
    first = await shown(stream)
    assert first["drop"] | {"id": None, "opensAt": None} == {
        "id": None,
        "opensAt": None,
        "state": "OPEN",
        "remaining": 30,
    }
    for caller in callers:
        await claim(api, drop_id, caller)
    await relay()
    seen = await until(stream, 0)
    left = [update["drop"]["remaining"] for update in seen]
    assert left == sorted(set(left), reverse=True)
    assert len(seen) < 30, "a burst is merged"
    assert seen[-1]["drop"]["state"] == "SOLD_OUT"
    await stream.aclose()


async def test_a_reconnecting_watcher_misses_nothing_and_sees_nothing_twice(
    api: Api, relay: Relay
) -> None:
    drop_id = await open_drop(api)
    one, two, three = [await new_member(api) for _ in range(3)]
    stream = await watch(api, drop_id, one)
    await shown(stream)
    await claim(api, drop_id, one)
    await relay()
    (seen,) = await until(stream, 9)
    await stream.aclose()

    await claim(api, drop_id, two)
    await relay()
    again = await watch(api, drop_id, one, after=seen["cursor"])
    assert (await shown(again))["drop"]["remaining"] == 8
    await claim(api, drop_id, three)
    await relay()
    assert (await shown(again))["drop"]["remaining"] == 7
    await again.aclose()


async def test_what_the_first_picture_shows_is_not_told_again(api: Api, relay: Relay) -> None:
    drop_id = await open_drop(api)
    one, two = await new_member(api), await new_member(api)
    await claim(api, drop_id, one)
    stream = await watch(api, drop_id, one)
    assert (await shown(stream))["drop"]["remaining"] == 9
    await relay()  # the claim's fact comes only now
    await claim(api, drop_id, two)
    await relay()
    assert (await shown(stream))["drop"]["remaining"] == 8
    await stream.aclose()


@pytest.mark.parametrize("cursor", ["nonsense", "WzFd", "Wy0xLDFd"])
async def test_a_cursor_that_is_none_is_an_error(api: Api, cursor: str) -> None:
    drop_id = await open_drop(api)
    stream = await watch(api, drop_id, await new_member(api), after=cursor)
    result = await anext(stream)
    assert result.errors[0].extensions["code"] == "INVALID_INPUT"


async def test_watching_what_is_no_drop_is_an_error(api: Api) -> None:
    stream = await watch(api, uuid4(), await new_member(api))
    result = await anext(stream)
    assert result.errors[0].extensions["code"] == "DROP_NOT_FOUND"


def test_of_two_pictures_the_higher_version_wins_at_the_later_cursor() -> None:
    def picture(seq: int, version: int, remaining: int) -> Picture:
        payload = {
            "version": version,
            "state": "OPEN",
            "remaining": remaining,
            "opens_at": "2026-03-18T04:00:00+00:00",
            "closes_at": "2026-03-18T05:00:00+00:00",
        }
        return Picture.of_fact(Fact(seq, "drop:x", drops.DropClaimed.kind, payload))

    overtaken = picture(10, 5, 40).merged(picture(11, 4, 41))
    assert (overtaken.seq, overtaken.version, overtaken.remaining) == (11, 5, 40)
    followed = picture(10, 5, 40).merged(picture(11, 6, 39))
    assert (followed.seq, followed.version, followed.remaining) == (11, 6, 39)
