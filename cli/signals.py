"""`linli signals`: who uses the platform much less than they did themselves."""

import asyncio
import json as json_text
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cli.instants import as_of_or_data_end
from cli.session import open_database, open_stores

if TYPE_CHECKING:
    from app.churn import ChurnSignal
    from app.kernel.config import Settings

    Row = tuple[ChurnSignal, str]

_KINDS = {"LOGINS": "log-ins 登录", "USAGE": "minutes of use 使用分钟"}
_MINUTE = 60


def signals(
    first: Annotated[
        int, typer.Option("--first", min=1, max=10_000, help="How many to list at the most.")
    ] = 50,
    look: Annotated[
        bool,
        typer.Option("--look", help="First look at everybody anew, as the nightly job does."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List open signals: members whose log-ins or use fell against their own 28 days before.

    The greatest fall first. A signal begins at 30% fewer log-ins or 40% less use, from four
    sessions in the earlier 28 days on, and lowers the member's trigger while it lasts.
    """
    with open_stores("linli signals") as settings:
        total, rows = asyncio.run(_read(settings, first, look=look))
    if json:
        answer = {"open": total, "signals": [_plain(*row) for row in rows]}
        typer.echo(json_text.dumps(answer, default=str, ensure_ascii=False, indent=2))
        return
    _show(total, rows)


async def _read(settings: "Settings", first: int, *, look: bool) -> "tuple[int, list[Row]]":
    from app import churn, members

    async with open_database(settings) as database:
        if look:
            at = await as_of_or_data_end(database, None, settings.time_zone)
            async with database.read() as read:
                zones = await churn.time_zones(read)
            for zone in zones:
                async with database.begin() as tx:
                    await churn.look_at_signals(tx, zone=zone, at=at)
        async with database.read() as read:
            total = await churn.count_open_signals(read)
            rows = await churn.open_signals(read, first=first)
            names = await members.by_id(read, [row.member_id for row in rows])
    return total, [(row, names[row.member_id].nickname) for row in rows]


def _plain(row: "ChurnSignal", nickname: str) -> dict[str, Any]:
    from app import churn

    return {
        "member_id": str(row.member_id),
        "nickname": nickname,
        "kind": row.kind.value,
        "baseline": row.baseline,
        "recent": row.recent,
        "change": round(row.change, 4),
        "opened_at": row.opened_at.isoformat(),
        "as_of": row.as_of.isoformat(),
        "reason": churn.signal_reason(row.kind, baseline=row.baseline, recent=row.recent),
    }


def _show(total: int, rows: "list[Row]") -> None:
    out = Console()
    if not rows:
        out.print("No signal is open; `linli signals --look` looks at everybody anew. 没有信号")
        return
    table = Table(title="Open signals 行为信号")
    for heading in ("member", "what", "28 days before", "newest 28 days", "change", "since"):
        table.add_column(heading, justify="left" if heading in ("member", "what") else "right")
    for row, nickname in rows:
        unit = _MINUTE if row.kind.value == "USAGE" else 1
        table.add_row(
            nickname,
            _KINDS[row.kind.value],
            f"{row.baseline // unit:,}",
            f"{row.recent // unit:,}",
            f"{row.change:+.0%}",
            f"{row.opened_at:%Y-%m-%d}",
        )
    out.print(table)
    if total > len(rows):
        out.print(f"{len(rows):,} of {total:,} are listed; --first lists more.", highlight=False)
