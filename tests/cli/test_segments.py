"""`linli segments run` as people and machines call it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from app.kernel.config import Settings
from app.kernel.db import Database
from cli.segments import segments_app
from tests.conftest import NOON
from tests.make import segments as make
from tests.segments.oracle import Bought, Person

Call = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def call(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the command in a thread of its own, against the test's stores."""
    monkeypatch.setenv("LINLI_DATABASE_URL", settings.database_url or "")
    monkeypatch.setenv("LINLI_REDIS_URL", settings.redis_url or "")
    monkeypatch.setenv("COLUMNS", "120")

    async def called(*arguments: str) -> tuple[int, str, str]:
        result = await asyncio.to_thread(CliRunner().invoke, segments_app, ["run", *arguments])
        return result.exit_code, result.stdout, result.stderr

    return called


async def people(database: Database) -> None:
    joined = NOON - timedelta(days=400)
    async with database.begin() as tx:
        await make.person(tx, Person(joined, [Bought(NOON - timedelta(days=2), 500)]))
        await make.person(tx, Person(joined, [Bought(NOON - timedelta(days=80), 100)]))


async def test_people_read_a_table_with_alarms(database: Database, call: Call) -> None:
    await people(database)
    code, out, _ = await call("--as-of", NOON.isoformat())
    assert code == 0
    assert "核心会员" in out
    assert "2 members, 2 changed stage" in out
    assert "VIPs are not 10 to 15% of the members" in out
    code, out, _ = await call("--as-of", (NOON - timedelta(days=1)).isoformat())
    assert (code, "changed nobody" in out) == (0, True)


async def test_machines_read_json(database: Database, call: Call) -> None:
    await people(database)
    code, out, _ = await call("--as-of", NOON.isoformat(), "--json")
    answer = json.loads(out)
    assert code == 0
    assert (answer["members"], answer["stages"]["VIP"], answer["stages"]["CHURNED"]) == (2, 1, 1)
    assert answer["vip_share_of_sales"] == pytest.approx(5 / 6)
    assert answer["cut_points"]["vip_net90"] == 500


@pytest.mark.parametrize("wrong", ["tomorrow", "2999-01-01", "2011-09-01T03:00"])
async def test_a_wrong_instant_is_said_plainly(database: Database, call: Call, wrong: str) -> None:
    code, _, err = await call("--as-of", wrong)
    assert (code, "--as-of" in err) == (2, True)
