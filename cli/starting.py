"""What every command begins with; light, for the supervisor imports nothing more."""

import typer
from rich.console import Console

from app.kernel.config import BadSettings, Settings, load_settings

SAYS = Console(stderr=True)


def settings_or_exit() -> Settings:
    """The settings, or an exit that names what is wrong in the environment."""
    try:
        return load_settings()
    except BadSettings as error:
        SAYS.print("[red]Linli cannot start with this environment[/red] 环境变量有误：")
        SAYS.print(str(error), markup=False)
        raise typer.Exit(2) from None
