"""Checks of `make check` that need a database or the whole tree: migrations, links in documents."""

import re
import sys
import tempfile
from pathlib import Path

from alembic import command

from app.kernel.embedded import start_postgres
from cli.migrating import alembic_config

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def check_migrations() -> None:
    """Up, compare with the tables in code, down to nothing, up again."""
    with tempfile.TemporaryDirectory() as folder:
        server = start_postgres(Path(folder), durable=False)
        try:
            config = alembic_config(server.url)
            command.upgrade(config, "head")
            command.check(config)
            command.downgrade(config, "base")
            command.upgrade(config, "head")
        finally:
            server.stop()


def broken_links() -> list[str]:
    """Links of our documents to files that are not there."""
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    broken: list[str] = []
    for document in documents:
        for target in LINK.findall(document.read_text(encoding="utf-8")):
            path = target.partition("#")[0]
            if path and "://" not in path and not (document.parent / path).exists():
                broken.append(f"{document.relative_to(ROOT)}: {target}")
    return broken


def main() -> int:
    """Run every check; the exit code for make."""
    broken = broken_links()
    for line in broken:
        print(f"broken link: {line}")
    check_migrations()
    print("migrations: up, check, down, up")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
