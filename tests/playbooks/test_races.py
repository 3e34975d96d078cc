"""Fifty at once, twice each: one version in force, one result a task; and the page's example."""

import asyncio
import doctest
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, select

from app import playbooks
from app.churn import AlertState
from app.kernel.auth import Role, StaffCaller
from app.kernel.db import Database
from app.kernel.errors import Refusal
from app.playbooks import PlaybookState
from schema.nodes import global_id
from tests.conftest import Api
from tests.make import members as make_members
from tests.make import playbooks as make
from tests.playbooks.test_playbooks_api import COMPLETE, CREATE, NOTHING

CHURN = Path(__file__).parents[2] / "docs" / "churn.md"


async def test_of_many_versions_activated_at_once_one_is_in_force(database: Database) -> None:
    async with database.begin() as tx:
        ids = [(await make.playbook(tx, [make.message()], active=False)).id for _ in range(50)]

    async def activate(key: UUID) -> str:
        try:
            async with database.begin() as tx:
                return (await playbooks.activate_playbook(tx, playbook_id=key)).state.value
        except Refusal as refusal:
            return refusal.code

    answers = Counter(await asyncio.gather(*(activate(key) for key in ids * 2)))
    assert set(answers) <= {"ACTIVE", "PLAYBOOK_MOVE_NOT_ALLOWED"}
    assert answers["ACTIVE"] >= 50
    async with database.read() as read:
        in_force = select(func.count()).where(playbooks.Playbook.state == PlaybookState.ACTIVE)
        assert await read.session.scalar(in_force) == 1


async def test_one_key_makes_one_playbook_however_many_ask_at_once(
    api: Api, database: Database
) -> None:
    caller = StaffCaller(uuid4(), uuid4(), Role.CAMPAIGN_MANAGER)

    async def create(key: str) -> str:
        given = {"name": "挽留", "measures": [NOTHING], "idempotencyKey": key}
        answer = await api(CREATE, {"input": given}, caller=caller)
        return answer["data"]["createPlaybook"]["playbook"]["id"]

    keys = [str(place) for place in range(25)] * 2
    made = await asyncio.gather(*(create(key) for key in keys))
    assert len(set(made)) == 25
    async with database.read() as read:
        assert await read.session.scalar(select(func.count(playbooks.Playbook.id))) == 25


async def test_of_many_who_close_a_task_one_does(api: Api, database: Database) -> None:
    async with database.begin() as tx:
        await make.playbook(tx, [make.task()])
        await make.alerts(tx, 1, level=AlertState.L3)
        await playbooks.answer_alerts(tx)
        (row,) = await playbooks.tasks_page(tx, state=playbooks.TaskState.OPEN, first=1)
    callers = [StaffCaller(uuid4(), uuid4(), Role.SUPPORT) for _ in range(50)]

    async def close(caller: StaffCaller) -> dict[str, Any]:
        given = {
            "taskId": global_id("PlaybookTask", row.id),
            "result": "REACHED",
            "note": str(caller.id),
            "idempotencyKey": "one",
        }
        answer = await api(COMPLETE, {"input": given}, caller=caller)
        return answer["data"]["completePlaybookTask"]

    answers = await asyncio.gather(*(close(caller) for caller in callers * 2))
    done = [one["task"]["note"] for one in answers if "task" in one]
    assert len(done) == 2
    assert len(set(done)) == 1
    assert {one["code"] for one in answers if "code" in one} == {"TASK_CLOSED"}


async def test_a_change_that_races_with_another_is_told_so(database: Database) -> None:
    async with database.begin() as tx:
        row = await make.playbook(tx, [make.message()])
        await make_members.community(tx)
    draft = playbooks.PlaybookDraft(name="改", measures=[make.message()])

    async def change() -> int:
        try:
            async with database.begin() as tx:
                made = await playbooks.update_playbook(tx, playbook_id=row.id, draft=draft, by=None)
                return made.version
        except playbooks.PlaybookSuperseded:
            return 0

    versions = await asyncio.gather(*(change() for _ in range(50)))
    assert sorted(versions) == [0] * 49 + [2]


def test_the_example_of_the_page_is_true() -> None:
    page = CHURN.read_text(encoding="utf-8")
    _, _, own = page.partition("## Playbooks and their effect")
    own, _, _ = own.partition("\n## ")
    parsed = doctest.DocTestParser().get_doctest(own, {}, "playbooks", str(CHURN), 0)
    assert len(parsed.examples) >= 5
    assert doctest.DocTestRunner().run(parsed).failed == 0
