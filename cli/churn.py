"""`linli train` and `linli score`: the churn model, and what it says of the members today."""

import asyncio
import json as json_text
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.kernel.config import Settings
from cli.instants import as_of_or_data_end
from cli.language import reader_language
from cli.models import show_evidence
from cli.session import open_database, open_stores
from cli.starting import SAYS

if TYPE_CHECKING:
    from app.churn import ChurnAlert, NextOrderOutlook
    from workers.churn import Scored
    from workers.training import Trained

TOP: Final = 10
_FIGURES: Final = (
    ("roc_auc", "ROC AUC"),
    ("pr_auc", "PR AUC"),
    ("brier", "Brier"),
    ("ece", "calibration error"),
    ("lift", "lift, riskiest tenth"),
)


@dataclass(frozen=True)
class _Open:
    """An open alert, its member, and what is said of their next order."""

    alert: "ChurnAlert"
    nickname: str
    outlook: "NextOrderOutlook"
    days: float | None


AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        help="Look only at what was known before this day (2011-09-01, from midnight in the "
        "platform's time zone) or instant (2011-09-01T03:00+08:00). Default: now, or the end "
        "of the data where that is long past.",
    ),
]
Dask = Annotated[
    str | None,
    typer.Option(
        "--dask",
        help="The address of a Dask scheduler (tcp://10.0.0.5:8786) whose workers shall do it; "
        "needs the extra `linli[dask]`. docs/scale.md says when it pays.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def train(
    as_of: AsOf = None,
    horizon: Annotated[
        int, typer.Option("--horizon", min=7, max=180, help="How many days ahead it looks.")
    ] = 45,
    dask: Dask = None,
    json: AsJson = False,
) -> None:
    """Train the churn model on the orders and events in the database.

    The model learns from windows of the past that have closed: who placed no order in the 45 days
    after a day, and what could be known of them before it. The first is put in force; a later one
    is, if it wins beside the one in force on windows that neither had learned from.
    """
    with _refusals(), open_stores("linli train") as settings:
        trained = asyncio.run(_train(settings, as_of, horizon, dask))
    if json:
        typer.echo(json_text.dumps(asdict(trained), default=str, ensure_ascii=False, indent=2))
        return
    _show_model(trained)


def score(as_of: AsOf = None, dask: Dask = None, json: AsJson = False) -> None:
    """Score every member with a recent order and raise alerts for those about to leave.

    Scores older than those in force are ignored. An alert is raised when a member's probability
    of placing no order rises through the trigger, once a rise.
    """
    with _refusals(), open_stores("linli score") as settings:
        scored, top = asyncio.run(_score(settings, as_of, dask))
    if json:
        answer = {**_plain(scored), "alerts": [_alert(one) for one in top]}
        typer.echo(json_text.dumps(answer, default=str, ensure_ascii=False, indent=2))
        return
    _show_scores(scored, top)


@contextmanager
def _refusals() -> Generator[None]:
    """Say plainly what stands in the way, and how to mend it."""
    from app.kernel.errors import Refusal
    from ml.errors import NoCluster, TooLittleHistory
    from workers.models import ModelWorkFailed

    try:
        yield
    except TooLittleHistory as error:
        SAYS.print(f"[red]Too little history:[/] {error}", highlight=False)
        SAYS.print("Import or simulate some months of orders, then train again.")
        raise typer.Exit(3) from error
    except (NoCluster, ModelWorkFailed) as error:
        SAYS.print(f"[red]Error:[/] {error}", highlight=False)
        SAYS.print("Nothing was changed; the scores so far stay in force.")
        raise typer.Exit(1) from error
    except Refusal as error:
        SAYS.print(f"[red]Error:[/] {error}", highlight=False)
        SAYS.print("The scores so far stay in force. `linli train` makes a new model.")
        raise typer.Exit(1) from error
    except ValueError as error:
        SAYS.print(f"[red]Error:[/] {error}", highlight=False)
        raise typer.Exit(2) from error


@contextmanager
def _bar(what: str) -> Generator[Callable[[int, int], None]]:
    """A progress bar on standard error, and the function that moves it (from any thread)."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=SAYS,
        transient=True,
    ) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


async def _train(
    settings: Settings, as_of: str | None, horizon: int, dask: str | None
) -> "Trained":
    from workers.training import train_model

    zone = settings.time_zone
    async with open_database(settings) as database:
        at = await as_of_or_data_end(database, as_of, zone)
        with _bar("Reading and training") as progress:
            return await train_model(
                database,
                as_of=at,
                zone=zone,
                progress=progress,
                horizon_days=horizon,
                cluster=dask,
            )


async def _score(
    settings: Settings, as_of: str | None, dask: str | None
) -> "tuple[Scored, list[_Open]]":
    from app import churn, members
    from workers.churn import score_members

    zone = settings.time_zone
    async with open_database(settings) as database:
        at = await as_of_or_data_end(database, as_of, zone)
        with _bar("Scoring members") as progress:
            scored = await score_members(
                database, as_of=at, zone=zone, progress=progress, cluster=dask
            )
        async with database.read() as read:
            rows = (await churn.alerts_page(read, state=None, after=None, first=TOP))[:TOP]
            ids = [row.member_id for row in rows]
            names = await members.by_id(read, ids)
            scores = await churn.score_by_member(read, ids)
    return scored, [
        _Open(
            row,
            names[row.member_id].nickname,
            *churn.next_order(scores[row.member_id].next_order_days),
        )
        for row in rows
    ]


def _plain(scored: "Scored") -> dict[str, Any]:
    return {
        "model": scored.version,
        "as_of": scored.as_of.isoformat(),
        "horizon_days": scored.horizon_days,
        **asdict(scored.stored),
    }


def _alert(one: "_Open") -> dict[str, Any]:
    row = one.alert
    return {
        "member_id": str(row.member_id),
        "nickname": one.nickname,
        "level": row.state.value,
        "probability": row.probability,
        "next_order_days": None if one.days is None else round(one.days, 1),
        "next_order_outlook": one.outlook.value,
        "raised_at": row.raised_at.isoformat(),
        "reasons": row.reasons,
    }


def _show_model(trained: "Trained") -> None:
    out = Console()
    out.print(
        f"Model [bold]{trained.version}[/] ({trained.choice}), trained on {trained.orders:,} "
        f"orders of {trained.members:,} members, looks {trained.horizon_days} days ahead.",
        highlight=False,
    )
    if trained.metrics:
        table = Table(title="On windows it had not learned from (mean)")
        table.add_column("figure")
        table.add_column("value", justify="right")
        for name, heading in _FIGURES:
            table.add_row(heading, f"{trained.metrics[name]:.4f}")
        out.print(table)
    else:
        out.print("The history is too short to try the model on a window of its own.")
    if trained.role.value == "CHALLENGER":
        show_evidence(out, trained.evidence)
        out.print("The model in force stays; this one is kept as the challenger.")
    else:
        out.print("It is in force. `linli score` scores the members with it.")


def _show_scores(scored: "Scored", top: list[_Open]) -> None:
    from app import churn

    out = Console()
    done = scored.stored
    out.print(
        f"{done.stored:,} members scored as of {scored.as_of:%Y-%m-%d %H:%M %Z} by "
        f"{scored.version}; {done.raised:,} alerts raised, {done.recovered:,} recovered.",
        highlight=False,
    )
    if done.ignored:
        out.print(
            f"{done.ignored:,} scores were ignored: their members have newer ones, or have left.",
            highlight=False,
        )
    if not top:
        out.print("No alert is open.")
        return
    table = Table(title=f"Most likely to place no order within {scored.horizon_days} days")
    for heading in ("member", "level", "probability", "next order in", "reasons"):
        table.add_column(heading)
    words, late = reader_language(), f"over {churn.LONGEST_WAIT} days"
    for one in top:
        row = one.alert
        reasons = "\n".join(str(reason[words]) for reason in row.reasons)
        days = late if one.outlook.value == "LATE" else ""
        if one.days is not None:
            days = f"{one.days:.0f} days"
        table.add_row(one.nickname, row.state.value, f"{row.probability:.0%}", days, reasons)
    out.print(table)
