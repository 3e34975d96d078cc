"""`linli coupons`: the offers that come with the product, and codes made in advance."""

import asyncio
import csv
import json as json_text
import os
from pathlib import Path
from typing import Annotated, TextIO
from uuid import UUID

import typer

from app.kernel.config import Settings
from app.kernel.errors import InvalidInput, Refusal
from cli.session import open_database, open_stores
from cli.starting import SAYS

coupons_app = typer.Typer(no_args_is_help=True, help="Coupons: ready offers, and codes in bulk.")


@coupons_app.callback()
def root() -> None:
    """Coupons: ready offers, and codes in bulk."""


@coupons_app.command()
def seed(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make the templates of the offers by stage that are missing; the others stay as they are."""
    with open_stores("linli coupons seed") as settings:
        made = asyncio.run(_seed(settings))
    if json:
        typer.echo(json_text.dumps({"made": made}))
        return
    for key in made:
        SAYS.print(key, highlight=False)
    SAYS.print(f"{len(made)} templates made 已建立模板" if made else "They are there 模板已存在")


async def _seed(settings: Settings) -> list[str]:
    from app import coupons

    async with open_database(settings) as database, database.begin() as tx:
        return await coupons.ensure_offers(tx)


@coupons_app.command()
def codes(
    batch: Annotated[str, typer.Argument(help="The batch: its id in GraphQL or its UUID.")],
    file: Annotated[Path, typer.Argument(help="The CSV file to write; must not exist.")],
) -> None:
    """Write the codes of a batch that has them in advance to a file: code, taken at.

    Whoever has the file has the coupons: it is readable for its owner only, and this is audited.
    """
    with open_stores("linli coupons codes") as settings:
        try:
            count = _export(settings, batch, file)
        except (Refusal, OSError) as error:
            told = error.message("en") if isinstance(error, Refusal) else str(error)
            SAYS.print(f"[red]Error:[/] {told}", highlight=False)
            raise typer.Exit(2) from error
    SAYS.print(f"{count:,} codes in {file} 兑换码已导出", highlight=False)


def _export(settings: Settings, batch: str, file: Path) -> int:
    handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with open(handle, "w", encoding="utf-8", newline="") as target:
            return asyncio.run(_codes(settings, batch, target))
    except BaseException:
        file.unlink()
        raise


async def _codes(settings: Settings, batch: str, target: TextIO) -> int:
    from app import coupons, staff

    batch_id = _key(batch)
    rows, count = csv.writer(target), 0
    rows.writerow(["code", "taken_at"])
    async with open_database(settings) as database, database.begin() as tx:
        if batch_id not in await coupons.batches_by_id(tx, [batch_id]):
            raise coupons.BatchNotFound()
        async for page in coupons.codes_of(tx, batch_id):
            rows.writerows((code, taken and taken.isoformat()) for code, taken in page)
            count += len(page)
        await staff.audit(
            tx,
            actor=staff.Actor("operator", staff.OPERATOR),
            action="exportCouponCodes",
            given={"batch": str(batch_id), "codes": count},
            about=staff.subject(coupons.Batch, batch_id),
        )
    return count


def _key(batch: str) -> UUID:
    from schema.nodes import key_of

    try:
        return UUID(batch)
    except ValueError:
        pass
    try:
        return key_of(batch, "CouponBatch", "batch")
    except InvalidInput as error:
        raise InvalidInput(
            field="BATCH", reason="this is no batch's id", reason_zh="不是批次编号"
        ) from error
