"""What `linli up` does before the API starts, in one process: importing costs more than working."""

from typing import Annotated

import typer

from cli.migrating import migrate


def prepare(
    demo: Annotated[bool, typer.Option(help="Fill the demo, too.")] = False,
) -> None:
    """Migrate, and fill the demo once."""
    migrate()
    if demo:
        from cli.demo.command import demo as fill

        fill()
