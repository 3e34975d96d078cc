"""`linli migrate`: bring the database to this version's schema, or check that it is there."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

from app import eco, tiers
from app.kernel.config import Settings
from app.kernel.db import Database
from cli.session import open_database, open_stores
from cli.starting import SAYS

HERE = Path(__file__).parent.parent / "migrations"


def alembic_config(url: str) -> Config:
    """Alembic's configuration for a database."""
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes["url"] = url
    return config


def newest_revision() -> str | None:
    """The revision that this version of Linli needs."""
    return ScriptDirectory(str(HERE)).get_current_head()


async def current_revision(database: Database) -> str | None:
    """The revision that the database is at, None before the first migration."""
    async with database.read() as read:
        known = await read.session.scalar(text("SELECT to_regclass('alembic_version')::text"))
        if known is None:
            return None
        return await read.session.scalar(text("SELECT version_num FROM alembic_version"))


def migrate(
    to: Annotated[str, typer.Option(help="The revision to go to: head, base, or an id.")] = "head",
    down: Annotated[bool, typer.Option("--down", help="Go down to --to instead of up.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only compare the database with the tables in code.")
    ] = False,
) -> None:
    """Bring the database to this version's schema. Safe to run at any time, by several at once."""
    with open_stores("linli migrate") as settings:
        config = alembic_config(settings.database_url or "")
        if check:
            command.check(config)
        elif down:
            command.downgrade(config, to)
        else:
            command.upgrade(config, to)
            if to == "head":
                asyncio.run(_set_up(settings))
    SAYS.print("The database is at this version's schema 数据库结构已就绪" if not check else "")


async def _set_up(settings: Settings) -> None:
    """What every installation has from its first day; what staff have changed stays."""
    async with open_database(settings) as database, database.begin() as tx:
        await tiers.ensure_tiers(tx)
        await eco.ensure_eco(tx)
