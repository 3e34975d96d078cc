"""The doctor: says what is wrong and how to mend it, and sets nothing up itself."""

import hashlib
import json
import re
import shutil
from collections import namedtuple
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from sqlalchemy import insert, text
from typer.testing import CliRunner

from app.churn import ModelRole, ModelVersion
from app.kernel.clock import system_clock
from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.embedded import ValkeyServer
from app.kernel.forwarding import STRANGERS
from cli.doctor import GIB, _show, diagnose
from cli.doctor import look_at_stores as _stores
from cli.doctor_database import look_at_clock
from cli.doctor_redis import look_at_redis
from cli.findings import Finding
from cli.main import build
from tests.make.links import link


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in [n for n in os.environ if n.startswith("LINLI_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


CHINESE = re.compile("[\u4e00-\u9fff]")


def mends(finding: Finding, state: str, english: str) -> None:
    """It says what is wrong and how to mend it, in both languages."""
    assert finding.state == state, finding
    assert english in f"{finding.found} {finding.mend}"
    assert finding.mend
    assert CHINESE.search(finding.zh)


def by_check(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


def test_an_empty_place_stays_empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LINLI_DATA_DIR", str(tmp_path / "nothing"))
    found = by_check(diagnose())["stores"]
    assert found.state == "wrong"
    assert "linli up" in found.mend
    assert not (tmp_path / "nothing").exists()


def test_wrong_settings_and_misspelt_names_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINLI_PROT", "9000")
    found = by_check(diagnose())["settings"]
    assert found.state == "warning"
    assert "LINLI_PROT" in found.found
    monkeypatch.setenv("LINLI_PORT", "80a")
    assert "LINLI_PORT" in diagnose()[0].found


def test_servers_that_are_away_are_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINLI_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setenv("LINLI_REDIS_URL", "redis://127.0.0.1:1/0")
    result = CliRunner().invoke(build("doctor"), ["doctor", "--json"])
    assert result.exit_code == 1
    states = {item["check"]: item for item in json.loads(result.stdout)}
    for store in ("database", "redis"):
        mends(Finding(**states[store]), "wrong", f"LINLI_{store.upper()}_URL")


async def test_a_sound_installation_and_a_damaged_model(
    database: Database, settings: Settings
) -> None:
    found = by_check(await _stores(settings))
    assert {check: finding.state for check, finding in found.items()} == {
        "database": "ok",
        "clock": "ok",
        "migrations": "ok",
        "keys": "ok",
        "model": "warning",
        "redis": "ok",
        "proxies": "ok",
    }
    async with database.begin() as tx:
        await tx.session.execute(
            insert(ModelVersion).values(
                id=tx.new_id(),
                version="broken",
                role=ModelRole.CHAMPION,
                sha256=hashlib.sha256(b"whole").hexdigest(),
                artifact=b"half",
                manifest={},
                metrics={},
                trained_as_of=tx.now,
                created_at=tx.now,
            )
        )
    model = by_check(await _stores(settings))["model"]
    assert model.state == "wrong"
    assert "linli train" in model.mend


async def test_an_older_schema_is_told_with_the_command(
    database: Database, settings: Settings
) -> None:
    # The database is shared by this process's tests: it gets back exactly the number it had.
    async with database.engine.begin() as connection:
        had = await connection.scalar(text("SELECT version_num FROM alembic_version"))
        await connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    try:
        mends(by_check(await _stores(settings))["migrations"], "wrong", "Run `linli migrate`.")
        async with database.engine.begin() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        mends(by_check(await _stores(settings))["migrations"], "wrong", "older than the database")
    finally:
        async with database.engine.begin() as connection:
            await connection.execute(
                text("UPDATE alembic_version SET version_num = :had"), {"had": had}
            )
    assert by_check(await _stores(settings))["migrations"].state == "ok"


@pytest.mark.parametrize(("free", "state"), [(GIB // 2, "wrong"), (3 * GIB, "warning")])
def test_a_disk_that_fills_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, state: str
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100 * GIB, 0, free))
    monkeypatch.setenv("LINLI_DATA_DIR", str(tmp_path / "data"))
    mends(by_check(diagnose())["disk"], state, "GiB free at")


@pytest.mark.parametrize(("seconds", "said"), [(-5, "behind"), (5, "ahead of")])
async def test_a_clock_that_is_off(database: Database, seconds: int, said: str) -> None:
    def clock() -> datetime:
        return system_clock() + timedelta(seconds=seconds)

    mends(await look_at_clock(database, clock), "wrong", said)


@pytest.mark.parametrize(
    ("old", "new", "mend"),
    [
        ("/{name}?", "/nowhere?", "createdb"),
        ("//{user}", "//nobody", "pg_hba.conf"),
    ],
)
async def test_a_database_that_does_not_let_us_in(
    settings: Settings, old: str, new: str, mend: str
) -> None:
    url = settings.database_url or ""
    parts = urlsplit(url)
    given = {"name": parts.path.strip("/"), "user": parts.username or ""}
    wrong = url.replace(old.format(**given), new, 1)
    assert wrong != url, url
    found = by_check(await _stores(settings.model_copy(update={"database_url": wrong})))
    mends(found["database"], "wrong", mend)
    assert found["redis"].state == "ok"


async def test_a_database_that_takes_no_writes(settings: Settings, database: Database) -> None:
    name = urlsplit(settings.database_url or "").path.strip("/")
    setting = f'ALTER DATABASE "{name}" {{}} default_transaction_read_only'
    async with database.engine.begin() as connection:
        await connection.execute(text(f"{setting.format('SET')} = on"))
    try:
        mends(by_check(await _stores(settings))["database"], "wrong", "standby")
    finally:
        async with database.engine.begin() as connection:
            # It may be a connection that was made just now.
            await connection.execute(text("SET TRANSACTION READ WRITE"))
            await connection.execute(text(setting.format("RESET")))
    assert by_check(await _stores(settings))["database"].state == "ok"


async def test_a_redis_that_may_throw_jobs_away(settings: Settings, redis: Redis) -> None:
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        mends((await look_at_redis(settings))[0], "warning", "noeviction")
    finally:
        await redis.config_set("maxmemory-policy", "noeviction")


async def test_one_server_taken_for_a_cluster(settings: Settings, valkey: ValkeyServer) -> None:
    async with link(valkey.url) as line:
        url = line.url.replace("redis:", "redis+cluster:")
        found = (await look_at_redis(settings.model_copy(update={"redis_url": url})))[0]
    mends(found, "wrong", "Leave +cluster out")


async def test_balancers_that_nobody_named(settings: Settings, redis: Redis) -> None:
    await redis.hset(STRANGERS, "10.0.0.5", system_clock().isoformat())
    await redis.hset(STRANGERS, "10.0.0.6", (system_clock() - timedelta(days=2)).isoformat())
    found = by_check(await look_at_redis(settings))["proxies"]
    mends(found, "warning", "LINLI_TRUSTED_PROXIES")
    assert "10.0.0.5" in found.found
    assert "10.0.0.6" not in found.found
    named = settings.model_copy(update={"trusted_proxies": "10.0.0.0/8"})
    assert by_check(await look_at_redis(named))["proxies"].state == "ok"


def test_both_languages_are_shown_and_brackets_are_no_markup(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _show([Finding("redis", "wrong", "[Errno 111] refused", "Start it.", "请启动")])
    shown = capsys.readouterr().out
    assert "[Errno 111]" in shown
    assert "请启动" in shown
