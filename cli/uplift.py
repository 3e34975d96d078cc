"""`linli uplift FILE`: whom a treatment changes, learned from an experiment and judged on it."""

import csv
import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.language import reader_language

if TYPE_CHECKING:
    from ml.trials import Read
    from ml.uplift import Interval, Uplift


def uplift(
    file: Annotated[
        Path,
        typer.Argument(
            help="One row a member of an experiment with random treatment: CSV, gzipped CSV or "
            "Parquet.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ],
    treatment: Annotated[str, typer.Option(help="The column that says how a member was treated.")],
    outcome: Annotated[str, typer.Option(help="The column of what the treatment is for: 1, or 0.")],
    treated: Annotated[str, typer.Option(help="The treatment's value to learn about.")] = "1",
    control: Annotated[str, typer.Option(help="Its value for members left alone.")] = "0",
    leave_out: Annotated[
        str, typer.Option(help="Columns of what came after the treatment, with commas.")
    ] = "",
    cost: Annotated[
        float, typer.Option(help="What a treatment costs, in units of the outcome.")
    ] = 0.0,
    plot: Annotated[Path | None, typer.Option(help="Write the Qini curve to this PNG.")] = None,
    lang: Annotated[
        Literal["en", "zh"] | None,
        typer.Option(help="Language of the plot; by default that of the locale."),
    ] = None,
    dump: Annotated[
        Path | None, typer.Option(help="Write every member's effect to this CSV, in their order.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Learn from an experiment whom a treatment persuades, and whom it leaves as they are.

    Four kinds of model rank the members, and the mean of three of them is used; each is judged on
    members it was not fitted on, by its Qini coefficient and by the effect among the 30% ranked
    first. A ranking whose interval covers
    zero is not gone by. Every column that is not named is taken as known before the treatment.
    """
    from ml.errors import ModelError
    from ml.trials import Asked, read_trial
    from ml.uplift import LEARNERS, across_folds, learn
    from ml.writing import refuse_unwritable

    said = Console(stderr=True)
    columns = [name.strip() for name in leave_out.split(",") if name.strip()]
    try:
        if dump is not None:
            refuse_unwritable(dump)
        with said.status(f"Reading {file.name}"):
            read = read_trial(file, Asked(treatment, outcome, treated, control, columns))
        with said.status("Fitting and judging the models"):
            found = learn(read.trial)
            effect = across_folds(read.trial, LEARNERS[found.judgement.learner])
        if plot is not None:
            from ml.uplift_plot import draw

            draw(read.trial, effect, found.judgement, plot, lang or reader_language())
        if dump is not None:
            _dump(dump, effect.tolist())
    except ModelError as error:
        said.print(f"[red]Error:[/] {escape(str(error))}", highlight=False)
        raise typer.Exit(2) from error
    except OSError as error:
        said.print(f"[red]Error:[/] cannot write: {escape(str(error))}", highlight=False)
        raise typer.Exit(1) from error
    chosen = float(found.treat(read.trial.values, cost=cost).mean())
    if json:
        typer.echo(json_text.dumps(_plain(read, found, chosen), ensure_ascii=False, indent=2))
        return
    _show(read, found, chosen)


def _dump(path: Path, effect: list[float]) -> None:
    from ml.writing import whole

    with whole(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["member", "effect"])
        writer.writerows((place, f"{value:.6f}") for place, value in enumerate(effect))


def _plain(read: "Read", found: "Uplift", chosen: float) -> dict[str, Any]:
    return {
        "members": len(read.trial),
        "treated_share": read.trial.share,
        "mean_effect": found.mean_effect,
        "columns": list(read.columns),
        "learners": [
            {
                "learner": one.learner,
                "qini": [one.qini.value, one.qini.low, one.qini.high],
                "uplift_at_30": [
                    one.uplift_at_30.value,
                    one.uplift_at_30.low,
                    one.uplift_at_30.high,
                ],
                "better_than_chance": one.is_better_than_chance,
            }
            for one in found.judgements
        ],
        "treat_share": chosen,
    }


def _show(read: "Read", found: "Uplift", chosen: float) -> None:
    out = Console()
    out.print(
        f"{len(read.trial):,} members, {read.trial.share:.0%} treated; "
        f"mean effect {found.mean_effect:+.4f}.",
        highlight=False,
    )
    table = Table("model", "Qini", "effect among the first 30%", "better than chance")
    for one in found.judgements:
        word = "yes" if one.is_better_than_chance else "no"
        table.add_row(one.learner, _figure(one.qini), _figure(one.uplift_at_30), word)
    out.print(table)
    if found.judgement.is_better_than_chance:
        out.print(f"Treat the {chosen:.0%} whose effect is worth its cost; leave the rest.")
    else:
        out.print("No ranking is better than chance: treat by the mean effect, or nobody.")


def _figure(figure: "Interval") -> str:
    return f"{figure.value:.4f} ({figure.low:.4f} to {figure.high:.4f})"
