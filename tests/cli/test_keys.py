"""`linli keys` as people and machines call it."""

import asyncio
import base64
import json
import os
from collections.abc import Awaitable, Callable

import pytest
from typer.testing import CliRunner

from app import members
from app.kernel.config import Settings
from app.kernel.crypto import Vault
from app.kernel.db import Database
from app.members import IdentityKind
from cli.keys import keys_app
from tests.make.members import member

Call = Callable[..., Awaitable[tuple[int, str]]]
OLD, NEW, OLD_INDEX, NEW_INDEX = (os.urandom(32) for _ in range(4))


def ring(**keys: bytes) -> str:
    return ",".join(f"{kid}:{base64.b64encode(key).decode()}" for kid, key in keys.items())


@pytest.fixture
def call(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the command in a thread of its own, against the test's stores, with these rings."""
    monkeypatch.setenv("LINLI_DATABASE_URL", settings.database_url or "")
    monkeypatch.setenv("LINLI_REDIS_URL", settings.redis_url or "")
    monkeypatch.setenv("COLUMNS", "160")

    async def called(crypto: str, index: str, *arguments: str) -> tuple[int, str]:
        monkeypatch.setenv("LINLI_CRYPTO_KEYS", crypto)
        monkeypatch.setenv("LINLI_INDEX_KEY", index)
        result = await asyncio.to_thread(CliRunner().invoke, keys_app, list(arguments))
        return result.exit_code, result.stdout

    return called


async def test_a_rotation_from_its_first_to_its_last_command(
    database: Database, call: Call
) -> None:
    before = Vault({"old": OLD}, OLD_INDEX, "oldix")
    async with database.begin() as tx:
        one = await member(tx)
        await members.link_phone(tx, vault=before, member_id=one.id, phone="13812345678")
    both = ring(new=NEW, old=OLD), ring(newix=NEW_INDEX, oldix=OLD_INDEX)

    code, out = await call(*both, "list", "--json")
    assert code == 0
    shown = {
        (item["ring"], item["key"]): (item["state"], item["in use"]) for item in json.loads(out)
    }
    assert shown == {
        ("crypto", "new"): ("in force", 0),
        ("crypto", "old"): ("older", 1),
        ("index", "newix"): ("in force", 0),
        ("index", "oldix"): ("older", 1),
    }
    code, out = await call(*both, "rotate", "--finish", "--json")
    assert (code, json.loads(out)["left"]) == (1, 1), "it is too early"
    code, out = await call(*both, "rotate", "--json")
    assert (code, json.loads(out)["done"]) == (0, 1)
    code, out = await call(*both, "rotate", "--finish", "--json")
    assert (code, json.loads(out)["older"]) == (0, ["crypto old", "index oldix"])

    after = Vault({"new": NEW}, NEW_INDEX, "newix")
    async with database.begin() as tx:
        found = await members.identity_of(
            tx, vault=after, kind=IdentityKind.PHONE, app="", value="+8613812345678"
        )
        assert found is not None
        assert after.open(found.kind, found.sealed) == "+8613812345678"


async def test_a_key_that_is_not_in_the_ring_is_named(database: Database, call: Call) -> None:
    async with database.begin() as tx:
        row = await member(tx)
        lost = Vault({"lost": OLD}, OLD_INDEX, "lostix")
        await members.link_phone(tx, vault=lost, member_id=row.id, phone="13812345678")
    code, out = await call(ring(new=NEW), ring(newix=NEW_INDEX), "list")
    assert code == 1
    assert "lost" in out
    assert "missing" in out
    code, out = await call(ring(new=NEW), ring(newix=NEW_INDEX), "rotate", "--json")
    assert code == 1
    assert json.loads(out) == {"done": 0, "unreadable": 1, "left": 1, "older": []}
