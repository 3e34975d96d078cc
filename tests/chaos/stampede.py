"""A stampede: everybody wants one of a few coupons, while processes are killed on the way.

Each member taps, asks again by the same key until there is an answer, and uses what they got. When
all is over each taps once more under the same key. In the end PostgreSQL must hold what was said.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from tests.chaos.clients import Crowd
from tests.chaos.rig import House, until
from tests.chaos.scene import CLAIM, REDEEM, Scene, seed
from tests.chaos.storm import coupon_key

# When what is killed, by the part of the stock that was acknowledged by then.
STRIKES = ((0.1, "valkey"), (0.4, "api"), (0.8, "api"))
AT_ONCE = 200
VALUE_FEN = 500

_HELD = """
SELECT (SELECT count(*) FROM coupon WHERE source_id = d.id) AS coupons,
       (SELECT count(DISTINCT member_id) FROM coupon WHERE source_id = d.id) AS members,
       (SELECT count(*) FROM drop_claim WHERE drop_id = d.id) AS claims,
       (SELECT count(*) FROM coupon_redemption AS r JOIN coupon AS c
            ON c.member_id = r.member_id AND c.id = r.coupon_id WHERE c.source_id = d.id) AS used,
       (SELECT count(*) FROM idempotency_key AS k JOIN drop_claim AS c ON c.member_id = k.owner_id
            AND k.answer ->> 'coupon' = c.coupon_id::text WHERE c.drop_id = d.id) AS keys,
       b.redeemed, b.spent_fen, d.claimed, d.stock, d.state
FROM coupon_drop AS d JOIN coupon_batch AS b ON b.id = d.batch_id WHERE d.id = $1
"""


@dataclass(slots=True)
class Result:
    """What came of a stampede; `wrong` tells each thing that should not be."""

    members: int
    stock: int
    requests: int = 0
    again: int = 0
    faults: int = 0
    granted: int = 0
    doubled: int = 0
    lost: int = 0
    # Until the last coupon was acknowledged, and until everybody had tapped twice.
    sold_out_after: float = 0.0
    seconds: float = 0.0
    codes: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.members:,} members, {self.stock:,} coupons: {self.requests:,} requests, "
            f"{self.again:,} of them asked again, {self.faults} faults, {self.granted:,} granted, "
            f"{self.doubled} doubled, {self.lost} lost, "
            f"sold out after {self.sold_out_after:.1f} s, {self.seconds:.1f} s in all"
        )


@dataclass(slots=True)
class _Run:
    house: House
    scene: Scene
    crowd: Crowd
    told: dict[UUID, str] = field(default_factory=dict[UUID, str])
    refused: set[UUID] = field(default_factory=set[UUID])
    wrong: list[str] = field(default_factory=list[str])
    last_at: float = 0.0
    # So many at once are on their way.
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def tap(self, index: int) -> None:
        """Claim, and use what was given."""
        member, token = self.scene.members[index], self.scene.tokens[index]
        async with self.gate:
            answer = await self._claim(index)
            if answer["__typename"] == "ClaimDropSuccess":
                coupon = self.told[member] = answer["claim"]["coupon"]["id"]
                self.last_at = time.monotonic()
                given = {"coupon": coupon, "ref": f"order-{index}", "key": "use"}
                used = (await self.crowd.ask(REDEEM, given, token))["redeemCoupon"]
                if used.get("discountFen") != VALUE_FEN:
                    self.wrong.append(f"a coupon was not used: {used}")
            elif answer["__typename"] == "SoldOut":
                self.refused.add(member)
            else:
                self.wrong.append(f"an answer: {answer}")

    async def tap_again(self, index: int) -> None:
        """The same key again: the same answer."""
        member = self.scene.members[index]
        async with self.gate:
            answer = await self._claim(index)
        if answer["__typename"] == "ClaimDropSuccess":
            if self.told.get(member) != answer["claim"]["coupon"]["id"]:
                self.wrong.append(f"another answer to {member}: {answer}")
        elif member not in self.refused:
            self.wrong.append(f"an acknowledged claim of {member} is gone: {answer}")

    async def _claim(self, index: int) -> dict[str, Any]:
        given = {"drop": self.scene.drop_id, "key": "tap"}
        answer = await self.crowd.ask(CLAIM, given, self.scene.tokens[index])
        return answer["claimDrop"]

    async def strike(self, share: float, victim: str) -> None:
        """kill -9 by pid when so much of the stock was acknowledged; it comes back by itself."""
        while len(self.told) < share * self.scene.stock:
            await asyncio.sleep(0.005)
        stores, apis = self.house.stores, self.house.apis
        part = stores.valkey if victim == "valkey" else random.choice(apis)
        # Two strikes may fall on one process: the second waits until it is there again.
        await until(part.runs, f"{victim} runs")
        starts = part.starts
        part.kill()

        async def is_back() -> bool:
            return part.starts > starts

        await until(is_back, f"{victim} comes back")


async def stampede(
    house: House, *, people: int, stock: int, say: Callable[[str], None] = lambda _: None
) -> Result:
    """Let so many members loose on so many coupons of a house with API processes."""
    scene = await seed(house.database_url, people=people, stock=stock)
    say(f"{people:,} members stand before {stock:,} coupons")
    result = Result(people, stock, faults=len(STRIKES))
    async with Crowd(house.urls, connections=AT_ONCE) as crowd:
        run = _Run(house, scene, crowd)
        begun = time.monotonic()
        strikes = [asyncio.create_task(run.strike(*one)) for one in STRIKES]
        order = random.sample(range(people), people)
        await asyncio.gather(*(run.tap(index) for index in order))
        await asyncio.gather(*strikes)
        say(f"{len(run.told):,} were served, {len(run.refused):,} were not; all tap again")
        for url in house.urls:
            await house.ready(url)
        await asyncio.gather(*(run.tap_again(index) for index in order))
        result.seconds = time.monotonic() - begun
        result.sold_out_after = run.last_at - begun
        result.requests, result.again, result.codes = crowd.requests, crowd.again, crowd.codes
    await _reckon(run, result)
    return result


async def _reckon(run: _Run, result: Result) -> None:
    """Compare what was told with what PostgreSQL holds."""
    house, scene, told = run.house, run.scene, run.told
    rows = await house.rows("SELECT member_id, id FROM coupon WHERE source_id = $1", scene.drop)
    held = Counter((row["member_id"], row["id"]) for row in rows)
    said = Counter((member, coupon_key(coupon)) for member, coupon in told.items())
    result.granted = len(rows)
    result.lost = (said - held).total()
    result.doubled = (held - said).total()
    result.wrong = run.wrong
    (row,) = await house.rows(_HELD, scene.drop)
    stock = scene.stock
    expected = {
        **dict.fromkeys(("coupons", "members", "claims", "used", "keys", "redeemed"), stock),
        "spent_fen": stock * VALUE_FEN,
        "claimed": stock,
        "stock": stock,
        "state": "SOLD_OUT",
    }
    found = dict(row)
    result.wrong += [
        f"{name}: {found[name]} instead of {value}"
        for name, value in expected.items()
        if found[name] != value
    ]
    if len(told) != stock or len(told) + len(run.refused) != len(scene.members):
        result.wrong.append(f"{len(told)} were served and {len(run.refused)} refused")
    if result.lost or result.doubled:
        result.wrong.append(f"{result.lost} lost, {result.doubled} doubled")
