"""The commands as a shell sees them: exit codes, what is printed where, plain sentences."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.kernel.db import Database
from app.kernel.embedded import PostgresServer, ValkeyServer
from cli.importing import import_app
from tests.make.importing import csv, rows

GOOD = "1,A1,2026-03-01 10:00,S1,apple,2,3.50"


@pytest.fixture
def shell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres: PostgresServer, valkey: ValkeyServer
) -> None:
    """A folder of its own and an environment that names the test's stores."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LINLI_DATABASE_URL", postgres.url)
    monkeypatch.setenv("LINLI_REDIS_URL", valkey.url)


def listed() -> list[str]:
    """What lies in the folder."""
    return [item.name for item in Path().iterdir()]


async def run(*words: str) -> Result:
    """The command in a thread of its own: it begins its own event loop."""
    return await asyncio.to_thread(CliRunner().invoke, import_app, list(words))


@pytest.mark.usefixtures("shell")
async def test_rejects_are_a_warning_and_json_is_alone_on_stdout(database: Database) -> None:
    csv(Path("a.csv"), GOOD, GOOD.replace("3.50", "free"))
    result = await run("orders", "a.csv", "--json", "--source", "till")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["kept"], told["rejected"], told["reasons"]) == (1, 1, {"BAD_AMOUNT": 1})
    assert told["rejects"] == "a.csv.rejects.csv"
    assert "1 rows were not taken: a.csv.rejects.csv" in result.stderr
    assert "a.csv.rejects.csv" in listed()
    assert await rows(database, "SELECT source FROM member_order") == [("till",)]


@pytest.mark.usefixtures("shell")
async def test_a_table_for_people(database: Database) -> None:
    csv(Path("a.csv"), GOOD)
    result = await run("orders", "a.csv")
    assert result.exit_code == 0, result.output
    assert "新订单" in result.stdout
    assert listed() == ["a.csv"]


@pytest.mark.usefixtures("shell")
async def test_nothing_taken_is_a_failure(database: Database) -> None:
    csv(Path("a.csv"), GOOD.replace("2026", "20x6"))
    assert (await run("orders", "a.csv")).exit_code == 1


@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("orders", "none.csv"), "none.csv cannot be read"),
        (("orders", "a.csv", "--preset", "spring"), "there is: online-retail"),
        (("orders", "a.csv", "--time-zone", "Mars/Olympus"), "is not a time zone"),
        (("orders", "a.csv", "--encoding", "klingon"), "no encoding 'klingon'"),
        (("orders", "a.csv", "--source", ""), "1 to 64 characters"),
        (("orders", "a.csv", "--community", "x", "--map", "community=sku"), "exclude each other"),
        (("events", "a.csv"), "event_id (the event's own id)"),
    ],
)
async def test_wrong_words_are_answered_plainly(words: tuple[str, ...], says: str) -> None:
    csv(Path("a.csv"), GOOD)
    result = await run(*words)
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.split())


@pytest.mark.usefixtures("shell")
async def test_a_database_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINLI_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    csv(Path("a.csv"), GOOD)
    result = await run("orders", "a.csv")
    assert result.exit_code == 1
    assert "The import stopped" in result.stderr
