"""`linli backtest FILE`: what the churn models would have been worth on a shop's own past."""

import csv
import json as json_text
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.backtest_report import day, plain, show
from cli.language import reader_language

if TYPE_CHECKING:
    from ml.backtest import Report
    from ml.facts import Facts
    from ml.files import Tally


def backtest(
    file: Annotated[
        Path,
        typer.Argument(
            help="Orders or order lines: CSV, gzipped CSV or Parquet with the columns "
            "customer_id, timestamp and amount (quantity, n_products, invoice, product, category "
            "and discount are used if present), also under common English and Chinese names.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ],
    horizon: Annotated[
        int, typer.Option(min=1, max=730, help="Days without an order that count as silent.")
    ] = 45,
    active: Annotated[
        int, typer.Option(min=1, max=3650, help="Only customers with an order in so many days.")
    ] = 180,
    cutoffs: Annotated[
        str | None,
        typer.Option(
            help="Days to test at, as 2011-06-02,2011-07-17. Default: the last four, 45 days "
            "apart, that the file allows."
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="Which column of the file is what, as amount=paid; may be repeated."),
    ] = None,
    draws: Annotated[
        int, typer.Option(min=20, max=100_000, help="Draws of customers for the intervals.")
    ] = 1_000,
    lead: Annotated[
        bool, typer.Option(help="Score every week as well, and report how early warnings come.")
    ] = True,
    plots: Annotated[
        Path | None,
        typer.Option(help="Folder for roc.png, calibration.png, lift.png and lead.png."),
    ] = None,
    lang: Annotated[
        Literal["en", "zh"] | None,
        typer.Option(help="Language of the plots; by default that of the locale."),
    ] = None,
    dump: Annotated[
        Path | None,
        typer.Option(
            help="Also write customer_id, cutoff and p, the probability of no order, of every "
            "customer at stake at each cutoff to this CSV file."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Test the churn models on the past of your own orders.

    At each cutoff day the models learn only from what was known by then, say for every customer
    with a recent order how likely no order comes in the next days, and are then compared with
    what happened. The product's model stands beside simple baselines on the same customers, every
    figure with its 95% interval.
    """
    from ml.errors import ModelError
    from ml.writing import refuse_unwritable

    said = Console(stderr=True)
    try:
        named, days = _columns(column or []), _days(cutoffs)
        if dump is not None:
            refuse_unwritable(dump)
        facts, tally = _read(file, named, said)
        report = _run(facts, horizon, active, days, draws, lead, said)
        written = _images(report, plots, lang)
        if dump is not None:
            _dump(dump, facts, report)
    except (ModelError, ValueError) as error:
        said.print("[red]Error:[/] ", end="")
        said.print(str(error), highlight=False, markup=False)
        raise typer.Exit(2) from error
    except OSError as error:
        said.print("[red]Error:[/] ", end="")
        said.print(f"cannot write: {error}", highlight=False, markup=False)
        raise typer.Exit(1) from error
    if json:
        told = plain(report, tally, written)
        typer.echo(json_text.dumps(told, ensure_ascii=False, indent=2, allow_nan=False))
        return
    show(report, tally, [*written, *([dump] if dump else [])])


def _days(text: str | None) -> list[int] | None:
    """Epoch seconds of comma-separated days. Raises ValueError naming the one that is no day."""
    if text is None:
        return None
    try:
        days = [date.fromisoformat(word.strip()) for word in text.split(",") if word.strip()]
    except ValueError as error:
        raise ValueError(f"--cutoffs wants days such as 2011-06-02: {error}") from error
    if not days:
        raise ValueError("--cutoffs is empty; leave it out for the default days.")
    return sorted({int(datetime(d.year, d.month, d.day, tzinfo=UTC).timestamp()) for d in days})


def _columns(given: list[str]) -> dict[str, str]:
    """The columns that `--column ours=theirs` names."""
    named: dict[str, str] = {}
    for part in given:
        ours, sign, theirs = part.partition("=")
        if not (sign and ours.strip() and theirs.strip()):
            raise ValueError(f"--column takes ours=theirs, as amount=paid, not {part!r}.")
        named[ours.strip()] = theirs.strip()
    return named


def _bars(said: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=said,
        transient=True,
    )


def _read(file: Path, named: dict[str, str], said: Console) -> "tuple[Facts, Tally]":
    from ml.files import read

    with _bars(said) as bars:
        task = bars.add_task(f"Reading {file.name} (%)", total=100)

        def told(share: float) -> None:
            bars.update(task, completed=int(100 * share))

        return read(file, told, columns=named)


def _run(
    facts: "Facts",
    horizon: int,
    active: int,
    days: list[int] | None,
    draws: int,
    lead: bool,
    said: Console,
) -> "Report":
    from ml.backtest import backtest as run

    with _bars(said) as bars:
        task = bars.add_task("Training and testing", total=None)
        return run(
            facts,
            horizon_days=horizon,
            active_days=active,
            cutoffs=days,
            draws=draws,
            weekly=lead,
            progress=lambda done, total: bars.update(task, completed=done, total=total),
        )


def _images(report: "Report", folder: Path | None, lang: Literal["en", "zh"] | None) -> list[Path]:
    if folder is None:
        return []
    from ml.plots import draw

    return draw(report, folder, lang or reader_language())


def _dump(path: Path, facts: "Facts", report: "Report") -> None:
    """One row a customer of the population and cutoff: the probability of no order.

    Ids are written as the file has them, bytes that are no UTF-8 included.
    """
    from ml.writing import whole

    with (
        whole(path) as draft,
        draft.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["customer_id", "cutoff", "p"])
        for test in report.tests:
            cutoff = day(test.cutoff)
            told = zip(test.members.tolist(), test.probability["product"].tolist(), strict=True)
            for member, probability in told:
                who = bytes(facts.member_ids[member]).decode("utf-8", "surrogateescape")
                writer.writerow([who, cutoff, f"{probability:.9f}"])
