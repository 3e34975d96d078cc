"""`linli doctor`: what is wrong with this installation, and how to mend it."""

import asyncio
import json as json_text
import os
import shutil
from contextlib import ExitStack
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.kernel.config import BadSettings, Settings, load_settings
from app.kernel.embedded import EmbeddedError, stores
from app.kernel.manifest import read_manifest
from cli.doctor_database import look_at_database
from cli.doctor_redis import look_at_redis
from cli.findings import COLOURS, Finding, ok, warning, wrong

GIB = 1 << 30
LEAST_DISK, SMALL_DISK = 1 * GIB, 5 * GIB


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Check settings, disk, database, clock, migrations, model, Redis and balancers; say how to
    mend them, in English and Chinese.
    """
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
            wrong(
                "settings",
                str(error),
                "Correct these in the environment or .env.",
                "环境变量有误，请在环境或 .env 中更正",
            )
        ]
    findings = [_names(), *_documents(settings), _disk(settings)]
    if not settings.database_url and not (settings.data_dir / "postgres").exists():
        # Looking must not set anything up.
        said = f"nothing is set up at {settings.data_dir.absolute()}"
        mend = "Run `linli up`, or set LINLI_DATABASE_URL and LINLI_REDIS_URL."
        zh = "尚未初始化：请执行 linli up，或设置 LINLI_DATABASE_URL 与 LINLI_REDIS_URL"
        return [*findings, wrong("stores", said, mend, zh)]
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
            mend, zh = "See the sentence above.", "内置数据库无法启动，请按上文处理"
            return [*findings, wrong("stores", str(error), mend, zh)]
        ready = settings.model_copy(
            update={"database_url": found.database_url, "redis_url": found.redis_url}
        )
        return findings + asyncio.run(look_at_stores(ready))


async def look_at_stores(settings: Settings) -> list[Finding]:
    """What is found in both stores."""
    return [*await look_at_database(settings), *await look_at_redis(settings)]


def _names() -> Finding:
    known = {f"LINLI_{name.upper()}" for name in Settings.model_fields}
    known |= {"LINLI_STAFF_PASSWORD", "LINLI_REAL_DATA", "LINLI_UP_OF"}
    strange = sorted(n for n in os.environ if n.startswith("LINLI_") and n not in known)
    if strange:
        return warning(
            "settings",
            f"unknown: {', '.join(strange)}",
            "Check the spelling against .env.example; unknown names are not read.",
            "有不认识的设置名（不会生效），请对照 .env.example 检查拼写",
        )
    return ok("settings", "every LINLI_* name is known")


def _documents(settings: Settings) -> list[Finding]:
    if settings.trusted_documents is None:
        return []
    try:
        known = len(read_manifest(settings.trusted_documents))
    except BadSettings as error:
        mend, zh = "The API does not start without it.", "可信文档清单无法读取，API 将无法启动"
        return [wrong("documents", str(error), mend, zh)]
    return [ok("documents", f"trusted: {known}")]


def _disk(settings: Settings) -> Finding:
    place = settings.data_dir.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    said = f"{free / GIB:.1f} GiB free at {place}"
    mend = "Free some space, or set LINLI_DATA_DIR elsewhere."
    if free < LEAST_DISK:
        return wrong("disk", said, mend, "磁盘将满：请清理空间，或更换 LINLI_DATA_DIR")
    if free < SMALL_DISK:
        return warning("disk", said, mend, "磁盘剩余不多：请清理空间，或更换 LINLI_DATA_DIR")
    return ok("disk", said)


def _show(findings: list[Finding]) -> None:
    table = Table("Check 检查", "State 状态", "Found 结果", "How to mend 处理办法")
    for item in findings:
        colour = COLOURS[item.state]
        mend = "\n".join(part for part in (item.mend, item.zh) if part)
        state = f"[{colour}]{item.state}[/{colour}]"
        # What is found may hold brackets: an error's number, an address of IPv6.
        table.add_row(item.check, state, escape(item.found), escape(mend))
    Console().print(table)
