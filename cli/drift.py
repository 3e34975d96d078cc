"""`linli drift`: whether the world is still the one that the churn model learned from."""

import asyncio
import json as json_text
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.session import open_database, open_stores
from cli.starting import SAYS

if TYPE_CHECKING:
    from uuid import UUID

    from app.churn import ChurnNight, DriftAlarm
    from app.kernel.config import Settings

TOP = 8


def drift(
    nights: Annotated[
        int, typer.Option("--nights", min=1, max=3_660, help="How many nights to look at.")
    ] = 30,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Write the nights as a picture (PNG) there.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show the drift of the scores and features night by night, and what came of the scores.

    First it is measured what came of nights whose horizon has passed. The index (PSI) of the score
    is an alarm from 0.25 on; those of features are shown and alarm nobody.
    """
    with open_stores("linli drift") as settings:
        rows, alarms, models = asyncio.run(_read(settings, nights))
    if plot is not None:
        try:
            _draw(rows, plot)
        except OSError as error:
            SAYS.print(f"[red]Error:[/] cannot write: {escape(str(error))}", highlight=False)
            raise typer.Exit(1) from error
        SAYS.print(f"Drawn to {plot}.", markup=False, highlight=False)
    if json:
        answer = {
            "nights": [_plain(row) | {"model": models.get(row.model_id)} for row in rows],
            "alarms": [_plain(row) for row in alarms],
        }
        typer.echo(json_text.dumps(answer, default=str, ensure_ascii=False, indent=2))
        return
    _show(rows, alarms)


async def _read(
    settings: "Settings", number: int
) -> "tuple[list[ChurnNight], list[DriftAlarm], dict[UUID, str]]":
    from app import churn

    async with open_database(settings) as database:
        async with database.begin() as tx:
            await churn.close_nights(tx, zone=settings.time_zone)
        async with database.read() as read:
            rows = await churn.nights(read, first=number)
            alarms = await churn.drift_alarms(read, first=TOP)
            return rows, alarms, await churn.models_of(read, rows)


def _plain(row: object) -> dict[str, Any]:
    return {name: value for name, value in vars(row).items() if not name.startswith("_")}


def _show(rows: "Sequence[ChurnNight]", alarms: "Sequence[DriftAlarm]") -> None:
    out = Console()
    if not rows:
        out.print("Nobody was scored yet: run `linli train`, then `linli score`. 尚无评分")
        return
    table = Table(title="Drift 漂移, night by night")
    for heading in ("as of", "members", "PSI", "expected", "silent", "Brier", "AUC"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            f"{row.as_of:%Y-%m-%d}",
            f"{row.members:,}",
            _number(row.score_psi, 3),
            _percent(row.mean_probability),
            _percent(row.base_rate),
            _number(row.brier, 4),
            _number(row.roc_auc, 4),
        )
    out.print(table)
    _show_features(out, rows[0])
    for alarm in alarms:
        ended = "still open" if alarm.closed_at is None else f"until {alarm.closed_at:%Y-%m-%d}"
        colour = "red" if alarm.closed_at is None else "yellow"
        out.print(
            f"[{colour}]{alarm.kind.value}[/] {alarm.value:.3f} over {alarm.limit:.3f}, from "
            f"{alarm.raised_at:%Y-%m-%d}, {ended}",
            highlight=False,
        )


def _show_features(out: Console, row: "ChurnNight") -> None:
    known = {n: v for n, v in row.feature_psi.items() if isinstance(v, int | float)}
    if not known:
        out.print("No training distribution to compare the features with. 无训练分布可比")
        return
    table = Table(title=f"Features farthest from training 特征漂移, {row.as_of:%Y-%m-%d}")
    table.add_column("feature")
    table.add_column("PSI", justify="right")
    for name in sorted(known, key=lambda one: -known[one])[:TOP]:
        table.add_row(name, f"{known[name]:.3f}")
    out.print(table)


def _draw(rows: "Sequence[ChurnNight]", path: Path) -> None:
    from app import churn
    from ml.drift_plot import Line, draw

    ordered = list(reversed(rows))
    days = [row.as_of for row in ordered]
    draw(
        [
            Line("PSI of the score", days, [row.score_psi for row in ordered], churn.SCORE_LIMIT),
            Line("expected to fall silent", days, [row.mean_probability for row in ordered]),
            Line("fell silent", days, [row.base_rate for row in ordered]),
            Line("Brier score", days, [row.brier for row in ordered]),
        ],
        path,
    )


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
