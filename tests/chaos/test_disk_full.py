"""A full disk under PostgreSQL: writes are refused, reads go on, and room brings all back."""

import asyncio
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command

from cli.migrating import alembic_config
from tests.chaos.clients import Crowd
from tests.chaos.reckoning import Figures, told
from tests.chaos.rig import House, stores, until
from tests.chaos.scene import ADJUST, HOME, Scene, seed

DISK_MB = 420
MEGABYTE = 2**20
PATIENCE = 60
LEAKS = ("No space", "base/", "could not extend", "pg_wal")
LONG = "x" * 200


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
    async with stores(disk) as made:
        await asyncio.to_thread(command.upgrade, alembic_config(made.database_url), "head")
        house = House(made, made.database_url, tmp_path)
        try:
            await house.add_api(answer_cache_mb="0")
            await fill_and_make_room(house, disk / "ballast")
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
