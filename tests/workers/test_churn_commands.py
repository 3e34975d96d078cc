"""`linli train` and `linli score` as a shop runs them."""

from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from app.kernel.config import Settings
from app.kernel.db import Database
from cli.instants import parse_as_of
from tests.conftest import TestClock
from tests.workers.children import child
from tests.workers.test_churn_jobs import shop

RUN = "import typer; from cli.churn import {0}; typer.run({0})"


async def run(settings: Settings, folder: Path, verb: str, *arguments: str) -> tuple[int, str]:
    """The command's exit code and everything it printed."""
    out = folder / f"{verb}-{'-'.join(arguments).replace('/', '')}.txt"
    async with child(settings, out, "-W", "error", "-c", RUN.format(verb), *arguments) as command:
        return await command.process.wait(), command.said()


async def test_train_and_score(
    database: Database, settings: Settings, clock: TestClock, tmp_path: Path
) -> None:
    as_of = clock.now.isoformat()
    code, said = await run(settings, tmp_path, "train")
    assert code == 3
    assert "Too little history" in said
    code, said = await run(settings, tmp_path, "score")
    assert code == 1
    assert "train one first" in said
    await shop(database)
    code, said = await run(settings, tmp_path, "train", "--as-of", as_of)
    assert code == 0, said
    assert "It is in force" in said
    assert "ROC AUC" in said
    code, said = await run(settings, tmp_path, "score", "--as-of", as_of)
    assert code == 0, said
    assert "alerts raised" in said
    assert "Most likely to place no order within 45 days" in said
    code, said = await run(settings, tmp_path, "score", "--as-of", as_of, "--json")
    assert code == 0, said
    answer = orjson.loads(said[said.index("{") :])
    assert answer["ignored"] > 200
    assert answer["alerts"][0]["reasons"][0]["en"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("yesterday", "wants a day"),
        ("2011-09-01T03:00", "offset"),
        ("2026-01-02", "future"),
        ("2011-13-01", "wants a day"),
    ],
)
def test_an_as_of_that_makes_no_sense_is_refused(wrong: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_as_of(wrong, now=datetime(2026, 1, 1, tzinfo=UTC), zone="UTC")
