"""`linli serve`, `worker` and `scheduler`: the processes that an installation runs."""

import contextlib
import os
import socket
from typing import Final

import typer
import uvicorn

from app.kernel.config import Settings
from app.kernel.garbage import collect_rarely
from cli.session import open_stores
from cli.starting import SAYS, require_documents, settings_or_exit

# Longer than balancers keep a line that nothing is said on (60 s is the rule): whoever closes it
# first may do so just as the other sends a request, which is then lost.
IDLE_SECONDS: Final = 75


def serve() -> None:
    """Run the API at LINLI_HOST:LINLI_PORT; as many of them as you like behind a balancer."""
    settings = settings_or_exit()
    require_documents(settings)
    _refuse_taken_port(settings)
    _allow_many_sockets()
    with open_stores("linli serve") as found:
        from app.main import create_app
        from schema.edge.wire import SocketProtocol

        app = create_app(found)
        collect_rarely()
        uvicorn.run(
            app,
            host=found.host,
            port=found.port,
            log_config=None,
            access_log=False,
            # Whose X-Forwarded-For is believed is for the application to say: uvicorn believes
            # this machine's by default, and of several entries the first, which anybody can write.
            proxy_headers=False,
            ws=SocketProtocol,
            timeout_graceful_shutdown=5,
            timeout_keep_alive=IDLE_SECONDS,
            server_header=False,
        )


def worker() -> None:
    """Run jobs (scoring, tiers, points, pushes) and the relay; as many of them as you like."""
    with open_stores("linli worker") as settings:
        from workers.run import run_worker

        run_worker(settings)


def scheduler() -> None:
    """Start due jobs (drops, nightly segments and scores, monthly tiers); each runs once however
    many schedulers there are.
    """
    with open_stores("linli scheduler") as settings:
        from workers.run import run_scheduler

        run_scheduler(settings)


def _allow_many_sockets() -> None:
    """Each socket is an open file: take as many as the machine lets a process have."""
    if os.name == "posix":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(ValueError, OSError):  # some systems say more than they allow
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _refuse_taken_port(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            SAYS.print(
                f"Cannot listen on {settings.host}:{settings.port} ({error.strerror}). "
                f"Set LINLI_PORT to a free port. 端口不可用，请设置 LINLI_PORT。",
                style="red",
            )
            raise typer.Exit(1) from None
