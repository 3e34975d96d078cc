"""Install what package-lock.json names, with the Node that the development group brings.

`python -m tests.clients.install`: a step of the Makefile, which knows when it is due.
"""

import subprocess
import sys

from tests.clients.node import FOLDER, NODE, NPM

SECONDS = 300
NEEDED = """
npm could not install the clients that the tests run against the server (tests/clients).
It needs the registry that this machine's npm is set to (npm config get registry), once; what it
fetched stays in its cache. Everything else works without it: `make test` only stops at this step.
"""


def main() -> int:
    """Run `npm ci`; the exit code for make."""
    command = [NODE, NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(command, cwd=FOLDER, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        print(f"npm was not done after {SECONDS} s.", NEEDED, file=sys.stderr)
        return 1
    if done.returncode:
        print(NEEDED, file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
