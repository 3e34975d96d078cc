"""Models that are damaged, unknown or do not load: scores stay, staff are told, the night ends."""

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from app import churn, staff
from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.table import Json
from ml.opening import known_features
from tests.conftest import TestClock
from tests.make.shops import shop
from workers.churn import score_night
from workers.jobs import Work
from workers.models import usable_model
from workers.training import train_model

ZONE = "Asia/Shanghai"
ROOT = Path(__file__).parents[2]
# Training takes seconds, so that the tests share what the first of them trained.
_TRAINED: dict[str, Any] = {}


async def trained(database: Database) -> Json:
    if not _TRAINED:
        async with database.begin() as tx:
            now = tx.now
        await train_model(database, as_of=now, zone=ZONE)
        async with database.read() as read:
            row = await churn.load_champion(read)
        _TRAINED.update(
            manifest=row.manifest, metrics=row.metrics, artifact=row.artifact, version=row.version
        )
        async with database.begin() as tx:
            await tx.session.execute(text("DELETE FROM model_version"))
    return _TRAINED


async def register(
    database: Database, version: str, *, manifest: Json | None = None, rival: str | None = None
) -> churn.ModelVersion:
    """The trained model under another name; beside a rival it has won."""
    known = await trained(database)
    gain = {"mean": 0.2, "low": 0.1, "high": 0.3}
    won = {"rival": rival, "windows": [{"members": 99}], "gain": {"brier": gain, "roc_auc": gain}}
    async with database.begin() as tx:
        return await churn.register_model(
            tx,
            version=version,
            trained_as_of=tx.now,
            manifest=known["manifest"] if manifest is None else manifest,
            metrics=known["metrics"],
            artifact=known["artifact"],
            evidence=won if rival else None,
        )


async def night(database: Database, settings: Settings, clock: TestClock) -> None:
    due = {"plan": "churn scores", "due_at": clock.now.isoformat()}
    await score_night.body(Work(database, settings), **due)


async def run(database: Database, sql: str) -> None:
    async with database.begin() as tx:
        await tx.session.execute(text(sql))


async def rows(database: Database, sql: str) -> list[Any]:
    async with database.read() as read:
        return [tuple(row) for row in await read.session.execute(text(sql))]


SCORED = """
    SELECT s.as_of, m.version, count(*) FROM churn_score s JOIN model_version m ON m.id = s.model_id
    GROUP BY 1, 2 ORDER BY 1 DESC LIMIT 1
"""
ROLES = "SELECT version, role FROM model_version ORDER BY version"


async def told(database: Database) -> list[tuple[str, str]]:
    async with database.read() as read:
        return [(row.kind, row.subject) for row in await staff.notices_page(read, first=50)]


BREAK = {
    "flipped": "UPDATE model_version SET artifact = set_byte(artifact, 900, 255 - "
    "get_byte(artifact, 900)) WHERE version = 'new'",
    "cut": "UPDATE model_version SET artifact = substr(artifact, 1, 5000) WHERE version = 'new'",
    "foreign": "UPDATE model_version SET artifact = 'x', sha256 = encode(sha256('x'), 'hex')"
    " WHERE version = 'new'",
    "manifest": "UPDATE model_version SET manifest = '{\"format\": \"??\"}' WHERE version = 'new'",
}


@pytest.mark.parametrize("how", BREAK)
async def test_the_last_good_model_takes_the_place_of_a_damaged_one(
    database: Database, clock: TestClock, settings: Settings, how: str
) -> None:
    await shop(database)
    await register(database, "old")
    await register(database, "new", rival="old")
    await run(database, BREAK[how])
    await night(database, settings, clock)
    ((as_of, version, number),) = await rows(database, SCORED)
    assert (as_of, version) == (clock.now, "old")
    assert number > 200
    assert await rows(database, ROLES) == [("new", "RETIRED"), ("old", "CHAMPION")]
    assert await told(database) == [("churn.model_unusable", "new")]
    clock.advance(days=1)
    await night(database, settings, clock)
    assert len(await told(database)) == 1, "staff are told once"
    ((as_of, version, _),) = await rows(database, SCORED)
    assert (as_of, version) == (clock.now, "old")


async def test_without_a_good_model_the_scores_stay_and_the_next_night_trains(
    database: Database, clock: TestClock, settings: Settings
) -> None:
    await shop(database)
    await register(database, "old")
    await register(database, "new", rival="old")
    await night(database, settings, clock)
    before = await rows(database, SCORED)
    await run(database, "UPDATE model_version SET artifact = 'broken'")
    first = clock.now
    clock.advance(days=1)
    await night(database, settings, clock)
    assert await rows(database, SCORED) == before
    assert before[0][:2] == (first, "new")
    assert sorted(await told(database)) == [
        ("churn.model_unusable", "new"),
        ("churn.model_unusable", "old"),
    ]
    clock.advance(days=1)
    await night(database, settings, clock)
    ((as_of, version, _),) = await rows(database, SCORED)
    assert as_of == clock.now
    assert version not in {"old", "new"}


def other(manifest: Json, **changes: Any) -> Json:
    return manifest | changes


async def test_a_model_of_a_newer_program_is_left_in_its_place(
    database: Database, clock: TestClock, settings: Settings
) -> None:
    await shop(database)
    known = (await trained(database))["manifest"]
    await register(database, "old")
    await register(database, "new", manifest=other(known, format=99), rival="old")
    await night(database, settings, clock)
    assert await rows(database, ROLES) == [("new", "CHAMPION"), ("old", "RETIRED")]
    ((_, version, _),) = await rows(database, SCORED)
    assert version == "old", "it scores meanwhile"
    ((why,),) = await rows(
        database, "SELECT unusable_why FROM model_version WHERE unusable_why IS NOT NULL"
    )
    assert "format 99" in why


async def test_absurd_manifests_and_references_do_no_harm(
    database: Database, clock: TestClock, settings: Settings
) -> None:
    await shop(database)
    known = (await trained(database))["manifest"]
    good = await register(database, "a")
    (old,) = await rows(database, "SELECT manifest_sha256 FROM model_version")
    assert old[0] == churn.manifest_hash(good.manifest)
    for version, absurd in (
        ("empty", {}),
        ("features", other(known, features=["recency", "horoscope"])),
        ("parts", other(known, sha256={})),
    ):
        await register(database, version, manifest=absurd, rival="a")
        clock.advance(hours=1)
        opened = await usable_model(database, zone=ZONE)
        assert opened.row.version == "a", version
    await run(database, "DELETE FROM model_version")
    await register(database, "b", manifest=other(known, reference={"score": "often"}))
    await night(database, settings, clock)
    assert (await rows(database, SCORED))[0][1] == "b"
    assert await rows(database, "SELECT score_psi, members > 200 FROM churn_night") == [
        (None, True)
    ]


async def test_drift_is_nothing_on_the_day_of_training(
    database: Database, clock: TestClock, settings: Settings
) -> None:
    await shop(database)
    await register(database, "a")
    await night(database, settings, clock)
    (found,) = await rows(
        database, "SELECT score_psi, score_psi_noise, feature_psi, members FROM churn_night"
    )
    assert abs(found[0]) < 1e-9
    assert found[1] > 0
    assert set(found[2]) <= known_features()
    assert max(map(abs, found[2].values())) < 1e-9
    assert await told(database) == []


async def test_an_xgboost_that_does_not_load_stops_nothing(
    database: Database, clock: TestClock, settings: Settings, tmp_path: Path
) -> None:
    await shop(database)
    await register(database, "a")
    await night(database, settings, clock)
    before = await rows(database, SCORED)
    broken = tmp_path / "xgboost"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise OSError('libgomp.so.1: cannot open shared object')")
    due = clock.now + timedelta(days=30)  # the model is old as well: training is tried
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _NIGHT,
        settings.database_url or "",
        due.isoformat(),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 300)
    assert process.returncode == 0, said.decode()
    assert await rows(database, SCORED) == before
    found = sorted(await told(database))
    assert [kind for kind, _ in found] == ["churn.model_unusable", "churn.models_failed"]
    ((why,),) = await rows(
        database, "SELECT facts->>'why' FROM staff_notice WHERE kind = 'churn.models_failed'"
    )
    assert "libgomp" in why
    clock.now = due + timedelta(days=1)
    await night(database, settings, clock)  # here it loads, and all is well again
    ((as_of, version, _),) = await rows(database, SCORED)
    assert (as_of, version) == (clock.now, "a")
    found = await rows(
        database, "SELECT role, unusable_since FROM model_version WHERE version = 'a'"
    )
    assert found == [("CHAMPION", None)]


_NIGHT = """
import asyncio, sys
from datetime import datetime
from app.kernel.config import Settings
from app.kernel.db import Database
from workers.churn import score_night
from workers.jobs import Work

async def main(url, due):
    at = datetime.fromisoformat(due)
    database = Database(url, clock=lambda: at)
    settings = Settings(_env_file=None, env="test", database_url=url, redis_url="redis://nowhere")
    await score_night.body(Work(database, settings), plan="churn scores", due_at=due)
    await database.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_new_model_brings_evidence_beside_an_old_one(
    database: Database, clock: TestClock
) -> None:
    await shop(database)
    old = await train_model(database, as_of=clock.now - timedelta(days=90), zone=ZONE)
    assert old.role is churn.ModelRole.CHAMPION
    assert old.evidence is None
    young = await train_model(database, as_of=clock.now - timedelta(days=60), zone=ZONE)
    assert young.role is churn.ModelRole.CHALLENGER
    assert young.evidence is None, "no window has closed that the first had not learned from"
    new = await train_model(database, as_of=clock.now, zone=ZONE)
    assert new.evidence is not None
    assert new.evidence["rival"] == old.version
    cutoffs = [window["cutoff"] for window in new.evidence["windows"]]
    assert len(cutoffs) == 4
    assert max(cutoffs) == (clock.now - timedelta(days=45)).isoformat()
    assert (new.role is churn.ModelRole.CHAMPION) == churn.wins(new.evidence)
    again = await train_model(database, as_of=clock.now, zone=ZONE)
    assert again == new
