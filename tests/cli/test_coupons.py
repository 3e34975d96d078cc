"""`linli coupons` as staff call it."""

import asyncio
import csv
import json
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from app import coupons, staff
from app.kernel.config import Settings
from app.kernel.db import Database
from cli.coupons import coupons_app
from schema.nodes import global_id
from tests.make import coupons as make

Call = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def call(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the command in a thread of its own, against the test's stores."""
    monkeypatch.setenv("LINLI_DATABASE_URL", settings.database_url or "")
    monkeypatch.setenv("LINLI_REDIS_URL", settings.redis_url or "")

    async def called(*arguments: str) -> tuple[int, str, str]:
        result = await asyncio.to_thread(CliRunner().invoke, coupons_app, list(arguments))
        return result.exit_code, result.stdout, result.stderr

    return called


async def test_ready_offers_are_made_once_and_stay_as_they_are(
    database: Database, call: Call
) -> None:
    code, out, _ = await call("seed", "--json")
    assert code == 0
    assert json.loads(out)["made"] == [offer.key for offer in coupons.READY_OFFERS]
    assert json.loads((await call("seed", "--json"))[1])["made"] == []
    async with database.read() as read:
        rows = list(await read.session.scalars(select(coupons.Template)))
    kinds = {str(row.ready_key).split(".")[0] for row in rows}
    assert kinds == {"newcomer", "low-frequency", "lapsed-high-value", "potential"}
    assert len(rows) == len(coupons.READY_OFFERS)


async def test_two_seeds_at_once_make_each_offer_once(database: Database) -> None:
    async def seed() -> list[str]:
        async with database.begin() as tx:
            return await coupons.ensure_offers(tx)

    made = await asyncio.gather(*(seed() for _ in range(10)))
    assert sorted(len(keys) for keys in made) == [0] * 9 + [len(coupons.READY_OFFERS)]


async def test_codes_go_to_a_new_file_for_its_owner_only_and_into_the_audit_log(
    database: Database, call: Call, tmp_path: Path
) -> None:
    async with database.begin() as tx:
        batch = await make.batch(tx, quantity=12_345, code_mode=coupons.CodeMode.BULK)
        await coupons.make_codes(tx, batch_id=batch.id)
    file = tmp_path / "codes.csv"
    code, _, _ = await call("codes", global_id("CouponBatch", batch.id), str(file))
    assert code == 0
    with file.open(encoding="utf-8", newline="") as source:
        rows = list(csv.reader(source))
    assert rows[0] == ["code", "taken_at"]
    assert len({row[0] for row in rows[1:]}) == 12_345
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again, _, told = await call("codes", str(batch.id), str(file))
    assert (again, "exists" in told) == (2, True)
    async with database.read() as read:
        [entry] = await staff.audit_page(read, first=5)
    assert (entry.action, entry.given["codes"]) == ("exportCouponCodes", 12_345)


@pytest.mark.parametrize("name", ["nonsense", "0198c0de-0000-7000-8000-00000000dead"])
async def test_an_unknown_batch_leaves_no_file(
    database: Database, call: Call, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "codes.csv"
    assert (await call("codes", name, str(file)))[0] == 2
    assert not file.exists()
