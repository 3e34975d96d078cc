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
        raise _exit(error) from None


def require_documents(settings: Settings) -> None:
    """Exit unless the trusted documents can be read, if there are to be any."""
    if settings.trusted_documents is None:
        return
    from app.kernel.manifest import read_manifest

    try:
        read_manifest(settings.trusted_documents)
    except BadSettings as error:
        raise _exit(error) from None


def _exit(error: BadSettings) -> typer.Exit:
    SAYS.print("[red]Linli cannot start with this environment[/red] 环境变量有误：")
    SAYS.print(str(error), markup=False)
    return typer.Exit(2)
