"""`linli schema export`: the GraphQL schema as text."""

from pathlib import Path
from typing import Annotated

import typer

from cli.starting import SAYS

schema_app = typer.Typer(no_args_is_help=True, help="The GraphQL schema.")


@schema_app.callback()
def group() -> None:
    """The GraphQL schema."""


@schema_app.command()
def export(
    file: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write here instead of printing.")
    ] = None,
    check: Annotated[
        Path | None, typer.Option(help="Compare with this file and fail when it differs.")
    ] = None,
) -> None:
    """Print the schema in GraphQL's definition language."""
    from schema import build_schema

    text = build_schema().as_str().rstrip() + "\n"
    if check is not None:
        if not check.exists() or check.read_text(encoding="utf-8") != text:
            SAYS.print(f"{check} is not the schema in code; run `make schema`.", style="red")
            raise typer.Exit(1)
    elif file is not None:
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            SAYS.print(f"Cannot write {file}: {error.strerror}.", style="red")
            raise typer.Exit(1) from None
    else:
        print(text, end="")
