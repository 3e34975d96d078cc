"""`linli keys`: which keys personal data is under, and making it anew by the keys in force."""

import asyncio
import json as json_text
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app import leaving, members
from app.kernel.config import Settings
from app.kernel.crypto import Unreadable, Vault
from app.kernel.db import Database
from cli.session import open_database, open_stores
from cli.starting import SAYS

keys_app = typer.Typer(no_args_is_help=True, help="Keys of personal data.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rotation came to."""

    done: int
    unreadable: int
    left: int
    older: list[str]


@keys_app.command("list")
def list_keys(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show each key of the rings, how much it made, and keys in use that the rings lack."""
    with open_stores("linli keys list") as settings:
        rows = asyncio.run(_list(settings))
    if json:
        print(json_text.dumps(rows, ensure_ascii=False, indent=2))
    else:
        table = Table("ring 密钥环", "key 密钥", "state 状态", "in use 使用中")
        for row in rows:
            table.add_row(*(str(value) for value in row.values()))
        Console().print(table)
    raise typer.Exit(1 if any(row["state"] == "missing" for row in rows) else 0)


@keys_app.command()
def rotate(
    finish: Annotated[
        bool,
        typer.Option(
            "--finish", help="Check that nothing is left by older keys, and say which may go."
        ),
    ] = False,
    batch: Annotated[int, typer.Option(min=1, max=10_000, help="Identities at a time.")] = 500,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a bar.")] = False,
) -> None:
    """Seal and fingerprint everything anew by the first keys of the rings.

    Put the new key second in LINLI_CRYPTO_KEYS or LINLI_INDEX_KEY and restart every server, then
    first and restart again, then run this: it is safe beside running servers, and goes on where it
    stopped. When `--finish` says so, take the old key out.
    """
    with open_stores("linli keys rotate") as settings:
        found = asyncio.run(_rotate(settings, batch, finish=finish, quiet=json))
    if json:
        told = {"done": found.done, "unreadable": found.unreadable, "left": found.left}
        print(json_text.dumps({**told, "older": found.older}))
    else:
        _tell(found, finish=finish)
    raise typer.Exit(1 if found.left else 0)


def _tell(found: Outcome, *, finish: bool) -> None:
    if found.unreadable:
        SAYS.print(
            f"{found.unreadable} cannot be read: put their keys back into the ring and run again "
            "有数据无法解密，请补回旧密钥",
            style="red",
        )
    elif found.left:
        SAYS.print(
            f"{found.left} are still by older keys: is a server running with the old settings? "
            "Run `linli keys rotate` again 仍有旧密钥数据",
            style="red",
        )
    elif finish and found.older:
        SAYS.print(f"Nothing needs these any more 可移除旧密钥: {', '.join(found.older)}")
    else:
        SAYS.print(f"{found.done} made anew by the keys in force 已完成轮换")


async def _list(settings: Settings) -> list[dict[str, str | int]]:
    vault = Vault.from_settings(settings)
    async with open_database(settings) as database, database.read() as read:
        used = await members.keys_in_use(read)
        parts = await leaving.parts_by_kid(read)
    sealed = {kid: used.sealed.get(kid, 0) + parts.get(kid, 0) for kid in {*used.sealed, *parts}}
    indexed = {kid or "(unknown)": number for kid, number in used.indexed.items()}
    rows: list[dict[str, str | int]] = []
    for ring, known, counts in (
        ("crypto", tuple(vault.keys), sealed),
        ("index", vault.index_kids, indexed),
    ):
        for kid in (*known, *sorted(set(counts) - set(known))):
            state = "in force" if kid == known[0] else "older" if kid in known else "missing"
            state = "unknown" if kid == "(unknown)" else state
            rows.append({"ring": ring, "key": kid, "state": state, "in use": counts.get(kid, 0)})
    return rows


async def _rotate(settings: Settings, batch: int, *, finish: bool, quiet: bool) -> Outcome:
    vault = Vault.from_settings(settings)
    async with open_database(settings) as database:
        async with database.read() as read:
            stale = await members.stale_identities(read, vault=vault)
        done = unreadable = 0
        if not finish:
            with Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=SAYS,
                disable=quiet,
            ) as bars:
                bar = bars.add_task("Making anew 轮换中", total=stale)
                done, unreadable = await rotate_all(
                    database, vault, batch=batch, told=lambda number: bars.advance(bar, number)
                )
        else:
            async with database.begin() as tx:
                await members.forget_codes(tx)
        async with database.read() as read:
            left = await members.stale_identities(read, vault=vault)
            parts = await leaving.parts_by_kid(read)
    left += sum(number for kid, number in parts.items() if kid != vault.kid)
    older = [f"crypto {kid}" for kid in vault.keys if kid != vault.kid]
    return Outcome(done, unreadable, left, older + [f"index {kid}" for kid in vault.older_index])


async def rotate_all(
    database: Database, vault: Vault, *, batch: int, told: Callable[[int], None]
) -> tuple[int, int]:
    """Make everything anew; answers how many identities were, and how many no key opens."""
    done = 0
    while True:
        # Whoever was merged meanwhile may have been passed by: the last pass finds nothing.
        found, unreadable = await _pass(database, vault, batch, told)
        done += found
        if not found:
            break
    while True:
        try:
            async with database.begin() as tx:
                if not await leaving.reseal(tx, vault=vault):
                    return done, unreadable
        except Unreadable:
            return done, unreadable + 1


async def _pass(
    database: Database, vault: Vault, batch: int, told: Callable[[int], None]
) -> tuple[int, int]:
    done = unreadable = 0
    after: UUID | None = members.ROTATION_START
    while after is not None:
        async with database.begin() as tx:
            step = await members.rekey(tx, vault=vault, after=after, limit=batch)
        done, unreadable, after = done + step.done, unreadable + step.unreadable, step.position
        told(step.done)
    return done, unreadable
