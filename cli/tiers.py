"""`linli tiers run`: the monthly run, previewed or published."""

import asyncio
import json as json_text
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.errors import Refusal
from cli.instants import as_of_or_data_end
from cli.session import open_database, open_stores
from cli.starting import SAYS

if TYPE_CHECKING:
    from app.members import Member
    from app.tiers import MoveCount, RunState, Tier, TierMove

SAMPLE: Final = 10

tiers_app = typer.Typer(no_args_is_help=True, help="Membership tiers: NORMAL, GOLD, DIAMOND.")


@dataclass(frozen=True, slots=True)
class RunShown:
    """A run as the command shows it."""

    month: date
    state: "RunState"
    members: int
    seconds: float
    tiers: "dict[str, Tier]"
    standings: dict[str, int]
    counts: "list[MoveCount]"
    sample: "list[tuple[TierMove, Member]]"


@tiers_app.callback()
def root() -> None:
    """Membership tiers: NORMAL, GOLD, DIAMOND."""


@tiers_app.command()
def run(
    preview: Annotated[
        bool,
        typer.Option("--preview", help="Only say who would move and why; change nobody."),
    ] = False,
    month: Annotated[
        str | None,
        typer.Option(
            "--month",
            help="The month to run (2011-12), judged by the 365 days before its first day in each "
            "neighbourhood's time zone. Default: the present month, or the one after the data "
            "where these end long ago.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Move members between tiers by their growth of the last 365 days.

    Growth is 1 per yuan of settled spend, less refunds, with check-ins and invitations. Members
    move up when they reach a tier; down only after a warning month and 30 days of grace. A run
    that was cut short goes on where it stopped; a published one changes nobody again.
    """
    with open_stores("linli tiers run") as settings:
        try:
            shown = asyncio.run(_run(settings, month, preview_only=preview))
        except (Refusal, ValueError) as error:
            told = error.message("en") if isinstance(error, Refusal) else str(error)
            SAYS.print(f"[red]Error:[/] {told}", highlight=False)
            raise typer.Exit(2) from error
    if json:
        typer.echo(json_text.dumps(as_json(shown), ensure_ascii=False, indent=2))
    else:
        _show(shown)


async def _run(settings: Settings, month_text: str | None, *, preview_only: bool) -> RunShown:
    from app import tiers

    async with open_database(settings) as database:
        zone = settings.time_zone
        if month_text is None:
            month = tiers.run_month(await as_of_or_data_end(database, None, zone), zone)
        else:
            month = tiers.parse_month(month_text)
        started = time.monotonic()
        zones = await _zones(database, month, zone, preview_only=preview_only)
        for each in zones:
            await _to_the_end(database, month, each, preview_only=preview_only)
        return await _shown(database, month, zones, time.monotonic() - started)


async def _zones(database: Database, month: date, home: str, *, preview_only: bool) -> list[str]:
    """The zones whose run can be taken on: to publish, those where the month has begun.

    Where it has begun nowhere yet the platform's is named, which says so.
    """
    from app import tiers

    async with database.read() as read:
        zones = await tiers.zones(read) or [home]
        begun = [zone for zone in zones if tiers.cutoff_of(month, zone) <= read.now]
    return zones if preview_only else begun or [home]


async def _to_the_end(database: Database, month: date, zone: str, *, preview_only: bool) -> None:
    from app import tiers

    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)
        begun = await tiers.run_of(tx, month, zone)
        if preview_only and begun is not None and begun.state is tiers.RunState.PREVIEWED:
            await tiers.restart_preview(tx, month=month, zone=zone)
        total = sum((await tiers.standing_counts(tx)).values())
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}"),
        TimeElapsedColumn(),
        console=SAYS,
        transient=True,
    ) as bars:
        bar = bars.add_task("Judging growth 计算成长值", total=total or None)
        while True:
            async with database.begin() as tx:
                progress = await tiers.advance(
                    tx, month=month, preview_only=preview_only, zone=zone
                )
            if progress.state in (tiers.RunState.PUBLISHING, tiers.RunState.PUBLISHED):
                bars.update(bar, description="Moving members 调整等级", total=None)
            bars.advance(bar, progress.done)
            if progress.finished:
                return


async def _shown(database: Database, month: date, zones: Sequence[str], seconds: float) -> RunShown:
    from app import members, tiers

    async with database.read() as read:
        found = [await tiers.run_of(read, month, zone) for zone in zones]
        runs = [run for run in found if run is not None]
        if len(runs) < len(zones):
            raise LookupError(f"the run of {month} has vanished")
        order = list(tiers.RunState)
        rows = await tiers.moves(read, month, first=SAMPLE)
        people = await members.by_id(read, {row.member_id for row in rows})
        return RunShown(
            month=month,
            # That of the zone which has come least far.
            state=min((run.state for run in runs), key=order.index),
            members=sum(run.members for run in runs),
            seconds=seconds,
            tiers={tier.code: tier for tier in await tiers.all_tiers(read)},
            standings=await tiers.standing_counts(read),
            counts=await tiers.move_counts(read, month),
            sample=[(row, people[row.member_id]) for row in rows],
        )


def as_json(shown: RunShown) -> dict[str, Any]:
    """A run as machines read it; growth in yuan-worth points."""
    return {
        "month": f"{shown.month:%Y-%m}",
        "state": shown.state.value,
        "members": shown.members,
        "seconds": round(shown.seconds, 2),
        "standings": shown.standings,
        "moves": [
            {"kind": count.kind, "from": count.from_code, "to": count.to_code, "n": count.members}
            for count in shown.counts
        ],
        "sample": [
            {
                "member": str(move.member_id),
                "kind": move.kind,
                "from": move.from_code,
                "to": move.to_code,
                "growth": move.growth,
                "threshold": move.threshold,
                "applied": move.applied,
                "reason": _reason(shown, move, chinese=False),
                "reason_zh": _reason(shown, move, chinese=True),
            }
            for move, _ in shown.sample
        ],
    }


def _reason(shown: RunShown, move: "TierMove", *, chinese: bool) -> str:
    from app import tiers

    def name(code: str) -> str:
        tier = shown.tiers[code]
        return tier.name_zh if chinese else tier.name_en

    why = tiers.Why(
        kind=move.kind,
        from_name=name(move.from_code),
        to_name=name(move.to_code),
        growth=move.growth,
        threshold=move.threshold,
    )
    return tiers.reason_of(why, chinese=chinese)


def _show(shown: RunShown) -> None:
    out = Console()
    published = shown.state.value == "PUBLISHED"
    title = "published 已发布" if published else "preview, nobody moved yet 预览（尚未生效）"
    out.print(f"Tier run 等级结算 {shown.month:%Y-%m}: {title}")
    counts = Table()
    for heading in ("what", "from", "to"):
        counts.add_column(heading)
    counts.add_column("members", justify="right")
    for count in shown.counts:
        counts.add_row(
            str(count.kind),
            _named(shown, count.from_code),
            _named(shown, count.to_code),
            f"{count.members:,}",
        )
    if not shown.counts:
        counts.add_row("nobody moves 无人变动", "", "", "0")
    out.print(counts)
    if shown.sample:
        out.print(_sample(shown))
    standing = " · ".join(
        f"{_named(shown, code)} {shown.standings.get(code, 0):,}" for code in shown.tiers
    )
    out.print(
        f"{shown.members:,} members judged in {shown.seconds:.1f} s. Standing now: {standing}"
    )
    if not published:
        out.print("Publish it with `linli tiers run` 发布：去掉 --preview 再运行")


def _named(shown: RunShown, code: str) -> str:
    tier = shown.tiers[code]
    return f"{tier.name_en} {tier.name_zh}"


def _sample(shown: RunShown) -> Table:
    table = Table(title="Some of them 示例")
    for heading in ("member", "what", "why", "原因"):
        table.add_column(heading)
    for move, member in shown.sample:
        table.add_row(
            member.nickname,
            str(move.kind),
            _reason(shown, move, chinese=False),
            _reason(shown, move, chinese=True),
        )
    return table
