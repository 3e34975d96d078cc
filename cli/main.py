"""The `linli` command: every verb of an installation, each imported only when it is asked for."""

import errno
import signal
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Final

import typer

from app import __version__

RUN: Final = "Run it 运行"
DATA: Final = "Data 数据"
WORK: Final = "Nightly and monthly work 夜间与每月任务"


@dataclass(frozen=True, slots=True)
class Verb:
    """Where a verb lives: a function, or a group of verbs of its own."""

    module: str
    name: str
    panel: str
    hidden: bool = False


VERBS: Final = {
    "up": Verb("cli.upping", "up", RUN),
    "serve": Verb("cli.serving", "serve", RUN),
    "worker": Verb("cli.serving", "worker", RUN),
    "scheduler": Verb("cli.serving", "scheduler", RUN),
    "migrate": Verb("cli.migrating", "migrate", RUN),
    "prepare": Verb("cli.preparing", "prepare", RUN, hidden=True),
    "staff": Verb("cli.staff", "staff_app", RUN),
    "keys": Verb("cli.keys", "keys_app", RUN),
    "schema": Verb("cli.schema", "schema_app", RUN),
    "doctor": Verb("cli.doctor", "doctor", RUN),
    "import": Verb("cli.importing", "import_app", DATA),
    "simulate": Verb("cli.simulate", "simulate", DATA),
    "demo": Verb("cli.demo.command", "demo", DATA),
    "backtest": Verb("cli.backtest", "backtest", DATA),
    "uplift": Verb("cli.uplift", "uplift", DATA),
    "coupons": Verb("cli.coupons", "coupons_app", DATA),
    "playbooks": Verb("cli.playbooks", "playbooks_app", DATA),
    "effects": Verb("cli.playbooks", "effects", DATA),
    "segments": Verb("cli.segments", "segments_app", WORK),
    "tiers": Verb("cli.tiers", "tiers_app", WORK),
    "train": Verb("cli.churn", "train", WORK),
    "score": Verb("cli.churn", "score", WORK),
    "signals": Verb("cli.signals", "signals", WORK),
    "models": Verb("cli.models", "models_app", WORK),
    "drift": Verb("cli.drift", "drift", WORK),
}

AT_ONCE: Final = frozenset({"backtest", "uplift"})
"""Verbs that hold nothing to give back: an interrupt ends them at once, wherever they compute."""


def build(only: str | None = None) -> typer.Typer:
    """The command line with every verb, or with one: importing all of them takes seconds."""
    app = typer.Typer(
        name="linli",
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_show_locals=False,
        help="Linli 邻里: membership and retention for community commerce. Start with `linli up`.",
    )
    app.callback()(root)
    for word, verb in VERBS.items():
        if only is not None and word != only:
            continue
        found = getattr(import_module(verb.module), verb.name)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=word, rich_help_panel=verb.panel)
        else:
            app.command(word, rich_help_panel=verb.panel, hidden=verb.hidden)(found)
    return app


def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Linli 邻里: membership and retention for community commerce. Start with `linli up`."""
    if version:
        print(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; text is UTF-8 whatever the terminal's locale says."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")  # pyright: ignore[reportAttributeAccessIssue]
    asked = sys.argv[1] if len(sys.argv) > 1 else None
    if asked in AT_ONCE:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = build(asked if asked in VERBS else None)
    try:
        command()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # What is still to be flushed would fail again when Python ends.
        sys.stdout = None
        sys.exit(f"Error: the disk of the output is full: {error.strerror}. 磁盘已满")


if __name__ == "__main__":
    main()
