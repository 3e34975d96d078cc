"""`linli playbooks seed` and `linli effects` as staff call them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from app import playbooks
from app.kernel.config import Settings
from app.kernel.db import Database
from cli.main import build
from tests.make import members as make_members
from tests.make import orders as make_orders
from tests.make import playbooks as make

Call = Callable[..., Awaitable[str]]


@pytest.fixture
def call(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a verb in a thread of its own, against the test's stores."""
    monkeypatch.setenv("LINLI_DATABASE_URL", settings.database_url or "")
    monkeypatch.setenv("LINLI_REDIS_URL", settings.redis_url or "")

    async def called(*arguments: str) -> str:
        app = build(arguments[0])
        result = await asyncio.to_thread(CliRunner().invoke, app, list(arguments))
        assert result.exit_code == 0, result.output
        return result.stdout

    return called


async def test_the_ready_playbook_is_drafted_once(database: Database, call: Call) -> None:
    assert json.loads(await call("playbooks", "seed", "--json"))["made"]
    assert json.loads(await call("playbooks", "seed", "--json"))["made"] is None


async def test_effects_are_told_of_the_playbook_in_force(database: Database, call: Call) -> None:
    assert "No playbook" in await call("effects")
    async with database.begin() as tx:
        row = await make.playbook(tx, [make.message()], holdout_permille=500)
        # The command looks at the wall clock's present: actions of long ago are over by any.
        at = tx.now - timedelta(days=100)
        for place in range(8):
            arm = playbooks.Arm.CONTROL if place % 2 else playbooks.Arm.TREATED
            member = await make_members.member(tx)
            await make.acted(tx, playbook=row, member_id=member.id, arm=arm, at=at)
            if arm is playbooks.Arm.TREATED:
                await make_orders.order(tx, member_id=member.id, at=at + timedelta(days=3))
    (told,) = json.loads(await call("effects", "--json"))
    whole = told["effects"][0]
    assert whole["level"] is None
    assert whole["treated"] == {"members": 4, "stayed": 4}
    assert whole["stay"][0] == 1.0
    shown = await call("effects")
    assert "whole" in shown
    assert "100.0%" in shown
