"""`linli segments run`: every member's stage of the life cycle, in set SQL."""

import asyncio
import json as json_text
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from app.kernel.config import Settings
from cli.instants import as_of_or_data_end
from cli.session import open_database, open_stores
from cli.starting import SAYS

if TYPE_CHECKING:
    from app.segments import SegmentRun, Stage, StageCount

segments_app = typer.Typer(
    no_args_is_help=True, help="Stages of the life cycle: who is new, loyal, silent or gone."
)

_ALARMS = {
    "VIP_SHARE_OF_MEMBERS": "VIPs are not 10 to 15% of the members 核心会员占比不在10–15%",
    "VIP_SHARE_OF_SALES": "VIPs make under half of the sales 核心会员销售额不足一半",
}


@segments_app.callback()
def root() -> None:
    """Stages of the life cycle: who is new, loyal, silent or gone."""


@segments_app.command()
def run(
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            help="Judge by what was known before this day (2011-09-01, from midnight in the "
            "platform's time zone) or instant (2011-09-01T03:00+08:00). Default: now, or the end "
            "of the data where that is long past.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Judge every member's stage from their orders and browsing, and put the stages in force.

    All change at once. The same instant again changes nothing; an instant older than the stages in
    force is computed and shown, but changes no member.
    """
    with open_stores("linli segments run") as settings:
        try:
            found, stages, seconds = asyncio.run(_run(settings, as_of))
        except ValueError as error:
            SAYS.print(f"[red]Error:[/] {error}", highlight=False)
            raise typer.Exit(2) from error
    if json:
        typer.echo(json_text.dumps(as_json(found, seconds), ensure_ascii=False, indent=2))
    else:
        _show(found, stages, seconds)


async def _run(
    settings: Settings, as_of: str | None
) -> "tuple[SegmentRun, dict[Stage, StageCount], float]":
    from app import segments

    async with open_database(settings) as database:
        at = await as_of_or_data_end(database, as_of, settings.time_zone)
        started = time.monotonic()
        with SAYS.status("Judging every member 正在分层"):
            async with database.begin() as tx:
                found = await segments.run(tx, as_of=at)
        seconds = time.monotonic() - started
        async with database.read() as read:
            return found, await segments.counts(read), seconds


def as_json(found: "SegmentRun", seconds: float) -> dict[str, Any]:
    """A run as machines read it; money in fen, shares from 0 to 1."""
    vips = found.counts.get("VIP", 0)
    return {
        "as_of": found.as_of.isoformat(),
        "applied": found.applied,
        "cut_points_version": found.version,
        "cut_points": found.cut_points,
        "members": found.members,
        "changed": found.changed,
        "stages": found.counts,
        "vip_share_of_members": vips / found.members if found.members else None,
        "vip_share_of_sales": _share(found.vip_net90, found.total_net90),
        "alarms": found.alarms,
        "seconds": round(seconds, 2),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole > 0 else None


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _show(found: "SegmentRun", stages: "dict[Stage, StageCount]", seconds: float) -> None:
    from app.segments import Stage, stage_name

    out = Console()
    table = Table(title=f"Members by stage 会员分层, as of {found.as_of:%Y-%m-%d %H:%M %Z}")
    table.add_column("stage")
    table.add_column("名称")
    for heading in ("members", "share"):
        table.add_column(heading, justify="right")
    if found.applied:
        table.add_column("90-day sales", justify="right")
    for stage in Stage:
        number = int(found.counts.get(stage.value, 0))
        row = [stage_name(stage, "en"), stage_name(stage, "zh-CN"), f"{number:,}"]
        row.append(_percent(_share(number, found.members)))
        if found.applied:
            row.append(_percent(_share(stages[stage].net90, found.total_net90)))
        table.add_row(*row)
    out.print(table)
    out.print(
        f"{found.members:,} members, {found.changed:,} changed stage, in {seconds:.1f} s. "
        f"Cut points version {found.version}.",
        highlight=False,
    )
    if not found.applied:
        out.print("Newer stages are in force: this was a replay and changed nobody.")
    for alarm in found.alarms:
        out.print(f"[yellow]Alarm:[/] {_ALARMS[alarm]}", highlight=False)
