"""An import that was killed goes on where it was, and ends as if nothing had happened."""

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

import pytest

from app.kernel.crypto import Vault
from app.kernel.db import Database
from app.kernel.embedded import PostgresServer, ValkeyServer
from app.orders import ImportUnderWay
from app.orders.importing import merging, only_import_of
from cli.importing import files
from tests.make.importing import RETAIL, csv, load, rows, state

Report = tuple[str, int, int | None]


def history(path: Path, lines: int, seed: int = 7, customers: int = 40) -> Path:
    """Orders of few customers and articles with returns, some bad rows, and orders in pieces."""
    draw = random.Random(seed)
    made: list[str] = []
    for number in range(lines):
        order = number // 3 + draw.choice([0, 0, 0, 40])
        day, minute = 1 + order * 20 // lines, order % 60
        sku, quantity = f"S{draw.randrange(8)}", draw.randrange(1, 4)
        back = draw.random() < 0.15
        customer = order % customers if draw.random() < 0.95 else ""
        made.append(
            f"{'C' if back else ''}{order},{sku},thing,{-quantity if back else quantity},"
            f"2011-05-{day:02} 10:{minute:02},1.25,{customer},Norway"
        )
    return csv(path, *made, header=RETAIL)


class Crash(BaseException):
    """The process ends here."""


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces and steps so small that a test's file has several of each."""
    monkeypatch.setattr(merging, "ROWS_A_STEP", 500)
    monkeypatch.setattr(files, "_BLOCK", 16_384)


async def uninterrupted(database: Database, vault: Vault, path: Path) -> tuple[object, bytes]:
    """The state and the rejects of an import that nothing disturbs; the tables are empty again."""
    await load(database, vault, path, preset="online-retail")
    there = await state(database)
    rejects = path.with_name(path.name + ".rejects.csv")
    content = rejects.read_bytes()
    rejects.unlink()
    async with database.engine.begin() as connection:
        for table in ("refund", "order_line", "member_order", "identity", "member", "import_run"):
            await connection.exec_driver_sql(f"DELETE FROM {table}")
    return there, content


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize(
    "when", ["reading 1", "reading 4", "storing 0", "storing 2", "storing 3", "matching returns 1"]
)
async def test_a_crash_at_any_boundary_is_made_good(
    database: Database, vault: Vault, tmp_path: Path, when: str
) -> None:
    path = history(tmp_path / "a.csv", 3000)
    expected, rejects = await uninterrupted(database, vault, path)
    stage, _, turn = when.rpartition(" ")
    seen = 0

    def crash(at: str, done: int, of: int | None) -> None:
        nonlocal seen
        seen += at == stage
        if seen >= max(int(turn), 1) and at == stage:
            raise Crash

    with pytest.raises(Crash):
        await load(database, vault, path, preset="online-retail", report=crash)
    summary = await load(database, vault, path, preset="online-retail")
    assert summary.resumed_from > 0
    assert await state(database) == expected
    assert path.with_name("a.csv.rejects.csv").read_bytes() == rejects


async def test_it_goes_on_in_pieces_of_another_size(
    database: Database, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = history(tmp_path / "a.csv", 1_500)
    lines = path.read_text().splitlines(keepends=True)
    # Broken rows among them, some of those beside the place where pieces end.
    lines[150:900:7] = ["too,few\n"] * len(lines[150:900:7])
    path.write_text("".join(lines))
    expected, rejects = await uninterrupted(database, vault, path)

    def crash(at: str, done: int, of: int | None) -> None:
        if at == "reading":
            raise Crash

    for size in (10_000, 7_000, 30_000):
        monkeypatch.setattr(files, "_BLOCK", size)
        with pytest.raises(Crash):
            await load(database, vault, path, preset="online-retail", report=crash)
    monkeypatch.undo()
    summary = await load(database, vault, path, preset="online-retail")
    assert 0 < summary.resumed_from < len(lines)
    assert await state(database) == expected
    assert path.with_name("a.csv.rejects.csv").read_bytes() == rejects


@pytest.mark.usefixtures("small_steps")
async def test_without_its_rejects_an_interrupted_import_starts_over(
    database: Database, vault: Vault, tmp_path: Path
) -> None:
    path = history(tmp_path / "a.csv", 1500)
    expected, rejects = await uninterrupted(database, vault, path)

    def crash(at: str, done: int, of: int | None) -> None:
        if at == "storing":
            raise Crash

    with pytest.raises(Crash):
        await load(database, vault, path, preset="online-retail", report=crash)
    path.with_name("a.csv.rejects.csv").unlink()
    assert (await load(database, vault, path, preset="online-retail")).resumed_from == 0
    assert await state(database) == expected
    assert path.with_name("a.csv.rejects.csv").read_bytes() == rejects


# It dies by itself: nobody beside it can tell how far it has come on a busy machine.
KILLED = """
import os, random, signal, threading
from cli.importing import files, import_app
import cli.importing.load as load
files._BLOCK = 65_536
store = load._store
async def stored(*given):
    await store(*given)
    after = random.uniform(0.0, 0.1)
    threading.Timer(after, os.kill, (os.getpid(), signal.SIGKILL)).start()
load._store = stored
import_app()
"""


async def test_kill_9_in_the_middle_and_again(
    database: Database,
    vault: Vault,
    tmp_path: Path,
    postgres: PostgresServer,
    valkey: ValkeyServer,
) -> None:
    path = history(tmp_path / "a.csv", 60_000, customers=2_000)
    expected, _ = await uninterrupted(database, vault, path)
    environment = {
        **os.environ,
        "LINLI_DATABASE_URL": postgres.url,
        "LINLI_REDIS_URL": valkey.url,
        "LINLI_DATA_DIR": str(tmp_path / "data"),
    }
    words = ["orders", str(path), "--preset", "online-retail", "--rejects", str(tmp_path / "r.csv")]
    command = [sys.executable, "-c"]
    first = await asyncio.create_subprocess_exec(*command, KILLED, *words, env=environment)
    assert await first.wait() == -signal.SIGKILL
    begun = "SELECT phase FROM import_run WHERE rows_read > 0"
    assert await rows(database, begun) not in ([], [("FINISHED",)])
    whole = "from cli.importing import import_app; import_app()"
    second = await asyncio.create_subprocess_exec(*command, whole, *words, env=environment)
    assert await second.wait() == 0
    assert await state(database) == expected


async def test_one_import_of_a_source_at_a_time(
    database: Database, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.orders.importing.runs.LOCK_PATIENCE_SECONDS", 0.1)
    path = history(tmp_path / "a.csv", 30)
    async with only_import_of(database, "online-retail"):
        with pytest.raises(ImportUnderWay):
            await load(database, vault, path, preset="online-retail")
        await load(database, vault, path, preset="online-retail", source="another")
    assert await rows(database, "SELECT DISTINCT source FROM member_order") == [("another",)]
