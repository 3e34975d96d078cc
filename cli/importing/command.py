"""The two commands, their options, and what they tell."""

import asyncio
import json as json_text
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy.exc import DBAPIError

from app.kernel.clock import system_clock
from app.kernel.config import BadSettings, Settings, load_settings
from app.kernel.crypto import Vault
from app.kernel.db import Database
from app.kernel.embedded import EmbeddedError, stores
from app.kernel.errors import Refusal
from app.orders import ImportKind
from cli.importing.plan import Wishes, plan
from cli.importing.reasons import ImportFailed

if TYPE_CHECKING:
    from cli.importing.load import Job, Report, Summary

import_app = typer.Typer(
    no_args_is_help=True,
    help="Import a shop's own orders and events from CSV (also .gz) or Parquet files.",
)

_File = Annotated[Path, typer.Argument(help="A CSV, gzipped CSV or Parquet file.", metavar="FILE")]
_Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        help="Which column is which, as field=column,field=column. Repeatable.",
        metavar="FIELD=COLUMN,…",
    ),
]
_Source = Annotated[
    str | None,
    typer.Option(
        help="The system the file comes from. Order and customer numbers are unique within it."
    ),
]
_Zone = Annotated[
    str | None,
    typer.Option(help="IANA time zone of times without an offset, and of new communities."),
]
_Community = Annotated[
    str | None,
    typer.Option(help="Community of new members, unless a column names it. Default: the source."),
]
_Rejects = Annotated[
    Path | None,
    typer.Option(help="Where rows that are not taken go. Default: FILE.rejects.csv, here."),
]
_Encoding = Annotated[
    str | None, typer.Option(help="The file's encoding. Default: UTF-8 or GB18030, found out.")
]
_DateFormat = Annotated[
    list[str] | None,
    typer.Option(help="How dates look, as %d.%m.%Y %H:%M, if not year first. Repeatable."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


@import_app.command("orders")
def import_orders(
    file: _File,
    preset: Annotated[
        str | None, typer.Option(help="A known kind of export: online-retail.")
    ] = None,
    map: _Map = None,
    source: _Source = None,
    time_zone: _Zone = None,
    fen_per_unit: Annotated[
        int, typer.Option(min=1, max=100_000, help="How many fen one unit of the prices is.")
    ] = 100,
    community: _Community = None,
    rejects: _Rejects = None,
    encoding: _Encoding = None,
    date_format: _DateFormat = None,
    json: _Json = False,
) -> None:
    """Import order lines: one row a line, lines of one order sharing its number.

    Needed columns: customer_id, order_no, at, sku, quantity, and unit_price or amount; known names
    of them, English and Chinese, are found by themselves. Orders count as settled at their time.
    Rows that cannot be taken are written to the rejects file with row, column and reason. A file
    may be imported again, or go on after an interruption: nothing is stored twice. Imported
    history sets off no rewards or messages.
    """
    _run(
        Wishes(
            kind=ImportKind.ORDERS,
            file=file,
            preset=preset,
            columns=map or [],
            source=source,
            time_zone=time_zone,
            fen_per_unit=fen_per_unit,
            community=community,
            rejects=rejects,
            encoding=encoding,
            date_formats=tuple(date_format or ()),
        ),
        json,
    )


@import_app.command("events")
def import_events(
    file: _File,
    map: _Map = None,
    source: _Source = None,
    time_zone: _Zone = None,
    community: _Community = None,
    rejects: _Rejects = None,
    encoding: _Encoding = None,
    date_format: _DateFormat = None,
    json: _Json = False,
) -> None:
    """Import what members did besides buying: one row an event, with an id of its own.

    Needed columns: customer_id, event_id, at and kind (session, browse, search, cart, share,
    check-in, group-post, group-leave, message-open, message-click). An id that was stored before
    is passed over.
    """
    _run(
        Wishes(
            kind=ImportKind.EVENTS,
            file=file,
            columns=map or [],
            source=source,
            time_zone=time_zone,
            community=community,
            rejects=rejects,
            encoding=encoding,
            date_formats=tuple(date_format or ()),
        ),
        json,
    )


def _run(wishes: Wishes, json: bool) -> None:
    said = Console(stderr=True)
    try:
        settings = load_settings()
        job = plan(wishes, zone=settings.time_zone, now=system_clock())
        with (
            stores(
                settings.data_dir,
                what="import",
                database_url=settings.database_url,
                redis_url=settings.redis_url,
            ) as found,
            _progress(said) as bars,
        ):
            summary = asyncio.run(_import(settings, found.database_url, job, _bar(bars)))
    except (ImportFailed, BadSettings, EmbeddedError) as error:
        said.print(f"[red]Error:[/] {error}", highlight=False)
        raise typer.Exit(2) from error
    except Refusal as refusal:
        said.print(f"[red]Error:[/] {refusal.message('en')} {refusal.message('zh-CN')}")
        raise typer.Exit(1) from refusal
    except (DBAPIError, OSError) as error:
        said.print(f"[red]Error:[/] {_stopped(error)}", highlight=False)
        raise typer.Exit(1) from error
    if json:
        typer.echo(json_text.dumps(_plain(job, summary), ensure_ascii=False, indent=2))
    else:
        _show(job, summary)
    if summary.rejected:
        said.print(
            f"[yellow]{summary.rejected:,} rows were not taken:[/] {job.rejects.path}",
            highlight=False,
        )
    if not summary.kept:
        raise typer.Exit(1)


def _stopped(error: DBAPIError | OSError) -> str:
    """What stopped the import, and that nothing is lost by it."""
    cause = str(error.orig if isinstance(error, DBAPIError) else error).partition("\n")[0]
    if "does not exist" in cause:
        return f"The database has not the tables it needs ({cause}). Run `linli migrate` first."
    return f"The import stopped: {cause} Run it again: it goes on where it was."


async def _import(settings: Settings, url: str, job: "Job", report: "Report") -> "Summary":
    from cli.importing.load import run_import

    database = Database(url, pool_size=4, pgbouncer=settings.pgbouncer)
    try:
        return await run_import(database, Vault.from_settings(settings), job, report)
    finally:
        await database.close()


def _progress(said: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}"),
        TimeElapsedColumn(),
        console=said,
        transient=True,
    )


def _bar(bars: Progress) -> "Report":
    task = bars.add_task("opening", total=None)

    def report(stage: str, done: int, of: int | None) -> None:
        bars.update(task, description=stage, completed=done, total=of)

    return report


def _plain(job: "Job", summary: "Summary") -> dict[str, Any]:
    # Not asdict: it rebuilds the counter of reasons from pairs, which then count as keys.
    figures = {item.name: getattr(summary, item.name) for item in fields(summary)}
    return {
        "file": str(job.file.path),
        "source": job.source,
        **figures,
        "rows_per_second": round(summary.rate()),
        "rejects": str(job.rejects.path) if summary.rejected else None,
    }


def _show(job: "Job", summary: "Summary") -> None:
    table = Table(title=f"{job.file.path.name} → {job.source}", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    rows: list[tuple[str, int]] = [("rows read 读取行数", summary.rows)]
    if summary.resumed_from:
        rows.append(("of them before the interruption 中断前", summary.resumed_from))
    rows += [("rows kept 有效行数", summary.kept), ("rows not taken 拒收行数", summary.rejected)]
    rows += [(f"  {reason}", count) for reason, count in sorted(summary.reasons.items())]
    rows.append(("new members 新会员", summary.members))
    if job.kind is ImportKind.ORDERS:
        rows += [
            ("new orders 新订单", summary.orders),
            ("new lines 新明细", summary.lines),
            ("new refunds 新退款", summary.refunds),
            ("refunds with their order 已匹配退款", summary.refunds_matched),
        ]
    else:
        rows.append(("new events 新事件", summary.events))
    for label, count in rows:
        table.add_row(label, f"{count:,}")
    table.add_row("reading 读取", f"{summary.reading_seconds:.1f} s")
    table.add_row("storing 入库", f"{summary.loading_seconds:.1f} s, {summary.rate():,.0f} rows/s")
    Console().print(table)
