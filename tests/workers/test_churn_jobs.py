"""From orders in the database to a model, scores, alerts and their reasons."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text

from app import churn, staff
from app.kernel.config import Settings
from app.kernel.db import Database
from ml.errors import TooLittleHistory
from tests.conftest import TestClock
from tests.make.shops import shop
from workers.churn import score_members, score_night
from workers.jobs import Work
from workers.training import train_model

ZONE = "Asia/Shanghai"


async def scores(database: Database) -> dict[UUID, float]:
    async with database.read() as read:
        rows = await read.session.execute(text("SELECT member_id, probability FROM churn_score"))
        return {row.member_id: row.probability for row in rows}


async def test_orders_become_a_model_scores_and_alerts_with_reasons(
    database: Database, clock: TestClock
) -> None:
    await shop(database)
    steps: list[tuple[int, int]] = []
    trained = await train_model(
        database,
        as_of=clock.now,
        zone=ZONE,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert trained.role is churn.ModelRole.CHAMPION
    assert trained.members == 300
    assert steps[-1][0] == steps[-1][1]
    again = await train_model(database, as_of=clock.now, zone=ZONE)
    assert again == trained, "the same facts give the same model, which is stored once"
    scored = await score_members(database, as_of=clock.now, zone=ZONE)
    found = await scores(database)
    assert scored.stored.stored == len(found) > 200
    async with database.read() as read:
        last = await read.session.execute(
            text("SELECT member_id, max(paid_at) AS at FROM member_order GROUP BY 1")
        )
        silent = {row.member_id for row in last if row.at < clock.now - timedelta(days=60)}
        alerts = await churn.alerts_page(read, state=None, after=None, first=10)
    gone = [found[key] for key in found if key in silent]
    there = [found[key] for key in found if key not in silent]
    assert sum(gone) / len(gone) > sum(there) / len(there) + 0.3
    async with database.read() as read:
        rows = await churn.score_by_member(read, list(found))
    days = {key: row.next_order_days or 0.0 for key, row in rows.items()}
    assert all(0.5 <= value <= 1_825 for value in days.values())
    late, soon = (
        [days[key] for key in found if (key in silent) == is_late] for is_late in (True, False)
    )
    assert sum(late) / len(late) > 2 * sum(soon) / len(soon)
    assert scored.stored.raised >= len(alerts[:10]) > 0
    assert alerts[0].reasons[0]["zh"]
    assert alerts[0].reasons[0]["en"]
    repeated = await score_members(database, as_of=clock.now, zone=ZONE)
    assert repeated.stored == churn.Stored(ignored=len(found)), "a repeated run changes nothing"
    later = await score_members(database, as_of=clock.now + timedelta(days=700), zone=ZONE)
    assert later.stored == churn.Stored(), "nobody has ordered lately"


async def test_without_history_nothing_is_trained_and_nothing_stops(
    database: Database, clock: TestClock, settings: Settings
) -> None:
    with pytest.raises(TooLittleHistory):
        await train_model(database, as_of=clock.now, zone=ZONE)
    with pytest.raises(churn.NoModel):
        await score_members(database, as_of=clock.now, zone=ZONE)
    await score_night.body(
        Work(database, settings), plan="churn scores", due_at=clock.now.isoformat()
    )


async def test_a_damaged_model_leaves_the_earlier_scores(
    database: Database, clock: TestClock, settings: Settings
) -> None:
    await shop(database)
    night = {"plan": "churn scores", "due_at": clock.now.isoformat()}
    await score_night.body(Work(database, settings), **night)
    before = await scores(database)
    assert before, "the first night trains by itself"
    async with database.begin() as tx:
        await tx.session.execute(text("UPDATE model_version SET artifact = substr(artifact, 9)"))
    clock.advance(days=1)
    night["due_at"] = clock.now.isoformat()
    await score_night.body(Work(database, settings), **night)
    assert await scores(database) == before


@pytest.mark.parametrize("fault", ["cut", "garbled", "another's", "a folder"])
async def test_a_kept_file_that_is_of_no_use_never_breaks_the_night(
    database: Database, clock: TestClock, settings: Settings, tmp_path: Path, fault: str
) -> None:
    settings = settings.model_copy(update={"data_dir": tmp_path})
    await shop(database)
    kept = settings.data_dir / "churn" / "orders"

    async def night() -> dict[UUID, float]:
        due = {"plan": "churn scores", "due_at": clock.now.isoformat()}
        await score_night.body(Work(database, settings), **due)
        return await scores(database)

    await night()
    whole = kept.read_bytes()
    assert len(whole) > 1_000, "a night keeps what it has read"
    if fault == "cut":
        kept.write_bytes(whole[: len(whole) // 2])
    elif fault == "garbled":
        kept.write_bytes(whole[:500] + bytes(500) + whole[1_000:])
    elif fault == "another's":
        kept.write_bytes(b"PK\x03\x04 something that another program has put here")
    else:
        kept.unlink()
        kept.mkdir()
    clock.advance(days=1)
    found = await night()
    async with database.read() as read:
        nights = await churn.nights(read, first=9)
    assert [one.as_of for one in nights] == [clock.now, clock.now - timedelta(days=1)]
    # A night that reads everything says the same to the bit.
    async with database.begin() as tx:
        await tx.session.execute(text("DELETE FROM churn_score"))
    await score_members(database, as_of=clock.now, zone=ZONE)
    anew = await scores(database)
    assert len(anew) == nights[0].members > 200
    assert anew == {key: found[key] for key in anew}
    async with database.read() as read:
        notices = await staff.notices_page(read, first=9)
    assert not [row for row in notices if row.kind == "churn.models_failed"]
