"""What must not come of absurd drafts, of versions that change under a sweep, and of killings."""

import asyncio
import sys
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, update

from app import coupons, playbooks, points
from app.churn import AlertState
from app.kernel.auth import Role, StaffCaller
from app.kernel.db import Database
from app.members import Member
from app.playbooks import Audience, Level, MeasureDraft, MeasureKind
from schema.nodes import global_id
from tests.conftest import Api, TestClock
from tests.make import coupons as make_coupons
from tests.make import playbooks as make
from tests.playbooks.test_playbooks_api import ACTIVATE, COMPLETE, CREATE, NOTHING, UPDATE

MANAGER = StaffCaller(uuid4(), uuid4(), Role.CAMPAIGN_MANAGER)
MESSAGE = {"level": "L1", "audience": "VIP", "kind": "MESSAGE", "textZh": "好", "textEn": "hi"}
POINTS = {"level": "L1", "audience": "VIP", "kind": "POINTS", "points": 5}
EVERYWHERE = [
    {"level": level.value, "audience": audience.value, "kind": "NOTHING"}
    for level in Level
    for audience in Audience
]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "挽留\0"},
        {"name": "挽" * 61},
        {"measures": [MESSAGE | {"textZh": ""}]},
        {"measures": [MESSAGE | {"textEn": ""}]},
        {"measures": [MESSAGE | {"textZh": " \n"}]},
        {"measures": [MESSAGE | {"textZh": "好\0"}]},
        {"measures": [MESSAGE | {"textEn": "x" * 501}]},
        {"measures": [POINTS | {"points": 100_001}]},
        {"measures": [POINTS | {"points": -5}]},
        {"measures": [POINTS | {"contactFen": -1}]},
        {"measures": [POINTS | {"contactFen": 2**53 - 1}]},
        {"measures": [*EVERYWHERE, NOTHING]},
        {"measures": EVERYWHERE * 500},
        {"holdoutPermille": -1},
        {"levelHoldoutPermille": 2**31 - 1},
        {"horizonDays": -(2**31)},
        {"idempotencyKey": ""},
        {"idempotencyKey": "a\0"},
        {"idempotencyKey": "a" * 129},
        {"communityId": global_id("CouponBatch", uuid4())},
        {"communityId": "{nickname}"},
    ],
)
async def test_absurd_drafts_are_refused_and_leave_nothing(
    api: Api, database: Database, change: dict[str, Any]
) -> None:
    given = {"name": "挽留", "measures": [NOTHING], "idempotencyKey": "one"} | change
    answer = await api(CREATE, {"input": given}, caller=MANAGER)
    found = (answer.get("data") or {}).get("createPlaybook") or {}
    codes = {found.get("code")} | {
        error["extensions"]["code"] for error in answer.get("errors", [])
    }
    # What cannot be stored at all is refused before it comes to a rule.
    assert codes & {"INVALID_INPUT", "BAD_USER_INPUT"}, codes
    async with database.read() as read:
        assert await read.session.scalar(select(func.count(playbooks.Playbook.id))) == 0


async def test_everything_at_every_level_for_everybody_is_allowed(api: Api) -> None:
    given = {"name": "挽留", "measures": EVERYWHERE, "idempotencyKey": "one"}
    made = (await api(CREATE, {"input": given}, caller=MANAGER))["data"]["createPlaybook"]
    assert len(made["playbook"]["measures"]) == 18


async def test_versions_do_not_come_back(api: Api, database: Database) -> None:
    async def send(document: str, **given: Any) -> dict[str, Any]:
        [found] = (await api(document, {"input": given}, caller=MANAGER))["data"].values()
        return found

    draft = {"name": "挽留", "measures": [NOTHING]}
    first = (await send(CREATE, **draft, idempotencyKey="1"))["playbook"]["id"]
    assert (await send(ACTIVATE, playbookId=first))["playbook"]["state"] == "ACTIVE"
    second = (await send(UPDATE, **draft, playbookId=first, idempotencyKey="2"))["playbook"]["id"]
    for _ in range(2):
        assert (await send(ACTIVATE, playbookId=second))["playbook"]["state"] == "ACTIVE"
    back = await send(ACTIVATE, playbookId=first)
    assert back["code"] == "PLAYBOOK_MOVE_NOT_ALLOWED"
    assert (await send(UPDATE, **draft, playbookId=first, idempotencyKey="3"))["code"] == (
        "PLAYBOOK_SUPERSEDED"
    )
    wrong = await send(ACTIVATE, playbookId=global_id("PlaybookTask", uuid4()))
    assert wrong["code"] == "INVALID_INPUT"
    task = {"taskId": global_id("PlaybookTask", uuid4()), "result": "REACHED"}
    long = await send(COMPLETE, **task, note="a" * 501, idempotencyKey="4")
    assert long["code"] == "INVALID_INPUT"


async def test_a_name_like_a_placeholder_is_a_name(database: Database) -> None:
    async with database.begin() as tx:
        await make.playbook(tx, [make.message()])
        (who,) = await make.alerts(tx, 1)
        named = update(Member).where(Member.id == who).values(nickname="{category}{nickname}")
        await tx.session.execute(named)
        await playbooks.answer_alerts(tx)
    async with database.read() as read:
        [said] = (await playbooks.messages_by_member(read, [who]))[who]
    assert said.text_zh == "{category}{nickname}，当季好物到货了"


async def test_versions_that_change_under_a_sweep_answer_each_alert_once(
    database: Database,
) -> None:
    """Whatever is in force at the instant counts; what was given is what the version says."""
    amounts: dict[UUID, int] = {}
    async with database.begin() as tx:
        people = await make.alerts(tx, 120)
        for amount in range(1, 11):
            measure = MeasureDraft(Level.L1, Audience.OTHERS, MeasureKind.POINTS, points=amount)
            row = await make.playbook(tx, [measure], active=amount == 1)
            amounts[row.id] = amount

    async def sweep() -> None:
        while True:
            async with database.begin() as tx:
                if not (await playbooks.answer_alerts(tx, at_most=7)).looked_at:
                    return

    async def change() -> None:
        for key in list(amounts)[1:]:
            async with database.begin() as tx:
                await playbooks.activate_playbook(tx, playbook_id=key)

    await asyncio.gather(sweep(), change(), sweep(), sweep())
    await sweep()
    async with database.read() as read:
        actions = list(await read.session.scalars(select(playbooks.PlaybookAction)))
        found = await points.balances_by_member(read, list(people))
    assert Counter(row.member_id for row in actions) == Counter(list(people))
    for row in actions:
        assert found[row.member_id].points.balance == amounts[row.playbook_id] == row.cost_fen


async def test_a_worker_that_is_killed_leaves_nothing_half_done(
    database: Database, schema_ready: str, clock: TestClock
) -> None:
    async with database.begin() as tx:
        batch = await make_coupons.batch(tx, quantity=100)
        await make.playbook(tx, [make.coupon(batch.id)])
        people = await make.alerts(tx, 40)
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.hanging_process", "playbooks"),
        *(schema_ready, clock.now.isoformat()),
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    assert await asyncio.wait_for(child.stdout.readline(), 180) == b"inside\n"
    child.kill()
    await child.wait()
    count = select(func.count()).select_from(playbooks.PlaybookAction)
    async with database.read() as read:
        assert await read.session.scalar(count) == 14, "what was committed before stays"
    # The server may take a moment to see that the process is gone and to free its locks.
    for _ in range(1_000):
        async with database.begin() as tx:
            await playbooks.answer_alerts(tx)
        async with database.read() as read:
            if await read.session.scalar(count) == 40:
                break
        await asyncio.sleep(0.1)
    async with database.read() as read:
        owners = Counter(await read.session.scalars(select(coupons.Coupon.member_id)))
        named = await read.session.scalars(select(playbooks.PlaybookAction.coupon_id))
        granted = await read.session.scalar(select(coupons.Batch.granted))
        assert owners == Counter(list(people))
        assert len(set(named)) == 40
        assert granted == 40


async def test_a_refused_activation_leaves_the_one_before_in_force(database: Database) -> None:
    async with database.begin() as tx:
        paused = await make_coupons.batch(tx, state=coupons.BatchState.PAUSED)
        before = await make.playbook(tx, [make.message()])
        after = await make.playbook(tx, [make.coupon(paused.id)], active=False)
    with pytest.raises(coupons.BatchNotActive):
        async with database.begin() as tx:
            await playbooks.activate_playbook(tx, playbook_id=after.id)
    async with database.begin() as tx:
        (who,) = await make.alerts(tx, 1, level=AlertState.L1)
        await playbooks.answer_alerts(tx)
        action = (await tx.session.scalars(select(playbooks.PlaybookAction))).one()
    assert (action.member_id, action.playbook_id) == (who, before.id)
