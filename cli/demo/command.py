"""`linli demo`: fill the demo by hand; `linli up` does it the first time."""

import asyncio
import json as json_text
import time
from typing import TYPE_CHECKING, Annotated

import typer

from app.kernel.config import Settings
from app.kernel.errors import Refusal
from cli.session import open_database, open_stores
from cli.starting import SAYS

if TYPE_CHECKING:
    from cli.demo.filling import Filled


def demo(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fill an invented neighbourhood into an empty database: members, orders, a drop, ballots.

    LINLI_DEMO_MEMBERS people over eight months. Doing it again changes nothing; an interrupted
    run goes on. Refused in production.
    """
    begun = time.monotonic()
    try:
        with open_stores("linli demo") as settings:
            filled = asyncio.run(_fill(settings))
    except Refusal as refusal:
        SAYS.print(f"{refusal.message('en')}\n{refusal.message('zh-CN')}", style="red")
        raise typer.Exit(1) from None
    seconds = time.monotonic() - begun
    if json:
        answer = {
            "steps": filled.steps,
            "has_members_of_its_own": filled.has_members_of_its_own,
            "seconds": round(seconds, 1),
        }
        typer.echo(json_text.dumps(answer))
        return
    SAYS.print(_told(filled, seconds), markup=False, highlight=False)


async def _fill(settings: Settings) -> "Filled":
    from cli.demo.filling import fill_demo

    async with open_database(settings) as database:
        return await fill_demo(
            database, settings, report=lambda step: SAYS.print(step, highlight=False)
        )


def _told(filled: "Filled", seconds: float) -> str:
    if filled.has_members_of_its_own:
        return (
            "This database has members of its own: no invented ones were added "
            "数据库已有会员，未加入演示会员"
        )
    if not filled.steps:
        return "The demo is there already 演示数据已存在"
    return f"The demo is ready after {seconds:.0f} s 演示数据已就绪"
