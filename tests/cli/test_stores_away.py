"""What stands in a command's way is said in a sentence, without a traceback or a password."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

AWAY = "postgresql://linli:geheim@127.0.0.1:9/linli"
SOCKET_GONE = "postgresql://linli:geheim@/linli?host=/nowhere/at/all&port=9"


def run(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LINLI_")}
    named = {f"LINLI_{name.upper()}": value for name, value in environment.items()}
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *words],
        env=kept | named | {"COLUMNS": "400"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "url"),
    [
        (("models", "list", "--json"), AWAY),
        (("score", "--json"), AWAY),
        (("models", "list", "--json"), SOCKET_GONE),
    ],
)
def test_a_database_that_is_away_is_said_in_a_sentence(words: tuple[str, ...], url: str) -> None:
    found = run(*words, database_url=url, redis_url="redis://127.0.0.1:9/0")
    assert (found.returncode, found.stdout) == (1, "")
    assert "The database at LINLI_DATABASE_URL is away" in found.stderr
    assert "Traceback" not in found.stderr
    assert "geheim" not in found.stderr


def test_a_database_of_no_such_name_and_one_without_tables(schema_ready: str) -> None:
    server, _, query = schema_ready.partition("?")
    base = server.rsplit("/", 1)[0]
    tail = f"?{query}" if query else ""
    found = run(
        "models", "list", database_url=f"{base}/nowhere{tail}", redis_url="redis://127.0.0.1:9/0"
    )
    assert found.returncode == 1
    assert "PostgreSQL refuses LINLI_DATABASE_URL" in found.stderr
    bare = run(
        "models", "list", database_url=f"{base}/template1{tail}", redis_url="redis://127.0.0.1:9/0"
    )
    assert bare.returncode == 1
    assert "linli migrate" in bare.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_under_the_output_is_said(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    days = [f"{n * n % 199},2024-{1 + n % 9:02}-{1 + n * 7 % 28:02},{n + 1}\n" for n in range(900)]
    file.write_text("customer_id,timestamp,amount\n" + "".join(days))
    with Path("/dev/full").open("w") as full:
        found = subprocess.run(
            [sys.executable, "-m", "cli.main", "backtest", str(file), "--json", "--no-lead"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
            check=False,
        )
    assert found.returncode == 1
    assert "full" in found.stderr
    assert "Traceback" not in found.stderr
