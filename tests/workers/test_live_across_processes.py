"""What a worker process does is seen at once by a client subscribed to another process."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from app import campaigns, points, tiers
from app.kernel.auth import MemberCaller, StaffCaller
from app.kernel.config import Settings
from app.orders import OrderPaid, OrderSettled
from tests.conftest import Api, TestClock
from tests.make.campaigns import campaign, staged
from tests.make.churn import scores
from tests.make.members import community, member
from tests.make.orders import order
from tests.make.relaying import until_followed
from tests.workers.children import child, until

WORKER = (
    "-c",
    "from app.kernel.config import load_settings; from workers.run import run_worker;"
    "run_worker(load_settings())",
)
UPDATES = "subscription { myUpdates { kind facts } }"
ALERTS = "subscription { churnAlertRaised { alert { probability member { nickname } } } }"


async def heard(updates: Any, kind: str) -> dict[str, Any]:
    """The facts of the next update of this kind."""
    async with asyncio.timeout(180):
        async for result in updates:
            assert result.errors is None, result.errors
            update = result.data["myUpdates"]
            if update["kind"] == kind:
                return update["facts"]
    raise AssertionError("the subscription ended")


async def test_a_tier_a_coupon_and_a_risk_reach_their_subscribers(
    api: Api,
    settings: Settings,
    clock: TestClock,
    owner: StaffCaller,
    as_member: Callable[[UUID], MemberCaller],
    tmp_path: Path,
) -> None:
    clock.now = datetime.now(UTC)
    database = api.resources.database
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)
        home = (await community(tx)).id
        buyer = (await member(tx, community_id=home)).id
        drifting = (await member(tx, community_id=home, nickname="王阿姨")).id
        sleeper = await staged(tx)
        bought = await order(tx, member_id=buyer, total_fen=50_000_000)
        draft = await campaign(tx, running=False)
    buying = await api.subscribe(UPDATES, caller=as_member(buyer))
    sleeping = await api.subscribe(UPDATES, caller=as_member(sleeper))
    watching = await api.subscribe(ALERTS, caller=owner)
    tier = asyncio.create_task(heard(buying, "tier.changed"))
    coupon = asyncio.create_task(heard(sleeping, "coupon.granted"))
    risk = asyncio.ensure_future(anext(watching))
    await until_followed(api.resources.live, 3)
    async with child(settings, tmp_path / "worker.log", *WORKER) as worker:
        async with database.begin() as tx:
            facts = {"member_id": buyer, "order_id": bought.id, "total_fen": bought.total_fen}
            tx.emit(OrderPaid(**facts, placed_at=tx.now, paid_at=tx.now))
            tx.emit(OrderSettled(**facts, settled_at=tx.now))
            await campaigns.start(tx, campaign_id=draft.id)
            await scores(tx, member_ids=[drifting], probability=[0.9])
        risen = (await asyncio.wait_for(risk, 180)).data["churnAlertRaised"]["alert"]
        assert risen == {"probability": 0.9, "member": {"nickname": "王阿姨"}}
        assert (await tier)["to_code"] == "DIAMOND"
        assert (await coupon)["name"] == "五元券"

        async def has_points() -> bool:
            async with database.read() as read:
                found = await points.balances_by_member(read, [buyer])
            return buyer in found and found[buyer].points.pending > 0

        await until(has_points)
        assert await worker.stop() == 0
    for subscription in (buying, sleeping, watching):
        await subscription.aclose()
