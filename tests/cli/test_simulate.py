"""A world in the database: complete, once, continued as if it had never stopped."""

import asyncio
import json
import os
import signal
import sys
from base64 import b64encode
from datetime import timedelta

import pytest
from sqlalchemy import text

from app import coupons, members, simulated
from app.kernel.config import Settings
from app.kernel.crypto import Vault
from app.kernel.db import Database
from cli.simulate import full_hour, wanted_world
from cli.simulating import simulate_into
from cli.simulating.ids import Ids
from tests.cli.worlds import AS_OF, SMALL, counted, digest, emptied, expected, world_of

SECRETS = ("LINLI_TOKEN_KEYS", "LINLI_CRYPTO_KEYS", "LINLI_INDEX_KEY")
MIDDLE = AS_OF - timedelta(days=31, hours=5)

KILLED = """
import asyncio, os, signal, sys
from datetime import datetime
from app import simulated
from app.kernel.config import Settings
from app.kernel.db import Database
from cli.simulating import simulate_into
url, seed, members, months, start, until = sys.argv[1:]
async def main():
    wanted = simulated.World(int(seed), int(members), float(months), datetime.fromisoformat(start))
    told = []
    def report(share):
        told.append(share)
        if len(told) == 2:
            # In the middle of the way, without any goodbye.
            os.kill(os.getpid(), signal.SIGKILL)
    settings = Settings(_env_file=None, env="test", database_url=url)
    await simulate_into(Database(url), settings, wanted=wanted,
                        until=datetime.fromisoformat(until), report=report)
asyncio.run(main())
"""


async def test_every_fact_of_the_world_is_stored_once(
    database: Database, settings: Settings
) -> None:
    loaded = await simulate_into(database, settings, wanted=SMALL, until=AS_OF)
    rows = expected(SMALL, AS_OF)
    assert loaded.rows == rows
    stored = await counted(database)
    assert stored["community"] == rows["communities"]
    assert stored["member"] == rows["members"] == 120
    assert stored["identity"] == 2 * rows["members"]
    assert stored["leader"] == rows["leaders"]
    assert stored["member_order"] == rows["orders"] > 100
    assert stored["order_line"] == rows["order_lines"]
    assert stored["refund"] == rows["refunds"] > 0
    assert stored["activity"] == rows["events"]
    assert stored["coupon"] == stored["coupon_redemption"] == rows["coupon_uses"] > 0


async def test_orders_say_what_the_world_says_of_them(
    database: Database, settings: Settings
) -> None:
    await simulate_into(database, settings, wanted=SMALL, until=AS_OF)
    told: dict[str, tuple[object, ...]] = {}
    back: dict[str, int] = {}
    for block in world_of(SMALL).blocks(AS_OF):
        if len(block.orders):
            names = list(block.orders.columns)
            for row in block.orders.rows():
                order = dict(zip(names, row, strict=True))
                told[str(order["order_no"])] = (
                    *(order["status"], order["paid_at"], order["settled_at"]),
                    *(order["paid_fen"], order["discount_fen"], order["is_late"]),
                )
        if len(block.refunds):
            names = list(block.refunds.columns)
            for row in block.refunds.rows():
                refund = dict(zip(names, row, strict=True))
                key, fen = str(refund["order_no"]), refund["amount_fen"]
                assert isinstance(fen, int)
                back[key] = back.get(key, 0) + fen
    async with database.read() as read:
        stored = await read.session.execute(
            text(
                "SELECT order_no, status, paid_at, settled_at, total_fen, discount_fen, late,"
                " refunded_fen FROM member_order"
            )
        )
        found = {row[0]: tuple(row[1:]) for row in stored}
        lines = await read.session.scalar(
            text(
                "SELECT count(*) FROM member_order o WHERE total_fen <> (SELECT sum(paid_fen) FROM"
                " order_line l WHERE l.member_id = o.member_id AND l.order_id = o.id)"
                " OR refunded_fen <> (SELECT sum(refunded_fen) FROM order_line l"
                " WHERE l.member_id = o.member_id AND l.order_id = o.id)"
            )
        )
    assert found == {key: (*row, back.get(key, 0)) for key, row in told.items()}
    assert lines == 0


async def test_members_are_found_by_openid_and_phone_and_nothing_is_announced(
    database: Database, settings: Settings, vault: Vault
) -> None:
    await simulate_into(database, settings, wanted=SMALL, until=AS_OF)
    seventh = Ids(world_of(SMALL)).members[7]
    async with database.begin() as tx:
        found = await members.recognise(
            tx,
            vault=vault,
            kind=members.IdentityKind.WECHAT_OPENID,
            app=settings.wechat_app_id,
            value="sim-5-7",
            nickname="nobody new",
        )
        assert found.id == seventh
        assert found.phone_verified_at is not None
        by_phone = await members.sign_in_by_phone(tx, vault=vault, phone="+8610000000007")
        assert by_phone.id == seventh
    async with database.read() as read:
        assert await read.session.scalar(text("SELECT count(*) FROM outbox")) == 0
        budgets = await read.session.execute(
            text("SELECT state, granted, redeemed, spent_fen FROM coupon_batch")
        )
        spent = await read.session.scalar(text("SELECT sum(discount_fen) FROM coupon_redemption"))
    rows = budgets.all()
    assert {row.state for row in rows} == {coupons.BatchState.ENDED.value}
    assert all(row.granted == row.redeemed for row in rows)
    assert sum(row.spent_fen for row in rows) == spent


async def test_a_continued_world_is_the_same_as_one_lived_at_once(
    database: Database, settings: Settings
) -> None:
    await simulate_into(database, settings, wanted=SMALL, until=AS_OF)
    at_once = await digest(database)
    await emptied(database)
    first = await simulate_into(database, settings, wanted=SMALL, until=MIDDLE)
    assert first.rows == expected(SMALL, MIDDLE)
    assert await digest(database) != at_once
    second = await simulate_into(database, settings, wanted=SMALL, until=AS_OF)
    assert second.rows["orders"] == expected(SMALL, AS_OF)["orders"] - first.rows["orders"]
    assert second.rows["order_updates"] > 0
    assert await digest(database) == at_once


async def test_the_same_again_adds_nothing(database: Database, settings: Settings) -> None:
    await simulate_into(database, settings, wanted=SMALL, until=AS_OF)
    before = await digest(database)
    again = await simulate_into(database, settings, wanted=SMALL, until=AS_OF)
    assert again.rows.total() == 0
    assert await digest(database) == before


async def test_a_killed_run_ends_in_the_same_state(database: Database, settings: Settings) -> None:
    await simulate_into(database, settings, wanted=SMALL, until=AS_OF)
    at_once = await digest(database)
    await emptied(database)
    given = (
        *(settings.database_url or "", str(SMALL.seed), str(SMALL.members), str(SMALL.months)),
        *(SMALL.start.isoformat(), MIDDLE.isoformat()),
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, *given)
    assert await asyncio.wait_for(process.wait(), 180) == -signal.SIGKILL
    half = await counted(database)
    assert 0 < half["member_order"] < expected(SMALL, MIDDLE)["orders"]
    # It is asked for more now: the interrupted stretch is brought to its end first.
    await simulate_into(database, settings, wanted=SMALL, until=AS_OF)
    assert await digest(database) == at_once


@pytest.mark.parametrize("other", ["seed", "members", "months"])
async def test_another_world_is_refused(database: Database, settings: Settings, other: str) -> None:
    await simulate_into(database, settings, wanted=SMALL, until=MIDDLE)
    before = await digest(database)
    given = {"seed": SMALL.seed, "members": SMALL.members, "months": SMALL.months}
    wanted = simulated.World(**{**given, other: given[other] + 1}, start=SMALL.start)
    with pytest.raises(simulated.WorldDiffers, match="--members 120 --months 3 --seed 5"):
        await simulate_into(database, settings, wanted=wanted, until=AS_OF)
    assert await digest(database) == before


async def test_a_world_does_not_go_back(database: Database, settings: Settings) -> None:
    await simulate_into(database, settings, wanted=SMALL, until=AS_OF)
    with pytest.raises(simulated.WorldAhead, match="2026-11-20"):
        await simulate_into(database, settings, wanted=SMALL, until=MIDDLE)


async def test_who_stores_out_of_turn_is_refused(database: Database) -> None:
    async with database.begin() as tx:
        await simulated.open_world(tx, wanted=SMALL)
        leg = await simulated.begin_leg(tx, until=AS_OF)
    assert leg is not None
    async with database.begin() as tx:
        await simulated.take_turn(tx, leg=leg, number=0)
    with pytest.raises(simulated.WorldBusy):
        async with database.begin() as tx:
            await simulated.take_turn(tx, leg=leg, number=0)


async def test_a_name_that_was_taken_before_the_world_stays_with_its_owner(
    database: Database, settings: Settings, vault: Vault
) -> None:
    openid = members.IdentityKind.WECHAT_OPENID
    given = {"vault": vault, "kind": openid, "app": settings.wechat_app_id, "value": "sim-5-7"}
    async with database.begin() as tx:
        home = await members.create_community(tx, name=world_of(SMALL).places.names[0])
        early = await members.recognise(tx, **given, nickname="先来的", community_id=home.id)
    await simulate_into(database, settings, wanted=SMALL, until=AS_OF)
    async with database.begin() as tx:
        found = await members.recognise(tx, **given, nickname="nobody new")
    assert found.id == early.id
    stored = await counted(database)
    assert stored["community"] == expected(SMALL, AS_OF)["communities"]
    assert stored["member"] == SMALL.members + 1


def test_what_is_not_given_is_as_in_the_world_there_is() -> None:
    assert wanted_world(SMALL, (None, None, None), AS_OF) == SMALL
    assert wanted_world(SMALL, (7, None, None), AS_OF).members == 7
    fresh = wanted_world(None, (None, 2.0, 9), AS_OF)
    assert (fresh.seed, fresh.members, fresh.months) == (9, 1_500, 2.0)
    assert AS_OF - fresh.start == timedelta(days=60.875)


def test_now_is_the_full_hour_before_and_a_given_instant_itself() -> None:
    late = AS_OF + timedelta(minutes=59, seconds=7)
    assert full_hour(late) == AS_OF
    assert full_hour(late, given="2026-11-20T03:59:07+00:00") == late


async def test_the_command_answers_in_json_and_refuses_plainly(
    database: Database, settings: Settings
) -> None:
    first = await _command(settings, "--members", "60", "--months", "1", "--json")
    assert first[0] == 0
    answer = json.loads(first[1])
    assert answer["members"] == 60
    assert answer["stored"]["members"] == (await counted(database))["member"] > 0
    again = await _command(settings, "--as-of", answer["reached"], "--json")
    assert again[0] == 0
    assert sum(json.loads(again[1])["stored"].values()) == 0
    other = await _command(settings, "--members", "61")
    assert other[0] == 1
    assert "--members 60 --months 1 --seed 1" in " ".join(other[2].split())
    keys = {name: f"own:{b64encode(bytes(range(32))).decode()}" for name in SECRETS}
    secret = {"LINLI_WECHAT_APP_ID": "wx1", "LINLI_WECHAT_SECRET": "own", "LINLI_ENV": "production"}
    inside = await _command(settings, **keys, **secret)
    assert inside[0] == 1
    assert "LINLI_ENV=production" in inside[2]


async def _command(
    settings: Settings, *words: str, **environment: str
) -> tuple[int | None, str, str]:
    code = "import typer; from cli.simulate import simulate; typer.run(simulate)"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, *words),
        env={
            **os.environ,
            "LINLI_DATABASE_URL": settings.database_url or "",
            "LINLI_REDIS_URL": settings.redis_url or "",
            "COLUMNS": "200",
            **environment,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await asyncio.wait_for(process.communicate(), 180)
    return process.returncode, said.decode(), complained.decode()
