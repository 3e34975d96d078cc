"""What may be wrong with PostgreSQL and with what is in it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from socket import gaierror

import asyncpg
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from app import churn, leaving, members
from app.kernel.clock import system_clock
from app.kernel.config import Settings
from app.kernel.crypto import Vault
from app.kernel.db import Database
from cli.findings import Finding, guarded, ok, warning, wrong
from cli.migrating import current_revision, newest_revision

OLDEST = 160_000
MOST_SKEW = timedelta(seconds=2)
OLDEST_SCORES = timedelta(days=2)
# What PostgreSQL says, and what mends it.
_MENDS: tuple[tuple[type[Exception], str, str], ...] = (
    (
        asyncpg.InvalidAuthorizationSpecificationError,
        "Put the right user and password into LINLI_DATABASE_URL; does pg_hba.conf let us in?",
        "用户名或密码不对：请更正 LINLI_DATABASE_URL，并检查 pg_hba.conf",
    ),
    (
        asyncpg.InvalidCatalogNameError,
        "Create that database (`createdb NAME`), or correct the name in LINLI_DATABASE_URL.",
        "数据库不存在：请先创建（createdb），或更正 LINLI_DATABASE_URL 中的库名",
    ),
    (
        asyncpg.TooManyConnectionsError,
        "Lower LINLI_POOL_SIZE, raise max_connections, or put PgBouncer before it.",
        "连接数已满：请调小 LINLI_POOL_SIZE、调大 max_connections，或使用 PgBouncer",
    ),
    (
        asyncpg.DiskFullError,
        "Make room on PostgreSQL's disk (data and WAL); nothing has to be restarted.",
        "PostgreSQL 磁盘已满：请清理数据盘或 WAL 所在磁盘，无需重启",
    ),
    (
        asyncpg.ReadOnlySQLTransactionError,
        "Set LINLI_DATABASE_URL to the primary: a standby belongs in LINLI_READ_DATABASE_URL.",
        "数据库只读（可能是备库）：LINLI_DATABASE_URL 请指向主库，备库填到 LINLI_READ_DATABASE_URL",
    ),
    (
        asyncpg.InsufficientPrivilegeError,
        "Let the user of LINLI_DATABASE_URL own the database.",
        "权限不足：请让 LINLI_DATABASE_URL 的用户拥有该数据库",
    ),
    (
        gaierror,
        "The host's name is not known: correct it in LINLI_DATABASE_URL.",
        "主机名无法解析：请更正 LINLI_DATABASE_URL 中的主机名",
    ),
    (
        TimeoutError,
        "The host does not answer: is it up, and does a firewall stand between?",
        "主机无响应：请确认已开机，并检查防火墙",
    ),
)


async def look_at_database(settings: Settings) -> list[Finding]:
    """The server, its clock, the schema, the keys in use and the model, as far as that goes."""
    database = Database(settings.database_url or "", pgbouncer=settings.pgbouncer)
    try:
        findings = [await guarded("database", lambda: _server(database), _away)]
        if findings[0].state == "wrong":
            return findings
        findings.append(await guarded("clock", lambda: look_at_clock(database)))
        findings.append(await guarded("migrations", lambda: _migrations(database)))
        if findings[-1].state == "ok":
            findings.append(await guarded("keys", lambda: look_at_keys(database, settings)))
            findings.append(await guarded("model", lambda: _model(database)))
        return findings
    finally:
        await database.close()


def _away(check: str, error: Exception) -> Finding:
    # SQLAlchemy wraps the adapter's error, and that has the driver's own for its cause.
    cause = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig else None
    inner = cause or error
    said = f"{type(inner).__name__}: {inner}"
    for kind, mend, zh in _MENDS:
        if isinstance(inner, kind):
            return wrong(check, said, mend, zh)
    return wrong(
        check,
        said,
        "Is the server running, and is LINLI_DATABASE_URL right? Every process waits and goes on "
        "by itself.",
        "连不上 PostgreSQL：请确认服务已启动、LINLI_DATABASE_URL 正确。恢复后各进程会自动继续",
    )


async def _server(database: Database) -> Finding:
    async with database.read() as read:
        version = int(await read.session.scalar(text("SHOW server_version_num")) or 0)
    if version < OLDEST:
        return wrong(
            "database",
            f"PostgreSQL {version}",
            "Use PostgreSQL 16 or newer.",
            "版本过旧，请使用 PostgreSQL 16 以上",
        )
    async with database.begin() as tx:
        if await tx.session.scalar(text("SHOW transaction_read_only")) == "on":
            raise asyncpg.ReadOnlySQLTransactionError("it takes no writes")
        # A write that changes nothing and has to reach the disk, as every change has.
        await tx.session.execute(text("SELECT pg_logical_emit_message(true, 'linli', 'doctor')"))
    return ok("database", f"PostgreSQL {version // 10000}.{version % 10000}")


async def look_at_clock(
    database: Database, clock: Callable[[], datetime] = system_clock
) -> Finding:
    """Whether this machine's clock agrees with the database's."""
    async with database.read() as read:
        theirs = await read.session.scalar(text("SELECT clock_timestamp()"))
    ours = clock()
    skew = ours - (theirs or ours)
    seconds = abs(skew).total_seconds()
    said = f"{seconds:.3f} s from the database's"
    if abs(skew) > MOST_SKEW:
        fast = skew > timedelta()
        return wrong(
            "clock",
            f"{seconds:.3f} s {'ahead of' if fast else 'behind'} the database's",
            "Synchronise the clocks of both machines (NTP): drops would open and tokens end at "
            "the wrong instant.",
            f"本机时钟比数据库{'快' if fast else '慢'} {seconds:.0f} 秒：请在两台机器上启用 NTP",
        )
    return ok("clock", said)


async def _migrations(database: Database) -> Finding:
    current, newest = await current_revision(database), newest_revision()
    if current == newest:
        return ok("migrations", f"at {current}")
    said = f"the database is at {current or 'nothing'}, this version needs {newest}"
    if current is not None and newest is not None and current > newest:
        return wrong(
            "migrations",
            said,
            "This version of Linli is older than the database: install the one that it had, or "
            f"let that one run `linli migrate --down --to {newest}`.",
            "数据库比本程序新：请换回较新的版本，或用新版本执行降级",
        )
    return wrong("migrations", said, "Run `linli migrate`.", "数据库结构落后，请执行 linli migrate")


async def _model(database: Database) -> Finding:
    train, zh = "Run `linli train`, then `linli score`.", "请执行 linli train，再执行 linli score"
    async with database.read() as read:
        try:
            version = (await churn.load_champion(read)).version
        except churn.NoModel:
            return warning("model", "no model yet", train, f"尚无流失模型：{zh}")
        except churn.ModelDamaged as error:
            return wrong("model", str(error), train, f"流失模型已损坏：{zh}")
        newest = await read.session.scalar(select(func.max(churn.ChurnScore.as_of)))
    if newest is None or system_clock() - newest > OLDEST_SCORES:
        return warning(
            "model",
            f"{version}, last scores {newest or 'never'}",
            "Run `linli score`; is the scheduler up?",
            "流失评分已过期：请执行 linli score，并确认 scheduler 在运行",
        )
    return ok("model", f"{version}, scored {newest:%Y-%m-%d %H:%M} UTC")


async def look_at_keys(database: Database, settings: Settings) -> Finding:
    """Whether every key in use is in the rings, and whether older ones still are in use."""
    vault = Vault.from_settings(settings)
    async with database.read() as read:
        used = await members.keys_in_use(read)
        parts = await leaving.parts_by_kid(read)
        stale = await members.stale_identities(read, vault=vault)
    missing = used.missing(vault) + [f"crypto {kid}" for kid in parts if kid not in vault.keys]
    if missing:
        names = ", ".join(sorted(set(missing)))
        return wrong(
            "keys",
            f"in use and not in the ring: {names}",
            "Put these keys back into LINLI_CRYPTO_KEYS and LINLI_INDEX_KEY, behind the first.",
            f"密钥环缺少仍在使用的密钥：{names}。请放回 LINLI_CRYPTO_KEYS、LINLI_INDEX_KEY 末尾",
        )
    several = len(vault.keys) > 1 or len(vault.index_kids) > 1
    if several and (stale or any(kid != vault.kid for kid in parts)):
        return warning(
            "keys",
            f"{stale} identities are by older keys",
            "Run `linli keys rotate`, then with --finish.",
            f"{stale} 条身份仍用旧密钥：请执行 linli keys rotate，再加 --finish",
        )
    return ok("keys", f"crypto {vault.kid}, index {vault.index_kid}")
