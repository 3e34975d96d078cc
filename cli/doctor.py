"""`linli doctor`: what is wrong with this installation, and how to mend it."""

import asyncio
import json as json_text
import os
import shutil
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import typer
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select, text

from app import churn, leaving, members
from app.kernel.config import BadSettings, Settings, load_settings
from app.kernel.crypto import Vault
from app.kernel.db import Database
from app.kernel.embedded import EmbeddedError, stores
from app.kernel.manifest import read_manifest
from cli.migrating import current_revision, newest_revision

State = Literal["ok", "warning", "wrong"]
LEAST_DISK = 1 << 30
MOST_SKEW = timedelta(seconds=2)
OLDEST_SCORES = timedelta(days=2)
COLOURS: dict[State, str] = {"ok": "green", "warning": "yellow", "wrong": "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found, and what mends it."""

    check: str
    state: State
    found: str
    mend: str = ""


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Check settings, disk, database, clock, migrations, model and Redis; say how to mend them."""
    findings = diagnose()
    if json:
        print(json_text.dumps([asdict(item) for item in findings], ensure_ascii=False, indent=2))
    else:
        _show(findings)
    raise typer.Exit(1 if any(item.state == "wrong" for item in findings) else 0)


def diagnose() -> list[Finding]:
    """Every finding, in the order in which one would mend them."""
    try:
        settings = load_settings()
    except BadSettings as error:
        return [
            Finding("settings", "wrong", str(error), "Correct these in the environment or .env.")
        ]
    findings = [_names(), *_documents(settings), _disk(settings)]
    if not settings.database_url and not (settings.data_dir / "postgres").exists():
        # Looking must not set anything up.
        said = f"nothing is set up at {settings.data_dir.absolute()}"
        mend = "Run `linli up`, or set LINLI_DATABASE_URL and LINLI_REDIS_URL."
        return [*findings, Finding("stores", "wrong", said, mend)]
    with ExitStack() as stack:
        try:
            found = stack.enter_context(
                stores(
                    settings.data_dir,
                    what="linli doctor",
                    database_url=settings.database_url,
                    redis_url=settings.redis_url,
                )
            )
        except EmbeddedError as error:
            return [*findings, Finding("stores", "wrong", str(error), "See the sentence above.")]
        ready = settings.model_copy(
            update={"database_url": found.database_url, "redis_url": found.redis_url}
        )
        return findings + asyncio.run(_stores(ready))


def _names() -> Finding:
    known = {f"LINLI_{name.upper()}" for name in Settings.model_fields}
    known |= {"LINLI_STAFF_PASSWORD", "LINLI_REAL_DATA", "LINLI_UP_OF"}
    strange = sorted(n for n in os.environ if n.startswith("LINLI_") and n not in known)
    if strange:
        return Finding(
            "settings",
            "warning",
            f"unknown: {', '.join(strange)}",
            "Check the spelling against .env.example; unknown names are not read.",
        )
    return Finding("settings", "ok", "every LINLI_* name is known")


def _documents(settings: Settings) -> list[Finding]:
    if settings.trusted_documents is None:
        return []
    try:
        known = len(read_manifest(settings.trusted_documents))
    except BadSettings as error:
        return [Finding("documents", "wrong", str(error), "The API does not start without it.")]
    return [Finding("documents", "ok", f"trusted: {known}")]


def _disk(settings: Settings) -> Finding:
    place = settings.data_dir.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    said = f"{free / (1 << 30):.1f} GiB free at {place}"
    if free < LEAST_DISK:
        return Finding("disk", "wrong", said, "Free some space, or set LINLI_DATA_DIR elsewhere.")
    return Finding("disk", "ok", said)


async def _stores(settings: Settings) -> list[Finding]:
    database = Database(settings.database_url or "", pgbouncer=settings.pgbouncer)
    try:
        findings = [await _guarded("database", lambda: _database(database))]
        if findings[0].state != "wrong":
            findings.append(await _guarded("clock", lambda: _clock(database)))
            findings.append(await _guarded("migrations", lambda: _migrations(database)))
            if findings[-1].state == "ok":
                findings.append(await _guarded("keys", lambda: look_at_keys(database, settings)))
                findings.append(await _guarded("model", lambda: _model(database)))
        findings.append(await _guarded("redis", lambda: _redis(settings)))
    finally:
        await database.close()
    return findings


async def _guarded(check: str, look: Callable[[], Awaitable[Finding]]) -> Finding:
    mends = {
        "database": "Is the server running, and is LINLI_DATABASE_URL right?",
        "redis": "Is the server running, and is LINLI_REDIS_URL right?",
    }
    try:
        return await asyncio.wait_for(look(), 10)
    except Exception as error:  # a doctor reports every failure instead of failing with it
        return Finding(check, "wrong", f"{type(error).__name__}: {error}", mends.get(check, ""))


async def _database(database: Database) -> Finding:
    async with database.read() as read:
        version = int(await read.session.scalar(text("SHOW server_version_num")) or 0)
    if version < 160000:
        return Finding("database", "wrong", f"PostgreSQL {version}", "Use PostgreSQL 16 or newer.")
    return Finding("database", "ok", f"PostgreSQL {version // 10000}.{version % 10000}")


async def _clock(database: Database) -> Finding:
    async with database.read() as read:
        theirs = await read.session.scalar(text("SELECT clock_timestamp()"))
    skew = abs((theirs or datetime.now(UTC)) - datetime.now(UTC))
    said = f"{skew.total_seconds():.3f} s from the database's"
    if skew > MOST_SKEW:
        return Finding("clock", "wrong", said, "Synchronise the clocks of both machines (NTP).")
    return Finding("clock", "ok", said)


async def _migrations(database: Database) -> Finding:
    current, newest = await current_revision(database), newest_revision()
    if current != newest:
        said = f"the database is at {current or 'nothing'}, this version needs {newest}"
        return Finding("migrations", "wrong", said, "Run `linli migrate`.")
    return Finding("migrations", "ok", f"at {current}")


async def _model(database: Database) -> Finding:
    train, score = (
        "Run `linli train`, then `linli score`.",
        "Run `linli score`; is the scheduler up?",
    )
    async with database.read() as read:
        try:
            version = (await churn.load_champion(read)).version
        except churn.NoModel:
            return Finding("model", "warning", "no model yet", train)
        except churn.ModelDamaged as error:
            return Finding("model", "wrong", str(error), train)
        newest = await read.session.scalar(select(func.max(churn.ChurnScore.as_of)))
    if newest is None or datetime.now(UTC) - newest > OLDEST_SCORES:
        return Finding("model", "warning", f"{version}, last scores {newest or 'never'}", score)
    return Finding("model", "ok", f"{version}, scored {newest:%Y-%m-%d %H:%M} UTC")


async def look_at_keys(database: Database, settings: Settings) -> Finding:
    """Whether every key in use is in the rings, and whether older ones still are in use."""
    vault = Vault.from_settings(settings)
    async with database.read() as read:
        used = await members.keys_in_use(read)
        parts = await leaving.parts_by_kid(read)
        stale = await members.stale_identities(read, vault=vault)
    missing = used.missing(vault) + [f"crypto {kid}" for kid in parts if kid not in vault.keys]
    if missing:
        said = f"in use and not in the ring: {', '.join(sorted(set(missing)))}"
        mend = "Put these keys back into LINLI_CRYPTO_KEYS and LINLI_INDEX_KEY, behind the first."
        return Finding("keys", "wrong", said, mend)
    several = len(vault.keys) > 1 or len(vault.index_kids) > 1
    if several and (stale or any(kid != vault.kid for kid in parts)):
        said = f"{stale} identities are by older keys"
        return Finding("keys", "warning", said, "Run `linli keys rotate`, then with --finish.")
    return Finding("keys", "ok", f"crypto {vault.kid}, index {vault.index_kid}")


async def _redis(settings: Settings) -> Finding:
    client = Redis.from_url(settings.redis_url or "", socket_connect_timeout=3)
    try:
        info = await client.info("server")
    finally:
        await client.aclose()
    name = info.get("server_name", "redis").title()
    return Finding("redis", "ok", f"{name} {info.get('valkey_version', info['redis_version'])}")


def _show(findings: list[Finding]) -> None:
    table = Table("Check 检查", "State 状态", "Found 结果", "How to mend 处理办法")
    for item in findings:
        colour = COLOURS[item.state]
        table.add_row(item.check, f"[{colour}]{item.state}[/{colour}]", item.found, item.mend)
    Console().print(table)
