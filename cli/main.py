"""The `linli` command: every verb of an installation."""

import sys
from typing import Annotated

import typer

from app import __version__
from cli.backtest import backtest
from cli.churn import score, train
from cli.demo import demo
from cli.doctor import doctor
from cli.importing import import_app
from cli.migrating import migrate
from cli.schema import schema_app
from cli.segments import segments_app
from cli.serving import scheduler, serve, worker
from cli.simulate import simulate
from cli.staff import staff_app
from cli.tiers import tiers_app
from cli.upping import up

app = typer.Typer(
    name="linli",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    help="Linli 邻里: membership and retention for community commerce. Start with `linli up`.",
)

RUN = "Run it 运行"
DATA = "Data 数据"
WORK = "Nightly and monthly work 夜间与每月任务"

for panel, verbs in {
    RUN: (up, serve, worker, scheduler, migrate, doctor),
    DATA: (simulate, demo, backtest),
    WORK: (train, score),
}.items():
    for verb in verbs:
        app.command(rich_help_panel=panel)(verb)

app.add_typer(import_app, name="import", rich_help_panel=DATA)
app.add_typer(segments_app, name="segments", rich_help_panel=WORK)
app.add_typer(tiers_app, name="tiers", rich_help_panel=WORK)
app.add_typer(staff_app, name="staff", rich_help_panel=RUN)
app.add_typer(schema_app, name="schema", rich_help_panel=RUN)


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Linli 邻里: membership and retention for community commerce."""
    if version:
        print(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; text is UTF-8 whatever the terminal's locale says."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")  # pyright: ignore[reportAttributeAccessIssue]
    app()


if __name__ == "__main__":
    main()
