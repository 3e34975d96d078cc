"""`linli models` and `linli drift` as people and machines call them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from app import churn
from app.kernel.config import Settings
from app.kernel.db import Database
from cli.main import build
from tests.conftest import TestClock
from tests.make.churn import watched
from tests.make.shops import shop
from workers.models import open_model
from workers.training import train_model

ZONE = "Asia/Shanghai"
Call = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def call(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a verb in a thread of its own, against the test's stores."""
    monkeypatch.setenv("LINLI_DATABASE_URL", settings.database_url or "")
    monkeypatch.setenv("LINLI_REDIS_URL", settings.redis_url or "")
    monkeypatch.setenv("COLUMNS", "140")

    async def called(*words: str) -> tuple[int, str, str]:
        result = await asyncio.to_thread(CliRunner().invoke, build(words[0]), list(words))
        return result.exit_code, result.stdout, result.stderr

    return called


async def test_people_and_machines_read_the_register(database: Database, call: Call) -> None:
    async with database.begin() as tx:
        await watched(tx)
    code, out, _ = await call("models", "list")
    assert (code, "CHALLENGER" in out, "won beside test-1" in out) == (0, True, True)
    code, out, _ = await call("models", "list", "--json")
    assert {row["role"] for row in json.loads(out)} == {"CHAMPION", "CHALLENGER"}
    code, out, _ = await call("models", "show", "challenger-1")
    assert (code, "It wins" in out, "+0.0010 to +0.0030" in out) == (0, True, True)
    code, out, _ = await call("models", "show", "test-1")
    assert (code, "was not compared" in out) == (0, True)
    code, out, _ = await call("models", "show", "challenger-1", "--json")
    assert json.loads(out)["evidence"]["rival"] == "test-1"
    code, _, said = await call("models", "show", "nothing")
    assert (code, "no such model" in said, "找不到该模型" in said) == (1, True, True)


async def test_drift_is_a_table_json_and_a_picture(
    database: Database, call: Call, tmp_path: Path
) -> None:
    code, out, _ = await call("drift")
    assert (code, "Nobody was scored yet" in out) == (0, True)
    async with database.begin() as tx:
        await watched(tx)
    picture = tmp_path / "drift.png"
    code, out, _ = await call("drift", "--plot", str(picture))
    assert (code, "recency" in out, "SCORE" in out, "still open" in out) == (0, True, True, True)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 5_000
    code, out, _ = await call("drift", "--json", "--nights", "5")
    answer = json.loads(out)
    assert code == 0
    assert answer["nights"][0]["score_psi"] == 0.3
    assert answer["nights"][0]["model"] == "test-1"
    assert answer["alarms"][0]["kind"] == "SCORE"


async def test_a_model_is_judged_promoted_and_taken_out(
    database: Database, clock: TestClock, call: Call
) -> None:
    await shop(database)
    code, out, said = await call("models", "verify")
    assert (code, "no model yet" in said) == (1, True)
    old = await train_model(database, as_of=clock.now - timedelta(days=120), zone=ZONE)
    opened = await open_model(database, old.id)
    spoilt = replace(opened.artifact, shift=opened.artifact.shift + 2.5)
    async with database.begin() as tx:
        await tx.session.execute(text("DELETE FROM model_version"))
    ids = {}
    for version, artifact in (("spoilt", spoilt), ("good", opened.artifact)):
        async with database.begin() as tx:
            row = await churn.register_model(
                tx,
                version=version,
                trained_as_of=clock.now - timedelta(days=120),
                manifest=artifact.manifest(),
                metrics={},
                artifact=artifact.to_bytes(),
            )
            ids[version] = row.id
    code, out, _ = await call("models", "verify")
    assert code == 0
    as_of = clock.now.isoformat()
    code, _, said = await call("models", "promote", "spoilt", "--as-of", as_of)
    assert (code, "in force already" in said) == (1, True)
    early = (clock.now - timedelta(days=100)).isoformat()
    code, _, said = await call("models", "promote", "good", "--as-of", early)
    assert (code, "not yet tried" in said) == (1, True), "no window has closed since"
    code, _, said = await call("models", "promote", "good", "--as-of", as_of)
    assert code == 0, said
    assert "It wins" in said
    code, _, said = await call("models", "promote", "spoilt", "--as-of", as_of)
    assert (code, "did not win" in said) == (1, True)
    code, _, said = await call("models", "rollback", "--reason", "a trial")
    assert (code, "spoilt is in force again" in said) == (0, True)
    code, _, said = await call("models", "rollback", "--reason", "a trial")
    assert (code, "no earlier model" in said) == (1, True)
    async with database.read() as read:
        found = await read.session.execute(
            text("SELECT actor_kind, action, given->>'version' FROM audit_entry ORDER BY id")
        )
        assert [tuple(row) for row in found] == [
            ("operator", "promoteChurnModel", "good"),
            ("operator", "rollBackChurnModel", "good"),
        ]
    async with database.begin() as tx:
        await tx.session.execute(
            text("UPDATE model_version SET artifact = 'x' WHERE version = 'spoilt'")
        )
    code, out, _ = await call("models", "verify", "--json")
    assert code == 1
    assert "damaged" in json.loads(out)[0]["problem"]
