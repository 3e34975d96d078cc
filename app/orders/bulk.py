"""Loading clean rows by COPY: for members that are known, and facts that are known to be new.

Unlike `record_orders` nothing is checked but the database's own constraints, and no fact is
announced: this is for history that is made or moved, such as the simulator's.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from asyncpg import Connection
from sqlalchemy import text

from app.kernel.db import Tx

Rows = Iterable[Sequence[object]]

ORDER_COLUMNS: Final = (
    "member_id",
    "id",
    "source",
    "order_no",
    "channel",
    "leader_id",
    "placed_at",
    "paid_at",
    "settled_at",
    "cancelled_at",
    "refunded_at",
    "total_fen",
    "discount_fen",
    "refunded_fen",
    "promised_at",
    "delivered_at",
    "late",
    "spoiled",
    "complaint",
)
LINE_COLUMNS: Final = (
    "member_id",
    "order_id",
    "line_no",
    "quantity",
    "refunded_quantity",
    "paid_fen",
    "refunded_fen",
    "sku",
    "name",
    "category",
)
REFUND_COLUMNS: Final = (
    "member_id",
    "id",
    "source",
    "refund_no",
    "order_id",
    "line_no",
    "sku",
    "quantity",
    "amount_fen",
    "at",
    "reason",
)
EVENT_COLUMNS: Final = (
    "member_id",
    "event_id",
    "at",
    "kind",
    "seconds",
    "channel",
    "sku",
    "category",
    "app_version",
    "touchpoint",
)
# What may change about an order after it was placed.
ADVANCING_COLUMNS: Final = (
    "paid_at",
    "settled_at",
    "cancelled_at",
    "refunded_at",
    "refunded_fen",
    "delivered_at",
    "late",
    "spoiled",
    "complaint",
)


async def load_orders(
    connection: Connection, *, orders: Rows, lines: Rows = (), refunds: Rows = ()
) -> int:
    """COPY new orders with their lines and refunds; answers how many rows were stored.

    Rows are tuples of Python values in the order of ORDER_COLUMNS, LINE_COLUMNS and REFUND_COLUMNS
    (enums as their text, instants with a zone). Totals must already agree: an order's
    `refunded_fen` with its refunds, a line's too. `connection` is asyncpg's, within a transaction
    (`connection_of(tx)`). Raises asyncpg's UniqueViolationError for rows that are there already.
    """
    stored = await _copy(connection, "member_order", ORDER_COLUMNS, orders)
    stored += await _copy(connection, "order_line", LINE_COLUMNS, lines)
    return stored + await _copy(connection, "refund", REFUND_COLUMNS, refunds)


async def advance_orders(connection: Connection, *, orders: Rows) -> int:
    """Bring stored orders to the state that is given, by `(member_id, id)`; answers how many.

    Rows are as for `load_orders`; only ADVANCING_COLUMNS are taken from them. Unknown orders are
    left out.
    """
    await connection.execute(
        "CREATE TEMP TABLE IF NOT EXISTS advancing (LIKE member_order INCLUDING DEFAULTS)"
        " ON COMMIT DROP; TRUNCATE advancing; ALTER TABLE advancing ALTER status DROP NOT NULL"
    )
    await _copy(connection, "advancing", ORDER_COLUMNS, orders)
    changes = ", ".join(f"{name} = a.{name}" for name in ADVANCING_COLUMNS)
    done = await connection.execute(
        f"UPDATE member_order o SET {changes} FROM advancing a"
        " WHERE o.member_id = a.member_id AND o.id = a.id"
    )
    return int(done.rpartition(" ")[2])


async def load_events(connection: Connection, *, events: Rows) -> int:
    """COPY new events; answers how many.

    Rows are tuples in the order of EVENT_COLUMNS. Raises asyncpg's UniqueViolationError for ids
    that are there already.
    """
    return await _copy(connection, "activity", EVENT_COLUMNS, events)


async def connection_of(tx: Tx) -> Connection:
    """The asyncpg connection beneath a transaction, which COPY becomes a part of."""
    # The driver opens the transaction with the first statement.
    await tx.session.execute(text("SELECT 1"))
    raw = await (await tx.session.connection()).get_raw_connection()
    connection = raw.driver_connection
    assert isinstance(connection, Connection)
    return connection


async def _copy(connection: Connection, table: str, columns: Sequence[str], records: Rows) -> int:
    done = await connection.copy_records_to_table(table, records=records, columns=list(columns))
    return int(done.rpartition(" ")[2])
