"""`linli signals` as staff call it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from app import churn
from app.kernel.config import Settings
from app.kernel.db import Database
from app.orders import ActivityKind
from cli.main import build
from tests.make import churn as make
from tests.make.members import member
from tests.make.orders import activity, order

Call = Callable[..., Awaitable[str]]


@pytest.fixture
def call(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the verb in a thread of its own, against the test's stores."""
    monkeypatch.setenv("LINLI_DATABASE_URL", settings.database_url or "")
    monkeypatch.setenv("LINLI_REDIS_URL", settings.redis_url or "")
    monkeypatch.setenv("COLUMNS", "120")

    async def called(*arguments: str) -> str:
        app = build("signals")
        result = await asyncio.to_thread(CliRunner().invoke, app, ["signals", *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    return called


async def test_open_signals_are_listed_the_greatest_fall_first(
    database: Database, call: Call
) -> None:
    assert "No signal is open" in await call()
    assert json.loads(await call("--json")) == {"open": 0, "signals": []}
    usage = churn.SignalKind.USAGE
    async with database.begin() as tx:
        for nickname, kind, baseline, recent in (
            ("甲", churn.SignalKind.LOGINS, 20, 9),
            ("乙", usage, 7_260, 1_830),
            ("丙", usage, 6_000, 3_600),
        ):
            key = (await member(tx, nickname=nickname)).id
            await make.signal(tx, member_id=key, kind=kind, baseline=baseline, recent=recent)
    answer = json.loads(await call("--json", "--first", "2"))
    assert answer["open"] == 3
    assert [row["nickname"] for row in answer["signals"]] == ["乙", "甲"]
    first = answer["signals"][0]
    assert (first["kind"], first["baseline"], first["recent"]) == ("USAGE", 7_260, 1_830)
    assert first["change"] == pytest.approx(-0.7479)
    assert first["reason"]["en"] == "30 minutes of use in 28 days, 121 in the 28 before: 74% less"
    shown = await call("--first", "1")
    assert "乙" in shown
    assert "121" in shown
    assert "-75%" in shown
    assert "1 of 3 are listed" in shown


async def test_a_look_at_everybody_finds_what_began_by_the_end_of_the_data(
    database: Database, call: Call
) -> None:
    async with database.begin() as tx:
        key = (await member(tx)).id
        # The last thing that happened is long ago: that is the present of these data.
        last = tx.now - timedelta(days=400)
        await order(tx, member_id=key, at=last)
        for days in range(30, 50, 2):
            at = last - timedelta(days=days)
            await activity(tx, member_id=key, kind=ActivityKind.SESSION, at=at)
    assert "log-ins" in await call("--look")
    assert [row["kind"] for row in json.loads(await call("--json"))["signals"]] == [
        "LOGINS",
        "USAGE",
    ]
