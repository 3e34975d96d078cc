"""`linli backtest FILE`: what the churn models would have been worth on a shop's own past."""

import csv
import json as json_text
from datetime import UTC, date, datetime
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from ml.backtest import Report
    from ml.facts import Facts
    from ml.files import Tally
    from ml.lead import LeadReport

_FIGURES: Final = (
    ("roc_auc", "ROC AUC"),
    ("pr_auc", "PR AUC"),
    ("brier", "Brier"),
    ("ece", "ECE"),
    ("lift", "lift"),
)
_NAMES: Final = {
    "product": "Linli (as deployed)",
    "xgboost": "XGBoost alone",
    "lightgbm": "LightGBM",
    "logistic_rich": "logistic, all columns",
    "bgnbd": "BG/NBD",
    "logistic": "logistic regression",
    "recency_frequency": "recency × frequency",
    "rfm": "RFM score",
    "recency": "recency only",
}


def backtest(
    file: Annotated[
        Path,
        typer.Argument(
            help="Orders or order lines: CSV, gzipped CSV or Parquet with the columns "
            "customer_id, timestamp and amount (quantity, n_products and invoice are used if "
            "present).",
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
    plots: Annotated[
        Path, typer.Option(help="Folder for roc.png, calibration.png and lift.png.")
    ] = Path("backtest-plots"),
    dump: Annotated[
        Path | None,
        typer.Option(
            help="Also write customer_id, cutoff and p, the probability of no order, of every "
            "customer at stake at each cutoff to this CSV file."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Test the churn models on the past of your own orders.

    At each cutoff day the models learn only from what was known by then, say for every customer
    with a recent order how likely no order comes in the next days, and are then compared with
    what happened. The product's model stands beside simple baselines on the same customers.
    """
    from ml.errors import ModelError

    said = Console(stderr=True)
    try:
        facts, tally, report = _run(file, horizon, active, _days(cutoffs), said)
        images = _images(report, plots)
        if dump is not None:
            _dump(dump, facts, report)
    except (ModelError, ValueError) as error:
        said.print(f"[red]Error:[/] {error}", highlight=False)
        raise typer.Exit(2) from error
    except OSError as error:
        said.print(f"[red]Error:[/] cannot write: {error}", highlight=False)
        raise typer.Exit(1) from error
    if json:
        typer.echo(json_text.dumps(_plain(report, tally, images), ensure_ascii=False, indent=2))
        return
    _show(report, tally, images, dump)


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


def _run(
    file: Path, horizon: int, active: int, days: list[int] | None, said: Console
) -> tuple["Facts", "Tally", "Report"]:
    from ml.backtest import backtest as run
    from ml.files import read

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=said,
        transient=True,
    ) as bars:
        reading = bars.add_task(f"Reading {file.name} (%)", total=100)
        facts, tally = read(file, lambda share: bars.update(reading, completed=int(100 * share)))
        bars.update(reading, completed=100)
        testing = bars.add_task("Training and testing cutoffs", total=None)
        report = run(
            facts,
            horizon_days=horizon,
            active_days=active,
            cutoffs=days,
            progress=lambda done, total: bars.update(testing, completed=done, total=total),
        )
    return facts, tally, report


def _images(report: "Report", folder: Path) -> list[Path]:
    from ml.plots import draw

    return draw(report, folder)


def _dump(path: Path, facts: "Facts", report: "Report") -> None:
    """One row a customer of the population and cutoff: the probability of no order."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["customer_id", "cutoff", "p"])
        for test in report.tests:
            day = _day(test.cutoff)
            told = zip(test.members.tolist(), test.probability["product"].tolist(), strict=True)
            for member, probability in told:
                who = bytes(facts.member_ids[member]).decode("utf-8", "replace")
                writer.writerow([who, day, f"{probability:.9f}"])


def _day(instant: int) -> str:
    return datetime.fromtimestamp(instant, UTC).date().isoformat()


def _plain(report: "Report", tally: "Tally", images: list[Path]) -> dict[str, Any]:
    gain = report.gain
    return {
        "horizon_days": report.horizon_days,
        "active_days": report.active_days,
        "rows": {"read": tally.rows, "used": tally.used, "left_out": tally.left_out},
        "cutoffs": [
            {
                "day": _day(test.cutoff),
                "members": len(test.members),
                "silent_share": float(test.outcome.mean()),
                "chosen": test.choice,
                "correction": test.correction,
                "trained_on": [_day(cutoff) for cutoff in test.trained_on],
                "models": {
                    model: {figure: getattr(metrics, figure) for figure, _ in _FIGURES}
                    for model, metrics in test.metrics.items()
                },
            }
            for test in report.tests
        ],
        "mean": report.mean,
        "gain": {"over": report.best_baseline, "auc": gain.mean, "interval": [gain.low, gain.high]},
        "lead": None if report.lead is None else _plain_lead(report.lead),
        "plots": [str(image) for image in images],
    }


def _plain_lead(lead: "LeadReport") -> dict[str, Any]:
    return {
        "silent_days": lead.silent_days,
        "early_days": lead.early_days,
        "precision": lead.precision,
        "weeks": lead.weeks,
        "silences": lead.silences,
        "churned_share": lead.churned_share,
        # JSON has no infinity: a threshold that nothing reaches is null.
        "models": {
            model: {
                "average_precision": one.average_precision,
                "threshold": one.threshold if isfinite(one.threshold) else None,
                "recall": one.recall,
                "median_days": one.median_days if isfinite(one.median_days) else None,
            }
            for model, one in lead.models.items()
        },
    }


def _show(report: "Report", tally: "Tally", images: list[Path], dump: Path | None) -> None:
    out = Console()
    out.print(f"{tally.used:,} of {tally.rows:,} rows used.", highlight=False)
    for reason, number in tally.left_out.items():
        first = tally.first.get(reason)
        out.print(
            f"  left out: {number:,} × {reason}" + (f" (first: {first})" if first else ""),
            highlight=False,
            markup=False,
        )
    out.print(_by_cutoff(report))
    chosen = ", ".join(f"{_day(test.cutoff)} {test.choice}" for test in report.tests)
    out.print(f"Kind of model chosen on each cutoff's own past: {chosen}.", highlight=False)
    out.print(_by_model(report))
    out.print(
        "Higher is better for ROC AUC, PR AUC and lift (the riskiest tenth against all); lower "
        "for Brier and ECE (calibration error in ten bins of equal size).",
        highlight=False,
        style="dim",
    )
    gain = report.gain
    out.print(
        f"AUC gain of Linli over the best baseline ({_NAMES[report.best_baseline]}): "
        f"{gain.mean:+.4f} (95% interval {gain.low:+.4f} to {gain.high:+.4f}, paired bootstrap "
        "over customers)",
        highlight=False,
    )
    if report.lead is not None:
        out.print(_by_lead(report.lead))
    for path in [*images, *([dump] if dump else [])]:
        out.print(f"Written: {path}", highlight=False, markup=False, soft_wrap=True)


def _by_model(report: "Report") -> Table:
    table = Table(title=f"Mean over {len(report.tests)} cutoffs, {report.horizon_days} days ahead")
    table.add_column("model")
    for _, heading in _FIGURES:
        table.add_column(heading, justify="right")
    for model, name in _NAMES.items():
        if model not in report.mean:
            continue
        cells = [f"{report.mean[model][figure]:.4f}" for figure, _ in _FIGURES]
        table.add_row(name, *cells, style="bold" if model == "product" else None)
    return table


def _by_lead(lead: "LeadReport") -> Table:
    table = Table(
        title=f"Warned {lead.early_days} days or more before {lead.silent_days} days of silence: "
        f"{lead.weeks} weeks, {lead.silences:,} silences, {lead.churned_share:.0%} of them churn"
    )
    table.add_column("model")
    table.add_column("average precision", justify="right")
    table.add_column(f"churners warned of at {lead.precision:.0%} right", justify="right")
    table.add_column("days ahead, median", justify="right")
    for model, name in _NAMES.items():
        one = lead.models.get(model)
        if one is not None:
            days = f"{one.median_days:.0f}" if isfinite(one.median_days) else "none"
            cells = [f"{one.average_precision:.4f}", f"{one.recall:.1%}", days]
            table.add_row(name, *cells, style="bold" if model == "product" else None)
    return table


def _by_cutoff(report: "Report") -> Table:
    table = Table(title="Linli at each cutoff")
    for heading in ("cutoff", "members", "silent"):
        table.add_column(heading, justify="right")
    for _, heading in _FIGURES:
        table.add_column(heading, justify="right")
    for test in report.tests:
        metrics = test.metrics["product"]
        table.add_row(
            _day(test.cutoff),
            f"{len(test.members):,}",
            f"{test.outcome.mean():.1%}",
            *(f"{getattr(metrics, figure):.4f}" for figure, _ in _FIGURES),
        )
    return table
