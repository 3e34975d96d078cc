"""The doctor: says what is wrong and how to mend it, and sets nothing up itself."""

import hashlib
import json
from pathlib import Path

import pytest
from sqlalchemy import insert, text
from typer.testing import CliRunner

from app.churn import ModelRole, ModelVersion
from app.kernel.config import Settings
from app.kernel.db import Database
from cli.doctor import Finding, _stores, diagnose
from cli.main import build


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in [n for n in os.environ if n.startswith("LINLI_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


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
    assert states["database"]["state"] == states["redis"]["state"] == "wrong"
    assert "LINLI_DATABASE_URL" in states["database"]["mend"]


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
        found = by_check(await _stores(settings))["migrations"]
        assert found.state == "wrong"
        assert "linli migrate" in found.mend
    finally:
        async with database.engine.begin() as connection:
            await connection.execute(
                text("UPDATE alembic_version SET version_num = :had"), {"had": had}
            )
    assert by_check(await _stores(settings))["migrations"].state == "ok"
