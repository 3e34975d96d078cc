"""What playbooks would do, for a page of them; and what members are shown of what they did."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

from sqlalchemy import event, select

from app import playbooks
from app.churn import AlertState
from app.kernel.auth import Role, StaffCaller
from app.kernel.db import Database
from app.members import Member
from app.playbooks import Level
from schema.nodes import global_id
from tests.conftest import Api, TestClock
from tests.make import coupons as make_coupons
from tests.make import members as make_members
from tests.make import playbooks as make

MANAGER = StaffCaller(uuid4(), uuid4(), Role.CAMPAIGN_MANAGER)


async def test_a_page_of_previews_is_one_statement(api: Api, database: Database) -> None:
    """However many versions and experiments are shown, each with what it would do itself."""
    async with database.begin() as tx:
        batch = await make_coupons.batch(tx, quantity=2)
        home = (await make_members.community(tx, name="滨江苑")).id
        await make.alerts(tx, 30, level=AlertState.L2)
        await make.alerts(tx, 3, level=AlertState.L2, community_id=home)
        rows = [
            await make.playbook(
                tx,
                [make.coupon(batch.id, Level.L2)],
                active=False,
                community_id=home if place % 2 else None,
                holdout_permille=place * 50,
            )
            for place in range(6)
        ]
        gone = await make.playbook(tx, [make.message()], active=False)
        await playbooks.retire_playbook(tx, playbook_id=gone.id)
    seen: list[str] = []

    def note(*given: Any) -> None:
        seen.append(given[2])

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    document = "{ playbooks { nodes { id preview { members heldOut costFen couponsLeft } } } }"
    nodes = (await replace(api, compares=False)(document, caller=MANAGER))["data"]["playbooks"][
        "nodes"
    ]
    event.remove(engine, "before_cursor_execute", note)
    assert sum("drawn" in statement for statement in seen) == 1
    shown = {node["id"]: node["preview"] for node in nodes}
    assert shown[global_id("Playbook", gone.id)] == []
    for row in rows:
        [expected] = shown[global_id("Playbook", row.id)]
        own = row.community_id is not None
        assert expected["members"] == (3 if own else 33)
        held = await held_out(database, row)
        assert expected["heldOut"] == held
        # Two coupons of 5 yuan are all there are, however many would be treated.
        assert expected["costFen"] == 500 * min(2, expected["members"] - held)
        assert expected["couponsLeft"] == 2


async def held_out(database: Database, row: playbooks.Playbook) -> int:
    """Reckoned member by member, in Python."""
    async with database.read() as read:
        ids = await read.session.scalars(
            select(Member.id).where(
                (Member.community_id == row.community_id)
                if row.community_id is not None
                else Member.id.is_not(None)
            )
        )
        arms = [
            playbooks.arm_of(
                playbooks.bucket(row.experiment_id, key),
                playbooks.bucket(row.experiment_id, key, Level.L2),
                row.holdout_permille,
                row.level_holdout_permille,
            )
            for key in ids
        ]
    return sum(arm is not playbooks.Arm.TREATED for arm in arms)


async def test_messages_are_the_newest_fifty_of_each(database: Database, clock: TestClock) -> None:
    async with database.begin() as tx:
        one, two = [(await make_members.member(tx)).id for _ in range(2)]
    for number in range(60):
        async with database.begin() as tx:
            for who in (one, two)[: 1 if number < 55 else 2]:
                tx.session.add(
                    playbooks.PlaybookMessage(
                        member_id=who,
                        id=tx.new_id(),
                        alert_id=tx.new_id(),
                        level=Level.L1,
                        text_zh=str(number),
                        text_en=str(number),
                        sent_at=tx.now,
                    )
                )
        clock.advance(minutes=1)
    async with database.read() as read:
        found = await playbooks.messages_by_member(read, [one, two, uuid4()])
    assert [row.text_zh for row in found[one]] == [str(number) for number in range(59, 9, -1)]
    assert [row.text_zh for row in found[two]] == [str(number) for number in range(59, 54, -1)]
    assert len(found) == 2


async def test_a_coupon_that_costs_a_fortune_is_previewed_without_an_overflow(
    api: Api, database: Database
) -> None:
    async with database.begin() as tx:
        template = await make_coupons.template(tx, value=2**53 - 1)
        batch = await make_coupons.batch(
            tx, template_id=template.id, quantity=1_000, budget_fen=2**53 - 1
        )
        await make.alerts(tx, 5, level=AlertState.L2)
        row = await make.playbook(tx, [make.coupon(batch.id, Level.L2)], active=False)
    document = """query($id: ID!) { node(id: $id) { ... on Playbook {
      worthFen needsApproval preview { costFen members } } } }"""
    shown = await api(document, {"id": global_id("Playbook", row.id)}, caller=MANAGER)
    assert shown["data"]["node"] == {
        "worthFen": 2**53 - 1, "needsApproval": True,
        "preview": [{"costFen": 2**53 - 1, "members": 5}],
    }  # fmt: skip
