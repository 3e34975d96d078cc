"""The schema and our example documents under graphql-eslint: `python -m tests.clients.lint`."""

import subprocess
import sys

from tests.clients.node import FOLDER, NODE, PACKAGES, ROOT

ESLINT = PACKAGES / "eslint" / "bin" / "eslint.js"
# A line that switches a rule off belongs into the configuration, with its reason.
OPTIONS = ["--config", str(FOLDER / "eslint.config.js"), "--max-warnings=0", "--no-inline-config"]


def lint(*paths: str) -> "subprocess.CompletedProcess[str]":
    """Lint files and folders of the checkout."""
    command = [NODE, str(ESLINT), *OPTIONS, *paths]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def main() -> int:
    """Lint what we publish; the exit code for make."""
    done = lint("schema.graphql", "examples/graphql")
    print(done.stdout + done.stderr, end="")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
