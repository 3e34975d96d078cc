"""`linli up`: everything on this machine with one command."""

from typing import Annotated

import typer

from app.kernel.embedded import EmbeddedError
from cli.starting import SAYS, require_documents, settings_or_exit
from cli.up.command import UpSettings
from cli.up.command import up as run_up
from cli.up.errors import UpError
from cli.up.supervisor import Addresses


def up(
    demo: Annotated[bool, typer.Option(help="Fill the demo neighbourhood the first time.")] = True,
) -> None:
    """Start everything here: PostgreSQL, Valkey, migrations, the demo, the API and the workers.

    With LINLI_DATABASE_URL and LINLI_REDIS_URL set, those are used and nothing is embedded.
    Ctrl-C stops all of it.
    """
    settings = settings_or_exit()
    require_documents(settings)
    filled = demo and settings.env != "production" and settings.demo_members > 0
    try:
        code = run_up(
            UpSettings(
                data_dir=settings.data_dir,
                host=settings.host,
                port=settings.port,
                database_url=settings.database_url,
                redis_url=settings.redis_url,
            ),
            demo=filled,
            notes=_demo_notes if filled else lambda _: (),
        )
    except (EmbeddedError, UpError) as error:
        SAYS.print(str(error), markup=False, style="red")
        raise typer.Exit(1) from None
    raise typer.Exit(code)


def _demo_notes(addresses: Addresses) -> list[tuple[str, str]]:
    # Imported when all is ready: until then the supervisor leaves the processor to its children.
    from cli.demo.notes import demo_notes

    return demo_notes(addresses)
