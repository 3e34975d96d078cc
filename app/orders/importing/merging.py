"""Staged rows become orders, lines, refunds and activities: set SQL, one step a transaction.

A line has no number in most exports, so lines are recognised by what they say: the same article,
quantity and amount in the same order is the same line, and the n-th such line of a file is the
n-th of them in the order. Two files that overlap therefore add nothing twice, in whichever order
they come, and an order that truly holds two equal lines keeps both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from sqlalchemy import text

from app.kernel.db import Tx
from app.orders.importing.runs import advance_run
from app.orders.importing.staging import BUCKETS, stage_name, stage_of
from app.orders.tables import ImportPhase, ImportRun

ROWS_A_STEP: Final = 1_000_000

MOST_SCANS: Final = 4
"""Beyond so many steps the staged rows are put into the order of their buckets first."""

# UUIDv7 at the run's instant; the server's random version 4 gives the rest (RFC 9562, 5.7).
_NEW_ID = "CAST(:head || substr(replace(CAST(gen_random_uuid() AS text), '-', ''), 14) AS uuid)"


@dataclass(frozen=True, slots=True)
class Merged:
    """What a step stored that was not there before."""

    orders: int = 0
    lines: int = 0
    refunds: int = 0
    events: int = 0

    def __add__(self, other: "Merged") -> "Merged":
        """Both together."""
        return Merged(
            **{
                item.name: getattr(self, item.name) + getattr(other, item.name)
                for item in fields(self)
            }
        )


async def merge_orders(tx: Tx, run: ImportRun, buckets: range) -> Merged:
    """Merge the staged order lines of some buckets; those that are merged already add nothing.

    Different buckets hold different orders: they may be merged at the same time.
    """
    await _prepare(tx)
    here = f"{stage_of(run)} WHERE bucket >= {buckets.start} AND bucket < {buckets.stop}"
    bind = {"source": run.source, "head": _head(tx)}
    await _run(tx, _file_orders(here), {})
    orders = await _run(tx, _FRESH_ORDERS, bind)
    await tx.session.execute(text("ANALYZE fresh_order"))
    lines = await _run(tx, _fresh_lines(here), {})
    lines += await _add_to_known(tx, run, here)
    refunds = await _run(tx, _refunds(here), bind)
    return Merged(orders=orders, lines=lines, refunds=refunds)


async def merge_events(tx: Tx, run: ImportRun, buckets: range) -> Merged:
    """Merge the staged events of some buckets; those that are stored already add nothing."""
    await _prepare(tx)
    names = "member_id, event_id, at, kind, seconds, channel, sku, category"
    names += ", app_version, touchpoint"
    events = await _run(
        tx,
        f"""
        INSERT INTO activity ({names})
        SELECT {names} FROM {stage_of(run)}
        WHERE bucket >= {buckets.start} AND bucket < {buckets.stop}
        ORDER BY member_id, event_id, row_no
        ON CONFLICT DO NOTHING
        """,
        {},
    )
    return Merged(events=events)


def step(run: ImportRun) -> range:
    """The buckets that come next; the same steps whenever a run goes on.

    >>> step(ImportRun(rows_staged=4_000_000, next_bucket=64))
    range(64, 128)
    """
    steps = min(BUCKETS, max(1, -(-run.rows_staged // ROWS_A_STEP)))
    width = -(-BUCKETS // steps)
    return range(run.next_bucket, min(BUCKETS, run.next_bucket + width))


async def start_merge(tx: Tx, run: ImportRun) -> None:
    """Let the steps find their rows: many steps each read only their own part of the table."""
    stage, index = stage_of(run), f"{stage_name(run.id)}_order"
    if run.rows_staged > MOST_SCANS * ROWS_A_STEP:
        await tx.session.execute(text(f"CREATE INDEX IF NOT EXISTS {index} ON {stage} (bucket)"))
        await tx.session.execute(text(f"CLUSTER {stage} USING {index}"))
    await tx.session.execute(text(f"ANALYZE {stage} (bucket, member_id)"))
    await advance_run(tx, run, phase=ImportPhase.MERGING)


async def note_merged(tx: Tx, run: ImportRun, reached: int) -> None:
    """Store that all buckets before `reached` are merged."""
    phase = ImportPhase.MATCHING if reached >= BUCKETS else ImportPhase.MERGING
    await advance_run(tx, run, next_bucket=reached, phase=phase)


_FRESH_ORDERS: Final = f"""
    WITH stored AS (
      INSERT INTO member_order (member_id, id, source, order_no, channel,
                                placed_at, paid_at, settled_at, total_fen)
      SELECT member_id, {_NEW_ID}, :source, order_no, channel, at, at, at, fen
      FROM file_order ORDER BY member_id, order_no
      ON CONFLICT (member_id, source, order_no) DO NOTHING
      RETURNING member_id, order_no, id
    )
    INSERT INTO fresh_order SELECT * FROM stored
    """
_KNOWN_ORDERS: Final = """
    INSERT INTO known_order
    SELECT o.member_id, o.order_no, o.id FROM member_order o JOIN (
      SELECT member_id, order_no FROM file_order
      EXCEPT SELECT member_id, order_no FROM fresh_order
    ) AS rest USING (member_id, order_no)
    WHERE o.source = :source
    """


def _file_orders(here: str) -> str:
    return f"""
    INSERT INTO file_order
    SELECT member_id, order_no, min(channel), min(at), sum(fen)
    FROM {here} AND NOT returned
    GROUP BY member_id, order_no
    """


def _fresh_lines(here: str) -> str:
    return f"""
    INSERT INTO order_line (member_id, order_id, line_no, quantity, paid_fen, sku, name, category)
    SELECT member_id, id, row_number() OVER (PARTITION BY member_id, id ORDER BY row_no),
           quantity, fen, sku, name, category
    FROM (SELECT * FROM {here} AND NOT returned) AS staged
    JOIN fresh_order USING (member_id, order_no)
    """


def _refunds(here: str) -> str:
    return f"""
    INSERT INTO refund (member_id, id, source, refund_no, sku, quantity, amount_fen, at)
    SELECT member_id, {_NEW_ID}, :source,
           concat_ws(':', order_no, sku, quantity, fen,
                     row_number() OVER (PARTITION BY member_id, order_no, sku, quantity, fen
                                        ORDER BY row_no)),
           sku, quantity, fen, at
    FROM {here} AND returned
    ORDER BY member_id, row_no
    ON CONFLICT (member_id, source, refund_no) DO NOTHING
    """


def _known_lines(here: str) -> str:
    return f"""
    INSERT INTO known_line
    SELECT member_id, id, row_no, at, quantity, fen, sku, name, category,
           row_number() OVER (PARTITION BY member_id, id, sku, quantity, fen ORDER BY row_no)
    FROM (SELECT * FROM {here} AND NOT returned) AS staged
    JOIN known_order USING (member_id, order_no)
    """


# What makes a line the same line, with how many copies of it came before in its order.
_SAME = "member_id, order_id, sku, quantity, paid_fen"
_NEWS = f"""
    WITH touched AS (
      SELECT member_id, order_id, min(at) AS at FROM known_line GROUP BY member_id, order_id
    ), stored AS (
      SELECT {_SAME}, row_number() OVER (PARTITION BY {_SAME} ORDER BY line_no) AS copy
      FROM order_line JOIN touched USING (member_id, order_id)
    ), news AS (
      SELECT * FROM known_line k
      WHERE NOT EXISTS (SELECT FROM stored s WHERE s.member_id = k.member_id
        AND s.order_id = k.order_id AND s.sku = k.sku AND s.quantity = k.quantity
        AND s.paid_fen = k.paid_fen AND s.copy = k.copy)
    ), risen AS (
      UPDATE member_order o SET
        total_fen = total_fen + coalesce(n.fen, 0),
        placed_at = least(placed_at, t.at),
        paid_at = least(paid_at, t.at),
        settled_at = least(settled_at, t.at)
      FROM touched t LEFT JOIN (
        SELECT member_id, order_id, sum(paid_fen) AS fen FROM news GROUP BY member_id, order_id
      ) n USING (member_id, order_id)
      WHERE o.member_id = t.member_id AND o.id = t.order_id
        AND (n.fen IS NOT NULL OR t.at < o.placed_at)
    )
    INSERT INTO order_line (member_id, order_id, line_no, quantity, paid_fen, sku, name, category)
    SELECT n.member_id, n.order_id,
           (SELECT coalesce(max(line_no), 0) FROM order_line l
            WHERE l.member_id = n.member_id AND l.order_id = n.order_id)
           + row_number() OVER (PARTITION BY n.member_id, n.order_id ORDER BY n.row_no),
           n.quantity, n.paid_fen, n.sku, n.name, n.category
    FROM news n
    """


async def _add_to_known(tx: Tx, run: ImportRun, here: str) -> int:
    """Add what the file knows more of orders that were stored before."""
    await tx.session.execute(text("ANALYZE file_order"))
    if not await _run(tx, _KNOWN_ORDERS, {"source": run.source}):
        return 0
    await tx.session.execute(text("ANALYZE known_order"))
    await _run(tx, _known_lines(here), {})
    await tx.session.execute(text("ANALYZE known_line"))
    return await _run(tx, _NEWS, {})


async def _prepare(tx: Tx) -> None:
    for statement in (
        # A crash of the server loses the step together with its progress: nothing to wait for.
        "SET LOCAL synchronous_commit = off",
        # A killed import lets go of its locks at once.
        "SET LOCAL client_connection_check_interval = '1s'",
        "SET LOCAL work_mem = '128MB'",
        "SET LOCAL jit = off",
        """CREATE TEMP TABLE file_order (member_id uuid, order_no text, channel text,
           at timestamptz, fen bigint) ON COMMIT DROP""",
        "CREATE TEMP TABLE fresh_order (member_id uuid, order_no text, id uuid) ON COMMIT DROP",
        "CREATE TEMP TABLE known_order (member_id uuid, order_no text, id uuid) ON COMMIT DROP",
        """CREATE TEMP TABLE known_line (member_id uuid, order_id uuid, row_no bigint,
           at timestamptz, quantity integer, paid_fen bigint, sku text, name text, category text,
           copy bigint) ON COMMIT DROP""",
    ):
        await tx.session.execute(text(statement))


def _head(tx: Tx) -> str:
    return f"{int(tx.now.timestamp() * 1000) & ((1 << 48) - 1):012x}7"


async def _run(tx: Tx, sql: str, bind: Mapping[str, object]) -> int:
    """Execute and answer how many rows were written."""
    raw = await tx.session.execute(text(sql), bind)
    return int(getattr(raw, "rowcount", 0))
