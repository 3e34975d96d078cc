"""Files to import, and the state of the tables afterwards."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

from app.kernel.crypto import Vault
from app.kernel.db import Database
from app.orders import ImportKind
from cli.importing.load import Report, Summary, run_import
from cli.importing.plan import Wishes, plan

NOW = datetime(2026, 3, 18, 4, 0, tzinfo=UTC)
HEADER = "customer_id,order_no,at,sku,name,quantity,unit_price"
RETAIL = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country"
# Everything an import stores but ids, sealed values and the hours of the import itself.
_STATE = (
    """SELECT c.name, i.app, i.blind, m.nickname, m.registered_at FROM identity i
       JOIN member m ON m.id = i.member_id JOIN community c ON c.id = m.community_id""",
    """SELECT i.blind, o.source, o.order_no, o.status, o.channel, o.placed_at, o.paid_at,
       o.settled_at, o.refunded_at, o.total_fen, o.refunded_fen
       FROM member_order o JOIN identity i USING (member_id)""",
    """SELECT i.blind, o.order_no, l.line_no, l.sku, l.name, l.quantity, l.paid_fen,
       l.refunded_quantity, l.refunded_fen FROM order_line l
       JOIN member_order o ON o.member_id = l.member_id AND o.id = l.order_id
       JOIN identity i ON i.member_id = l.member_id""",
    """SELECT i.blind, r.refund_no, r.sku, r.quantity, r.amount_fen, r.at, r.matched, r.line_no,
       o.order_no FROM refund r JOIN identity i USING (member_id)
       LEFT JOIN member_order o ON o.member_id = r.member_id AND o.id = r.order_id""",
    """SELECT i.blind, a.event_id, a.kind, a.at, a.seconds, a.sku
       FROM activity a JOIN identity i USING (member_id)""",
)


def silent(stage: str, done: int, of: int | None) -> None:
    """Nobody watches."""


async def load(
    database: Database,
    vault: Vault,
    path: Path,
    *,
    kind: ImportKind = ImportKind.ORDERS,
    report: Report = silent,
    **wishes: Any,
) -> Summary:
    """Import a file as the command does; rejects go beside it."""
    wishes.setdefault("rejects", path.with_name(path.name + ".rejects.csv"))
    job = plan(Wishes(kind=kind, file=path, **wishes), zone="Asia/Shanghai", now=NOW)
    return await run_import(database, vault, job, report)


async def state(database: Database) -> list[list[tuple[Any, ...]]]:
    """What the imports stored, in an order of its own: equal lists are equal states."""
    async with database.read() as read:
        return [
            sorted((tuple(row) for row in await read.session.execute(text(query))), key=repr)
            for query in _STATE
        ]


async def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    async with database.read() as read:
        return [tuple(row) for row in await read.session.execute(text(query))]


def csv(path: Path, *lines: str, header: str = HEADER, encoding: str = "utf-8") -> Path:
    """A CSV file of these lines."""
    path.write_bytes(("\n".join([header, *lines]) + "\n").encode(encoding))
    return path
