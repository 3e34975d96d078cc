"""`linli tiers run` as people and machines call it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from app import tiers
from app.kernel.config import Settings
from app.kernel.db import Database
from cli.tiers import tiers_app
from tests.conftest import NOON
from tests.make.members import member
from tests.make.orders import order
from tests.make.tiers import standing

Call = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def call(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the command in a thread of its own, against the test's stores."""
    monkeypatch.setenv("LINLI_DATABASE_URL", settings.database_url or "")
    monkeypatch.setenv("LINLI_REDIS_URL", settings.redis_url or "")
    monkeypatch.setenv("COLUMNS", "160")

    async def called(*arguments: str) -> tuple[int, str, str]:
        result = await asyncio.to_thread(CliRunner().invoke, tiers_app, ["run", *arguments])
        return result.exit_code, result.stdout, result.stderr

    return called


async def people(database: Database) -> None:
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)
        rising = (await member(tx, nickname="王阿姨")).id
        await order(tx, member_id=rising, total_fen=250_000, at=NOON - timedelta(days=30))
        falling = (await member(tx, nickname="赵叔叔")).id
        await standing(tx, member_id=falling, tier_code="GOLD", since=NOON - timedelta(days=300))
        await member(tx)


async def test_a_preview_says_who_moves_and_why_and_the_run_moves_them(
    database: Database, call: Call
) -> None:
    await people(database)
    for _ in range(2):
        code, out, _ = await call("--preview", "--month", "2026-03")
        assert code == 0
        assert "nobody moved yet" in out
        assert "王阿姨" in out
        assert "growth of 2500 reaches the 2000 of Gold" in out
        assert "低于黄金的保级线1500" in out
        assert "Normal 普通 2 · Gold 黄金 1" in out
    for _ in range(2):
        code, out, _ = await call("--month", "2026-03")
        assert code == 0
        assert "published 已发布" in out
        assert "Normal 普通 1 · Gold 黄金 2" in out


async def test_machines_read_json(database: Database, call: Call) -> None:
    await people(database)
    code, out, _ = await call("--month", "2026-03", "--json")
    answer = json.loads(out)
    assert code == 0
    assert (answer["month"], answer["state"], answer["members"]) == ("2026-03", "PUBLISHED", 3)
    assert answer["standings"] == {"NORMAL": 1, "GOLD": 2, "DIAMOND": 0}
    moves = {(move["kind"], move["from"], move["to"]): move["n"] for move in answer["moves"]}
    assert moves == {("AT_RISK", "GOLD", "GOLD"): 1, ("UPGRADE", "NORMAL", "GOLD"): 1}
    assert {row["applied"] for row in answer["sample"]} == {True}


@pytest.mark.parametrize(
    ("month", "told"),
    [("March", "is not a month like 2026-11"), ("9998-01", "can only be previewed")],
)
async def test_what_cannot_be_run_is_said_plainly(
    database: Database, call: Call, month: str, told: str
) -> None:
    code, _, err = await call("--month", month)
    assert code == 2
    assert told in err


async def test_a_published_month_is_shown_and_not_previewed_again(
    database: Database, call: Call
) -> None:
    await people(database)
    await call("--month", "2026-03")
    code, out, _ = await call("--preview", "--month", "2026-03")
    assert code == 0
    assert "published 已发布" in out
