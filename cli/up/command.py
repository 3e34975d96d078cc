"""The `linli up` command: what is started, and what a newcomer is told."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cli.up.parts import Child
from cli.up.supervisor import Addresses, Plan, supervise


@dataclass(frozen=True, slots=True)
class UpSettings:
    """What `up` needs of the settings; no URL means an embedded store."""

    data_dir: Path
    host: str
    port: int
    database_url: str | None = None
    redis_url: str | None = None


def linli(*words: str) -> tuple[str, ...]:
    """Our own command line, by the interpreter that runs us, whatever PATH holds."""
    return (sys.executable, "-m", "cli.main", *words)


def up(
    settings: UpSettings,
    *,
    demo: bool = False,
    notes: Callable[[Addresses], Sequence[tuple[str, str]]] = lambda _: (),
) -> int:
    """Start the stores, migrate, fill the demo once, start API, worker and scheduler; stay.

    The demo is filled once, and gone on with when that was interrupted.
    `notes` are pairs of a label and a text for the banner: log-ins, a query to try. Returns the
    exit code for the shell (see `supervise`).
    """
    words = ("prepare", "--demo") if demo else ("prepare",)
    return supervise(
        Plan(
            data_dir=settings.data_dir,
            host=settings.host,
            port=settings.port,
            database_url=settings.database_url,
            redis_url=settings.redis_url,
            steps=[Child("prepare", linli(*words))],
            early=(Child("api", linli("serve")),),
            children=(
                Child("worker", linli("worker")),
                Child("scheduler", linli("scheduler")),
            ),
            banner=lambda addresses: banner(addresses, notes(addresses)),
        )
    )


def banner(addresses: Addresses, notes: Sequence[tuple[str, str]]) -> str:
    """What a person sees when all is ready.

    >>> here = Addresses(Path("/d"), "0.0.0.0", 8000, "postgresql://", "redis://")
    >>> print(banner(here, [("Staff 员工登录", "demo")]).splitlines()[3])
      GraphQL          http://127.0.0.1:8000/graphql
    """
    rows = [
        ("GraphQL", f"{addresses.url}/graphql"),
        ("Health 状态", f"{addresses.url}/readyz"),
        (
            "Database 数据库",
            _shown(addresses.database_url),
        ),
        ("Data 数据目录", str(addresses.data_dir)),
        *notes,
    ]
    width = max(_columns(label) for label, _ in rows) + 2
    lines = [f"  {label}{' ' * (width - _columns(label))}{text}" for label, text in rows]
    return "\n".join(
        [
            "",
            "Linli is ready 邻里已就绪",
            "",
            *lines,
            "",
            "Ctrl-C stops everything 按 Ctrl-C 停止",
            "",
        ]
    )


def _shown(url: str) -> str:
    """The address unless it holds a password, which has no place on a screen."""
    return "LINLI_DATABASE_URL" if urlsplit(url).password else url


def _columns(text: str) -> int:
    """Chinese characters take two columns of a terminal."""
    return sum(2 if ord(letter) > 0x2E7F else 1 for letter in text)
