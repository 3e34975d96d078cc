"""`linli import orders`: reading rate, rate into PostgreSQL, peak memory.

Run: python -m bench.import_orders [FILE] [--times 3]

FILE is what `--preset online-retail` reads; without one the real order lines beside the checkout
are used (or LINLI_REAL_DATA), and where these are absent as many made-up ones. Each round imports
the whole file into an empty database of an embedded PostgreSQL, in a process of its own so that the
peak memory is that import's.

Reading is everything up to rows that COPY can take; storing is everything after: members, COPY, set
SQL, matching of returns, ANALYZE. Both go on at the same time for most of the file, so that the
whole takes less than their sum. Kept rows are those that reach PostgreSQL; the others go to the
rejects file. The floor is a bare COPY of the stored lines into a twin of their table with the same
key and checks, in the same process right after: ratios to it hold on a busy machine too.
"""

import argparse
import asyncio
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from alembic import command
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from app import orders
from app.kernel.clock import system_clock
from app.kernel.config import Settings
from app.kernel.crypto import Vault
from app.kernel.db import Database
from app.kernel.embedded import start_postgres
from app.orders import ImportKind
from cli.importing.load import run_import
from cli.importing.plan import Wishes, plan
from cli.migrating import alembic_config

NAME = "online_retail_ii_lines.parquet"
FOLDER = Path(os.environ.get("LINLI_REAL_DATA") or Path(__file__).parents[2] / "shared" / "data")
TARGET = 100_000


def main() -> None:
    """Import the file some times over and print a table."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("file", nargs="?", type=Path)
    words.add_argument("--times", type=int, default=3)
    words.add_argument("--lines", type=int, default=800_000, help="how many to make up")
    words.add_argument("--url", help=argparse.SUPPRESS)
    given = words.parse_args()
    if given.url:
        print(json.dumps(asyncio.run(_once(given.url, given.file))))
        return
    with tempfile.TemporaryDirectory() as place:
        file = given.file or FOLDER / NAME
        if not file.exists():
            file = _made_up(Path(place) / "lines.csv", given.lines)
        server = start_postgres(Path(place) / "data")
        try:
            _show(file, [_apart(server.url, file) for _ in range(given.times)])
        finally:
            server.stop()


def _apart(url: str, file: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.import_orders", str(file), "--url", url]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


async def _once(url: str, file: Path) -> dict[str, float]:
    database = Database(url, pool_size=4)
    async with database.engine.begin() as connection:
        await connection.execute(text("DROP SCHEMA public CASCADE"))
        await connection.execute(text("CREATE SCHEMA public"))
    # By the migrations: with the triggers that every installation has.
    await asyncio.to_thread(command.upgrade, alembic_config(url), "head")
    with tempfile.TemporaryDirectory() as place:
        rejects = Path(place) / "rejects.csv"
        wishes = Wishes(ImportKind.ORDERS, file, preset="online-retail", rejects=rejects)
        job = plan(wishes, zone="UTC", now=system_clock())
        vault = Vault.from_settings(Settings(_env_file=None, env="test"))  # pyright: ignore[reportCallIssue]
        begun = asyncio.get_running_loop().time()
        summary = await run_import(database, vault, job, lambda *_: None)
        wall = asyncio.get_running_loop().time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    floor = await _floor(database)
    await database.close()
    return {
        "floor": floor,
        "rows": summary.rows,
        "kept": summary.kept,
        "reading": summary.reading_seconds,
        "storing": summary.loading_seconds,
        "wall": wall,
        "peak": peak,
    }


async def _floor(database: Database) -> float:
    """Seconds that COPY alone takes for the stored lines."""
    async with database.begin() as tx:
        connection = await orders.bulk.connection_of(tx)
        await connection.execute("CREATE TABLE twin (LIKE order_line INCLUDING ALL)")
        lines = io.BytesIO()
        query = "SELECT * FROM order_line ORDER BY member_id, order_id, line_no"
        await connection.copy_from_query(query, output=lines, format="csv")
        lines.seek(0)
        begun = asyncio.get_running_loop().time()
        await connection.copy_to_table("twin", source=lines, format="csv")
        return asyncio.get_running_loop().time() - begun


def _made_up(path: Path, lines: int) -> Path:
    draw = random.Random(1)
    start = datetime(2010, 1, 1)  # noqa: DTZ001 - the file's own local time
    with path.open("w", encoding="utf-8") as file:
        file.write("Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n")
        for number in range(lines):
            order = number // 18
            back = "C" if draw.random() < 0.02 else ""
            at = start + timedelta(minutes=order * 18)
            file.write(
                f"{back}{order},{draw.randrange(4000)},ARTICLE,{'-' if back else ''}"
                f"{draw.randrange(1, 12)},{at},{draw.randrange(1, 2000) / 100},"
                f"{order * 7919 % 5000},United Kingdom\n"
            )
    return path


def _show(file: Path, rounds: list[dict[str, float]]) -> None:
    size = f"{rounds[0]['rows']:,.0f} rows, {rounds[0]['kept']:,.0f} kept"
    table = Table(title=f"{file.name}: {size}")
    names = ("round", "read s", "rows/s", "store s", "rows/s ", "kept/s", "floor s", "store/floor")
    for name in (*names, "whole s", "peak MiB"):
        table.add_column(name, justify="right")
    for number, one in enumerate(rounds, 1):
        table.add_row(
            str(number),
            f"{one['reading']:.1f}",
            f"{one['rows'] / one['reading']:,.0f}",
            f"{one['storing']:.1f}",
            f"{one['rows'] / one['storing']:,.0f}",
            f"{one['kept'] / one['storing']:,.0f}",
            f"{one['floor']:.1f}",
            f"{one['storing'] / one['floor']:.1f}",
            f"{one['wall']:.1f}",
            f"{one['peak']:.0f}",
        )
    Console(width=110).print(table)
    best = max(rounds, key=lambda one: one["kept"] / one["storing"])
    for what in ("rows", "kept"):
        rate = best[what] / best["storing"]
        print(f"best: {rate:,.0f} {what}/s into PostgreSQL, {rate / TARGET:.2f} of the target")


if __name__ == "__main__":
    main()
