"""A full disk under PostgreSQL: writes are refused, reads go on, and room brings all back."""

import asyncio
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from alembic import command

from app.kernel.embedded import start_postgres
from cli.migrating import alembic_config
from tests.chaos.clients import NOT_NOW, Crowd
from tests.chaos.reckoning import Figures, told
from tests.chaos.rig import House, stores, until
from tests.chaos.scene import ADJUST, CLAIM, HOME, Scene, seed

DISK_MB = 420
MEGABYTE = 2**20
PATIENCE = 60
LEAKS = ("No space", "base/", "could not extend", "pg_wal")
LONG = "x" * 200
PEOPLE, STOCK = 30, 20
REFUSALS = 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own; skips where none may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = f"size={DISK_MB}m,mode=755"
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can only be mounted by root, where mounting is allowed")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(ballast: Path) -> None:
    """Take every free byte."""
    with ballast.open("wb", buffering=0) as file:
        for size in (MEGABYTE, 4096):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


async def give(crowd: Crowd, scene: Scene, number: int) -> str:
    """Staff give a point once; answers what came of it, in which nothing of ours may be told."""
    given = {"member": scene.member(0), "amount": 1, "key": f"gift-{number}", "reason": LONG}
    reply = await crowd.once(ADJUST, given, scene.boss)
    assert not any(leak in repr(reply) for leak in LEAKS), reply
    return reply.code


async def until_refused(crowd: Crowd, scene: Scene) -> int:
    """Write until there is no room; answers the number that was refused."""
    ends = time.monotonic() + PATIENCE
    number = 0
    while await give(crowd, scene, number) == "OK":
        assert time.monotonic() < ends, "the disk does not get full"
        number += 1
    return number


async def test_a_full_disk(disk: Path, tmp_path: Path) -> None:
    async with standing(disk, tmp_path) as house:
        await fill_and_make_room(house, disk / "ballast")


@asynccontextmanager
async def standing(place: Path, folder: Path) -> AsyncGenerator[House]:
    """An API on stores in a place."""
    async with stores(place) as made:
        await asyncio.to_thread(command.upgrade, alembic_config(made.database_url), "head")
        house = House(made, made.database_url, folder)
        try:
            await house.add_api(answer_cache_mb="0")
            yield house
        finally:
            await house.end()


async def fill_and_make_room(house: House, ballast: Path) -> None:
    """The test itself."""
    scene = await seed(house.database_url, people=4)
    async with Crowd(house.urls) as crowd:
        assert await give(crowd, scene, -1) == "OK"
        fill(ballast)
        refused = await until_refused(crowd, scene)
        reads = Counter([(await crowd.once(HOME, {}, scene.tokens[1])).code for _ in range(20)])
        writes = Counter([await give(crowd, scene, refused) for _ in range(5)])
        await asyncio.to_thread(ballast.unlink)

        async def gives() -> bool:
            return await give(crowd, scene, refused) == "OK"

        recovered = await until(gives, "there is room again")
        assert await give(crowd, scene, refused) == "OK"
        held = await house.value(
            "SELECT count(*) FROM points_entry WHERE member_id = $1", scene.members[0]
        )
        given = refused + 2
        figures = Figures(
            "disk full under PostgreSQL",
            requests=crowd.requests,
            again=crowd.again,
            faults=1,
            recovered=[recovered],
            lost=["point"] * max(0, given - held),
            doubled=["point"] * max(0, held - given),
            more={"reads": told(reads), "writes": told(writes)},
        )
    figures.show()
    figures.require_whole()
    assert reads == {"OK": 20}
    assert "OK" not in writes


def move_wal(place: Path, disk: Path) -> None:
    """Put the log of a fresh cluster on a disk of its own, as installations do."""
    start_postgres(place).stop()
    (wal,) = place.glob("**/pg_wal")
    shutil.copytree(wal, disk / "wal")
    (disk / "wal").chmod(0o700)
    stat = wal.stat()
    for path in (disk / "wal", *(disk / "wal").rglob("*")):
        os.chown(path, stat.st_uid, stat.st_gid)
    disk.chmod(0o755)
    shutil.rmtree(wal)
    wal.symlink_to(disk / "wal")


async def use_up(url: str) -> None:
    """Write log that nobody needs until PostgreSQL gives up."""
    ends = time.monotonic() + PATIENCE
    query = "SELECT pg_logical_emit_message(false, 'ballast', repeat('x', 1000000))"
    connection = await asyncpg.connect(url, timeout=PATIENCE)
    try:
        while time.monotonic() < ends:
            await connection.execute(query)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return
    finally:
        connection.terminate()
    raise AssertionError("the disk of the log does not get full")


async def test_a_full_disk_of_the_log(disk: Path, tmp_path: Path) -> None:
    """PostgreSQL panics in the midst of claims and gifts, and does not start until there is room.

    Each is asked for again under its key, and comes true once.
    """
    place = tmp_path / "stores"
    place.mkdir()
    await asyncio.to_thread(move_wal, place, disk)
    async with standing(place, tmp_path) as house:
        scene = await seed(house.database_url, people=PEOPLE, stock=STOCK)
        async with Crowd(house.urls) as crowd:
            fill(disk / "ballast")
            first, second = range(0, PEOPLE, 2), range(1, PEOPLE, 2)
            asked = [asyncio.create_task(want(crowd, scene, number)) for number in first]
            await use_up(house.database_url)
            asked += [asyncio.create_task(want(crowd, scene, number)) for number in second]

            async def refused() -> bool:
                return crowd.codes["UNAVAILABLE"] >= REFUSALS

            await until(refused, "claims are refused")
            meanwhile = crowd.codes.copy()
            await asyncio.to_thread((disk / "ballast").unlink)
            begun = time.monotonic()
            answers = Counter([answer for both in await asyncio.gather(*asked) for answer in both])
            recovered = time.monotonic() - begun
        figures = await counted(house, scene, answers)
        figures.requests, figures.again = crowd.requests, crowd.again
        figures.recovered = [recovered]
        figures.more = {"meanwhile": told(meanwhile)}
    figures.show()
    figures.require_whole()
    assert answers["ClaimDropSuccess"] == STOCK
    assert set(meanwhile) <= {"OK", *NOT_NOW, "NO_ANSWER"}
    assert "INTERNAL" not in meanwhile


async def want(crowd: Crowd, scene: Scene, number: int) -> tuple[str, str]:
    """A member claims, and is given a point by staff; what came of both in the end."""
    claim = {"drop": scene.drop_id, "key": f"claim-{number}"}
    gift = {"member": scene.member(number), "amount": 1, "key": f"gift-{number}"}
    answers = await asyncio.gather(
        crowd.ask(CLAIM, claim, scene.tokens[number]), crowd.ask(ADJUST, gift, scene.boss)
    )
    return answers[0]["claimDrop"]["__typename"], answers[1]["adjustPoints"]["__typename"]


async def counted(house: House, scene: Scene, answers: Counter[str]) -> Figures:
    """What is in the database against what was answered."""
    coupons = await house.value("SELECT count(*) FROM coupon")
    given = await house.value("SELECT count(*) FROM points_entry WHERE amount = 1")
    claimed, gifts = answers["ClaimDropSuccess"], answers["AdjustPointsSuccess"]
    return Figures(
        "disk full under PostgreSQL's log",
        faults=1,
        lost=["coupon"] * max(0, claimed - coupons) + ["point"] * max(0, gifts - given),
        doubled=["coupon"] * max(0, coupons - claimed) + ["point"] * max(0, given - gifts),
    )
