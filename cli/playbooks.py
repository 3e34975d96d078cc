"""`linli playbooks seed` and `linli effects`: the ready playbook, and what playbooks changed."""

import asyncio
import json as json_text
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from app.kernel.config import Settings
from cli.session import open_database, open_stores
from cli.starting import SAYS

if TYPE_CHECKING:
    from app.playbooks import Effect, Estimate, Playbook

playbooks_app = typer.Typer(no_args_is_help=True, help="Playbooks: what is done about alerts.")


@playbooks_app.callback()
def root() -> None:
    """Playbooks: what is done about alerts."""


@playbooks_app.command()
def seed(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Draft the ready playbook with a batch for each of its offers, unless it is there.

    Nothing is given before staff approve the batches and activate the playbook.
    """
    with open_stores("linli playbooks seed") as settings:
        made = asyncio.run(_seed(settings))
    if json:
        typer.echo(json_text.dumps({"made": made}))
        return
    SAYS.print("A playbook is drafted 已起草预案" if made else "It is there 预案已存在")


async def _seed(settings: Settings) -> str | None:
    from app import playbooks

    async with open_database(settings) as database, database.begin() as tx:
        row = await playbooks.ensure_playbook(tx)
        return None if row is None else str(row.id)


def effects(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Say what each playbook in force changed: treated members against those held out by lot.

    Members count once, when the horizon after their first action is over. A difference comes with
    its 95% interval; where the split is not what was drawn (p < 0.001), none is shown.
    """
    with open_stores("linli effects") as settings:
        found = asyncio.run(_effects(settings))
    if json:
        typer.echo(json_text.dumps([_plain(row, rows) for row, rows in found], ensure_ascii=False))
        return
    out = Console()
    if not found:
        out.print("No playbook is in force 没有启用的预案.")
    for row, rows in found:
        out.print(_table(row, rows))


async def _effects(settings: Settings) -> "list[tuple[Playbook, list[Effect]]]":
    from app import playbooks

    async with open_database(settings) as database, database.read() as read:
        running = await playbooks.running_experiments(read)
        found = await playbooks.effects_by_playbook(read, [row.id for row in running])
    return [(row, found[row.id]) for row in running]


def _plain(row: "Playbook", rows: "list[Effect]") -> dict[str, Any]:
    return {
        "playbook": row.name,
        "version": row.version,
        "horizon_days": row.horizon_days,
        "effects": [
            {
                "level": one.level,
                "audience": one.audience,
                "treated": {"members": one.treated.members, "stayed": one.treated.stayed},
                "control": {"members": one.control.members, "stayed": one.control.stayed},
                "stay": _three(one.stay),
                "net_fen": _three(one.net),
                "split": one.split,
                "blocked": one.is_blocked,
            }
            for one in rows
        ],
    }


def _three(found: "Estimate | None") -> list[float] | None:
    return None if found is None else [found.value, found.low, found.high]


def _table(row: "Playbook", rows: "list[Effect]") -> Table:
    title = f"{row.name} v{row.version}: {row.horizon_days} days after 行动后{row.horizon_days}天"
    table = Table(title=title)
    for head in ("level 级别", "audience 人群"):
        table.add_column(head)
    for head in ("treated 干预", "held out 对照", "stayed more 多留存", "net ¥ a member 人均净增"):
        table.add_column(head, justify="right")
    for one in rows:
        table.add_row(
            one.level or "whole 整体",
            one.audience or "all 全部",
            f"{one.treated.rate:.1%} of {one.treated.members:,}",
            f"{one.control.rate:.1%} of {one.control.members:,}",
            "split is wrong 分流异常" if one.is_blocked else _points(one.stay),
            _yuan(one.net),
        )
    return table


def _points(found: "Estimate | None") -> str:
    if found is None:
        return "-"
    return f"{found.value:+.1%} ({found.low:+.1%} to {found.high:+.1%})"


def _yuan(found: "Estimate | None") -> str:
    if found is None:
        return "-"
    return f"{found.value / 100:+.2f} ({found.low / 100:+.2f} to {found.high / 100:+.2f})"
