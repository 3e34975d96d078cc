"""The real order lines, where they are present: a slice of the file in both forms."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from app.kernel.crypto import Vault
from app.kernel.db import Database
from tests.make.importing import load, rows, state

NAME = "online_retail_ii_lines.parquet"
FOLDER = Path(os.environ.get("LINLI_REAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
UCI = {
    "invoice": "InvoiceNo",
    "product": "StockCode",
    "description": "Description",
    "quantity": "Quantity",
    "timestamp": "InvoiceDate",
    "unit_price": "UnitPrice",
    "customer_id": "CustomerID",
    "country": "Country",
}

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not (FOLDER / NAME).exists(),
        reason=f"the real data is absent: no {NAME} in {FOLDER} (set LINLI_REAL_DATA)",
    ),
]


@pytest.fixture(scope="module")
def slice_of_file() -> pa.Table:
    """Twenty-five thousand lines from before and after New Year, with many returns."""
    table = pq.read_table(FOLDER / NAME)
    return pa.concat_tables([table.slice(0, 15_000), table.slice(60_000, 10_000)])


async def test_every_line_ends_up_somewhere(
    database: Database, vault: Vault, tmp_path: Path, slice_of_file: pa.Table
) -> None:
    path = tmp_path / "slice.parquet"
    pq.write_table(slice_of_file, path)
    summary = await load(database, vault, path, preset="online-retail")
    facts = slice_of_file.to_pylist()
    known = [row for row in facts if row["customer_id"] is not None]
    sold = [row for row in known if row["quantity"] > 0 and row["unit_price"] >= 0]
    back = [row for row in known if row["quantity"] < 0]
    assert summary.rows == len(facts)
    assert summary.rejected == len(facts) - len(sold) - len(back)
    assert summary.reasons["MISSING_CUSTOMER"] == len(facts) - len(known)
    assert (summary.lines, summary.refunds) == (len(sold), len(back))
    assert summary.orders == len({row["invoice"] for row in sold})
    assert await rows(database, "SELECT count(*) FROM member") == [
        (len({row["customer_id"] for row in sold + back}),)
    ]
    assert await rows(database, "SELECT sum(total_fen) FROM member_order") == [
        (sum(round(row["quantity"] * row["unit_price"] * 100) for row in sold),)
    ]
    assert await rows(database, "SELECT sum(amount_fen) FROM refund") == [
        (sum(round(-row["quantity"] * row["unit_price"] * 100) for row in back),)
    ]
    assert 0 < summary.refunds_matched < summary.refunds
    assert await rows(
        database,
        "SELECT count(*) FROM member_order o WHERE refunded_fen <> (SELECT coalesce("
        "sum(amount_fen), 0) FROM refund r WHERE r.member_id = o.member_id AND r.order_id = o.id)",
    ) == [(0,)]


async def test_the_original_columns_in_csv_are_the_same_import(
    database: Database, vault: Vault, tmp_path: Path, slice_of_file: pa.Table
) -> None:
    pq.write_table(slice_of_file, tmp_path / "slice.parquet")
    await load(database, vault, tmp_path / "slice.parquet", preset="online-retail")
    before = await state(database)
    original = slice_of_file.select(list(UCI)).rename_columns(list(UCI.values()))
    pa_csv.write_csv(original, tmp_path / "original.csv")
    again = await load(database, vault, tmp_path / "original.csv", preset="online-retail")
    assert (again.orders, again.lines, again.refunds) == (0, 0, 0)
    assert await state(database) == before
