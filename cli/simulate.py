"""`linli simulate`: an invented neighbourhood platform, for people to look at."""

import asyncio
import json as json_text
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from app import simulated
from app.kernel.config import Settings
from app.kernel.errors import Refusal
from cli.instants import parse_as_of
from cli.session import open_database, open_stores

if TYPE_CHECKING:
    from cli.simulating import Loaded, Report

MEMBERS: Final = 1_500
MONTHS: Final = 8.0
SEED: Final = 1
_LABELS: Final = {
    "communities": "communities 社区",
    "members": "members 会员",
    "leaders": "leaders 团长",
    "orders": "orders 订单",
    "order_updates": "older orders brought up to date 更新的订单",
    "order_lines": "order lines 订单明细",
    "refunds": "refunds 退款",
    "coupon_uses": "coupons used 已用优惠券",
    "events": "events 行为",
}


def simulate(
    members: Annotated[
        int | None,
        typer.Option(
            min=1, max=5_000_000, help=f"How many people join in all. Default: {MEMBERS}."
        ),
    ] = None,
    months: Annotated[
        float | None,
        typer.Option(
            min=0.25, max=120, help=f"How long before --as-of it all began. Default: {MONTHS:g}."
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, max=2**31 - 1, help=f"Another seed makes another world. Default: {SEED}."
        ),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            help="Up to when to live: a day (2026-09-01) or an instant "
            "(2026-09-01T03:00+08:00). Default: the full hour before now.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Fill the database with an invented neighbourhood platform, or let it live on up to now.

    Communities, leaders, members (WeChat code dev-sim-SEED-NUMBER logs one in while developing),
    orders, refunds, used coupons and what people do in the app. The same parameters make the same
    facts. Run it again later and only what happened since is added; an interrupted run goes on
    where it was. Nobody in it is real, and nothing learned from it is true of anybody.
    """
    said = Console(stderr=True)
    with _refusals(said), open_stores("linli simulate") as settings:
        _refuse_production(settings)
        loaded = asyncio.run(_simulate(settings, (members, months, seed), as_of, said))
    if json:
        typer.echo(json_text.dumps(_plain(loaded), ensure_ascii=False, indent=2))
        return
    _show(loaded)


class _InProduction(Refusal):
    code = "SIMULATE_IN_PRODUCTION"
    zh = "生产环境（LINLI_ENV=production）不写入模拟数据。"
    en = "Invented members do not belong into a production database (LINLI_ENV=production)."


def _refuse_production(settings: Settings) -> None:
    if settings.env == "production":
        raise _InProduction()


@contextmanager
def _refusals(said: Console) -> Generator[None]:
    try:
        yield
    except Refusal as error:
        said.print(f"[red]Error:[/] {error}", highlight=False)
        said.print(error.message("zh-CN"), markup=False, highlight=False)
        raise typer.Exit(1) from error
    except ValueError as error:
        said.print(f"[red]Error:[/] {error}", highlight=False)
        raise typer.Exit(2) from error


async def _simulate(
    settings: Settings,
    given: tuple[int | None, float | None, int | None],
    as_of: str | None,
    said: Console,
) -> "Loaded":
    from cli.simulating import simulate_into

    async with open_database(settings) as database:
        until = full_hour(
            parse_as_of(as_of, now=database.clock(), zone=settings.time_zone), given=as_of
        )
        async with database.read() as read:
            there = await simulated.present_world(read)
        wanted = wanted_world(there, given, until)
        with _bar(said) as report:
            return await simulate_into(
                database, settings, wanted=wanted, until=until, report=report
            )


def full_hour(at: datetime, *, given: str | None = None) -> datetime:
    """The full hour before an instant; one that was given stays as it is."""
    return at if given is not None else at.replace(minute=0, second=0, microsecond=0)


def wanted_world(
    there: simulated.World | None,
    given: tuple[int | None, float | None, int | None],
    until: datetime,
) -> simulated.World:
    """The world that is asked for: what is not given is as in the world there is, or a default."""
    from simulation import MONTH

    usual = there or simulated.World(SEED, MEMBERS, MONTHS, until)
    members, months, seed = given
    chosen = usual.months if months is None else months
    return simulated.World(
        seed=usual.seed if seed is None else seed,
        members=usual.members if members is None else members,
        months=chosen,
        start=until - chosen * MONTH if there is None else there.start,
    )


@contextmanager
def _bar(said: Console) -> "Generator[Report]":
    """A progress bar on standard error."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=said,
        transient=True,
    ) as bars:
        task = bars.add_task("Living the months", total=1.0)
        yield lambda share: bars.update(task, completed=share)


def _plain(loaded: "Loaded") -> dict[str, Any]:
    world = loaded.world
    return {
        "seed": world.seed,
        "members": world.members,
        "months": world.months,
        "start": world.start.isoformat(),
        "reached": loaded.reached.isoformat(),
        "stored": {name: loaded.rows[name] for name in _LABELS},
    }


def _show(loaded: "Loaded") -> None:
    out = Console()
    world = loaded.world
    out.print(
        f"The world of seed {world.seed} ({world.members:,} members over {world.months:g} months) "
        f"has been lived up to {loaded.reached:%Y-%m-%d %H:%M} UTC.",
        highlight=False,
    )
    if not loaded.rows.total():
        out.print("Nothing was left to add 没有新增内容.")
        return
    table = Table(title="Added 新增")
    table.add_column("what")
    table.add_column("rows", justify="right")
    for name, label in _LABELS.items():
        if loaded.rows[name]:
            table.add_row(label, f"{loaded.rows[name]:,}")
    out.print(table)
