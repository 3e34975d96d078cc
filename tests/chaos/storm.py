"""What goes on while parts are killed, and the reckoning afterwards.

Claims and redemptions come in bursts; staff adjust points and a partner reports orders without a
pause; some members and watchers of the drop follow their streams. Everybody asks again by the same
key until there is an answer. In the end the rows in PostgreSQL must be what the answers said.
"""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from schema.nodes import key_of
from tests.chaos.clients import Crowd, Follower
from tests.chaos.rig import House, until
from tests.chaos.scene import ADJUST, CHECK_IN, CLAIM, RECORD, REDEEM, UPDATES, WATCH, Scene

FOLLOWED = 8
WATCHERS = 3
ADJUSTERS = 2
BATCH = 3
PAUSE_SECONDS = 0.05
REPORT_SECONDS = 0.25


@dataclass(slots=True)
class Answered:
    """What clients were told."""

    coupons: dict[UUID, str] = field(default_factory=dict[UUID, str])
    sold_out: int = 0
    redeemed: set[str] = field(default_factory=set[str])
    checked_in: set[UUID] = field(default_factory=set[UUID])
    points: Counter[UUID] = field(default_factory=Counter[UUID])
    adjusted: Counter[UUID] = field(default_factory=Counter[UUID])
    orders: set[str] = field(default_factory=set[str])


@dataclass(slots=True)
class Storm:
    """One run of everything at once."""

    house: House
    scene: Scene
    crowd: Crowd
    told: Answered = field(default_factory=Answered)
    followers: list[Follower] = field(default_factory=list[Follower])
    watchers: list[Follower] = field(default_factory=list[Follower])
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def burst(self, people: Iterable[int]) -> None:
        """These members tap at once, use what they got, and check in."""
        await asyncio.gather(*(self._tap(index) for index in people))

    async def _tap(self, index: int) -> None:
        member, token = self.scene.members[index], self.scene.tokens[index]
        given = {"drop": self.scene.drop_id, "key": "tap"}
        claimed = (await self.crowd.ask(CLAIM, given, token))["claimDrop"]
        if claimed["__typename"] == "ClaimDropSuccess":
            coupon = claimed["claim"]["coupon"]["id"]
            self.told.coupons[member] = coupon
            used = {"coupon": coupon, "ref": f"o-{index}", "key": "use"}
            redeemed = (await self.crowd.ask(REDEEM, used, token))["redeemCoupon"]
            assert redeemed["__typename"] == "RedeemCouponSuccess", redeemed
            self.told.redeemed.add(coupon)
        else:
            assert claimed["__typename"] == "SoldOut", claimed
            self.told.sold_out += 1
        checked = (await self.crowd.ask(CHECK_IN, {"key": "day"}, token))["checkIn"]
        assert checked["__typename"] == "CheckInSuccess", checked
        self.told.checked_in.add(member)
        self.told.points[member] += checked["earned"]

    async def adjust(self, index: int, url: str | None = None) -> None:
        """Staff give a member a few points."""
        amount, member = random.randint(1, 9), self.scene.members[index]
        given = {
            "member": self.scene.member(index),
            "amount": amount,
            "key": f"gift-{next(self._numbers)}",
        }
        answer = (await self.crowd.ask(ADJUST, given, self.scene.boss, url))["adjustPoints"]
        assert answer["__typename"] == "AdjustPointsSuccess", answer
        self.told.points[member] += amount
        self.told.adjusted[member] += 1

    async def report(self) -> None:
        """The partner reports some orders, of members whom nobody follows."""
        people = range(FOLLOWED, len(self.scene.members))
        numbers = [f"n-{next(self._numbers)}" for _ in range(BATCH)]
        orders = [self.scene.order(random.choice(people), number) for number in numbers]
        answer = (await self.crowd.ask(RECORD, {"orders": orders}, self.scene.partner))[
            "recordOrders"
        ]
        statuses = {verdict["status"] for verdict in answer["verdicts"]}
        assert statuses <= {"STORED", "DUPLICATE", "UPDATED"}, answer
        self.told.orders |= set(numbers)

    async def served(self, url: str) -> None:
        """Return when a change through this API has come to the member who follows."""
        before = len(self.followers[0].updates)
        await self.adjust(0, url)
        await self.followers[0].heard(before)

    async def settled(self) -> None:
        """Wait until every fact has gone out and every job was done."""
        await until(self._is_quiet, "facts and jobs are through")

    async def _is_quiet(self) -> bool:
        waiting = await self.house.value("SELECT count(*) FROM outbox")
        rewarded = await self.house.value(
            """SELECT count(DISTINCT order_id) FROM points_lot
            WHERE source = 'PURCHASE' AND member_id = ANY($1)""",
            self.scene.members,
        )
        heard = await self._unheard()
        return not waiting and rewarded >= len(self.told.orders) and not heard

    async def _unheard(self) -> int:
        """How many facts have not come to the members who follow."""
        unheard = 0
        for index, follower in enumerate(self.followers):
            topic = f"member:{self.scene.members[index]}"
            newest = await self.house.value(
                "SELECT coalesce(max(seq), 0) FROM live_event WHERE topic = $1", topic
            )
            unheard += newest > (follower.places or [0])[-1]
        return unheard + sum(_is_selling(watcher) for watcher in self.watchers)


def _is_selling(watcher: Follower) -> bool:
    return not watcher.updates or watcher.updates[-1]["drop"]["state"] != "SOLD_OUT"


@asynccontextmanager
async def raging(house: House, scene: Scene) -> AsyncGenerator[Storm]:
    """Followers, staff and partner at work for the time of the block; then all is quiet."""
    async with Crowd(house.urls) as crowd:
        storm = Storm(house, scene, crowd)
        await _follow(storm)
        calm = asyncio.Event()
        work = [
            *(asyncio.create_task(_adjusting(storm, calm)) for _ in range(ADJUSTERS)),
            asyncio.create_task(_reporting(storm, calm)),
        ]
        try:
            yield storm
            calm.set()
            await asyncio.gather(*work)
            await storm.settled()
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            for follower in (*storm.followers, *storm.watchers):
                await follower.end()


async def _follow(storm: Storm) -> None:
    """Everybody who follows has a cursor before anything is killed."""
    urls, scene = storm.house.urls, storm.scene
    storm.followers = [
        Follower(urls, UPDATES, {}, scene.tokens[index]) for index in range(FOLLOWED)
    ]
    storm.watchers = [
        Follower(urls, WATCH, {"drop": scene.drop_id}, scene.tokens[index])
        for index in range(WATCHERS)
    ]
    for index, follower in enumerate(storm.followers):
        # A stream without a cursor begins when the server says so: give until it is heard.
        while not follower.updates:
            await storm.adjust(index)
            await asyncio.sleep(0.3)
    for watcher in storm.watchers:
        await watcher.heard(0)


async def _adjusting(storm: Storm, calm: asyncio.Event) -> None:
    while not calm.is_set():
        await storm.adjust(random.randrange(FOLLOWED))
        await asyncio.sleep(PAUSE_SECONDS)


async def _reporting(storm: Storm, calm: asyncio.Event) -> None:
    while not calm.is_set():
        await storm.report()
        await asyncio.sleep(REPORT_SECONDS)


def coupon_key(text: str) -> UUID:
    """The key of a coupon's opaque id."""
    return key_of(text, "Coupon")


def spread(people: int, rounds: int) -> list[range]:
    """Everybody in so many bursts."""
    edges = [people * step // rounds for step in range(rounds + 1)]
    return [range(first, last) for first, last in itertools.pairwise(edges)]
