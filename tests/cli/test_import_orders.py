"""Files become orders: columns, values, members, identical lines, and coming again."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from app.kernel.crypto import Vault
from app.kernel.db import Database
from app.orders import ImportKind
from cli.importing.reasons import ImportFailed
from tests.make.importing import RETAIL, csv, load, rows, state

GOOD = (
    "13085,A1,2026-03-01 10:00,S1,apple,2,3.50",
    "13085,A1,2026-03-01 10:00,S2,pear,1,10",
    "13086,A2,2026-03-02T09:30:00+08:00,S1,apple,1,3.5",
)


async def test_lines_become_settled_orders_of_members(
    database: Database, vault: Vault, tmp_path: Path
) -> None:
    summary = await load(database, vault, csv(tmp_path / "a.csv", *GOOD), source="till")
    assert (summary.rows, summary.kept, summary.rejected) == (3, 3, 0)
    assert (summary.members, summary.orders, summary.lines) == (2, 2, 3)
    found = await rows(
        database,
        "SELECT order_no, status, total_fen, settled_at, channel FROM member_order ORDER BY 1",
    )
    assert [(a, b, c, e) for a, b, c, _, e in found] == [
        ("A1", "SETTLED", 1700, "STORE"),
        ("A2", "SETTLED", 350, "STORE"),
    ]
    assert [at.isoformat() for _, _, _, at, _ in found] == [
        "2026-03-01T02:00:00+00:00",
        "2026-03-02T01:30:00+00:00",
    ]
    people = await rows(
        database,
        "SELECT m.nickname, c.name, m.registered_at = o.placed_at FROM member m"
        " JOIN community c ON c.id = m.community_id JOIN member_order o ON o.member_id = m.id"
        " ORDER BY 1",
    )
    assert people == [("顾客 13085", "till", True), ("顾客 13086", "till", True)]
    assert await rows(database, "SELECT count(*) FROM outbox") == [(0,)]
    assert not (tmp_path / "a.csv.rejects.csv").exists()


async def test_the_same_file_again_changes_nothing(
    database: Database, vault: Vault, tmp_path: Path
) -> None:
    path = csv(tmp_path / "a.csv", *GOOD)
    await load(database, vault, path)
    before = await state(database)
    again = await load(database, vault, path)
    assert await state(database) == before
    assert (again.kept, again.members, again.orders, again.lines) == (3, 0, 0, 0)


async def test_equal_lines_of_one_order_all_survive_and_none_is_doubled(
    database: Database, vault: Vault, tmp_path: Path
) -> None:
    line = "13085,A1,2026-03-01 10:00,S1,apple,2,3.50"
    await load(database, vault, csv(tmp_path / "a.csv", line, line))
    await load(database, vault, csv(tmp_path / "b.csv", line, line, line, GOOD[1]))
    await load(database, vault, csv(tmp_path / "c.csv", line))
    assert await rows(
        database, "SELECT line_no, sku, quantity, paid_fen FROM order_line ORDER BY 1"
    ) == [(1, "S1", 2, 700), (2, "S1", 2, 700), (3, "S1", 2, 700), (4, "S2", 1, 1000)]
    assert await rows(database, "SELECT total_fen FROM member_order") == [(3100,)]


async def test_overlapping_files_end_alike_in_either_order(
    database: Database, vault: Vault, tmp_path: Path
) -> None:
    form = "{},A{},2026-03-0{} 10:0{},S{},x,1,2"
    lines = [form.format(n % 3, n // 4, 1 + n // 8, n % 7, n % 5) for n in range(24)]
    query = "SELECT order_no, total_fen, placed_at FROM member_order ORDER BY 1, 2, 3"
    first, second = csv(tmp_path / "a.csv", *lines[:15]), csv(tmp_path / "b.csv", *lines[10:])
    await load(database, vault, first)
    await load(database, vault, second)
    one_way = await rows(database, query)
    await _empty(database)
    await load(database, vault, second)
    await load(database, vault, first)
    assert await rows(database, query) == one_way
    assert await rows(database, "SELECT count(*), sum(paid_fen) FROM order_line") == [(24, 4800)]


async def _empty(database: Database) -> None:
    async with database.engine.begin() as connection:
        for table in ("refund", "order_line", "member_order", "identity", "member", "import_run"):
            await connection.exec_driver_sql(f"DELETE FROM {table}")


async def test_chinese_export_in_gb18030_gzipped_with_its_own_columns(
    database: Database, vault: Vault, tmp_path: Path
) -> None:
    path = tmp_path / "订单.csv.gz"
    text = (
        "客户号;订单号;下单时间;商品编码;商品名称;数量;金额;渠道;小区;备注\n"
        "A-7;9001;2026年3月1日 8:05;P1;赣南脐橙;1,000;￥12,345.60;mini-program;翠湖花园;无\n"
        "A-7;9001;2026/3/1 8:05;P2;小白菜;1;0;APP;翠湖花园;\n"
    )
    path.write_bytes(gzip.compress(text.encode("gb18030")))
    summary = await load(database, vault, path, source="商城")
    assert (summary.kept, summary.rejected) == (2, 0)
    assert await rows(
        database, "SELECT sku, name, quantity, paid_fen FROM order_line ORDER BY line_no"
    ) == [("P1", "赣南脐橙", 1000, 1234560), ("P2", "小白菜", 1, 0)]
    assert await rows(
        database,
        "SELECT c.name, o.channel, o.placed_at AT TIME ZONE 'UTC' = '2026-03-01 00:05'"
        " FROM member m JOIN community c ON c.id = m.community_id"
        " JOIN member_order o ON o.member_id = m.id",
    ) == [("翠湖花园", "APP", True)]


async def test_map_names_columns_and_units(
    database: Database, vault: Vault, tmp_path: Path
) -> None:
    path = csv(
        tmp_path / "a.csv",
        "7,N1,2026-03-01,K,3,250",
        header="who,no,day,what,many,each",
    )
    columns = ["customer_id=who,order_no=no", "at=day,sku=what,quantity=many,unit_price=each"]
    await load(
        database, vault, path, columns=columns, fen_per_unit=1, community="桂花苑", time_zone="UTC"
    )
    assert await rows(
        database,
        "SELECT total_fen, placed_at = '2026-03-01T00:00Z', c.name, c.time_zone FROM member_order"
        " JOIN member m ON m.id = member_id JOIN community c ON c.id = m.community_id",
    ) == [(750, True, "桂花苑", "UTC")]


@pytest.mark.parametrize(
    ("header", "columns", "says"),
    [
        ("a,b", (), "needed column(s): customer_id (the customer's number)"),
        ("a,b", (), "It has: 'a', 'b'. Say which is which with --map customer_id=NAME_IN_FILE"),
        ("customer_id,order_no,at,sku,quantity", (), "unit_price (the price of one) or amount"),
        ("a", ("customer_id=z",), "no column 'z'"),
        ("a", ("colour=a",), "knows no field colour; it knows customer_id"),
        ("a", ("customer_id",), "--map takes field=column"),
        ("a,a", (), "several columns named a"),
    ],
)
async def test_wrong_columns_are_named_with_what_to_do(
    database: Database, vault: Vault, tmp_path: Path, header: str, columns: tuple[str], says: str
) -> None:
    path = csv(tmp_path / "a.csv", "1", header=header)
    with pytest.raises(ImportFailed) as caught:
        await load(database, vault, path, columns=columns)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        ("客户号\n".encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04 whatever", "Save the sheet as CSV"),
        (b"PAR1 not really", "cannot be read"),
        (b"\x1f\x8b\x08\x00 not really", "cannot be read"),
    ],
)
async def test_files_that_are_no_table_are_refused_plainly(
    database: Database, vault: Vault, tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(ImportFailed) as caught:
        await load(database, vault, path)
    assert says in str(caught.value)


async def test_a_header_alone_is_refused(database: Database, vault: Vault, tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match="no rows"):
        await load(database, vault, csv(tmp_path / "a.csv"))
    with pytest.raises(ImportFailed, match="cannot be read"):
        await load(database, vault, tmp_path / "missing.csv")


async def test_parquet_and_csv_of_the_same_rows_are_the_same_import(
    database: Database, vault: Vault, tmp_path: Path
) -> None:
    text = csv(
        tmp_path / "a.csv",
        "489434,85048,15CM CHRISTMAS GLASS BALL,12,2009-12-01 07:45:00,6.95,13085.0,United Kingdom",
        "C489449,22087,PAPER BUNTING,-12,2009-12-01 10:33:00,2.95,16321.0,Australia",
        header=RETAIL,
    )
    table = pa_csv.read_csv(text)
    assert pa.types.is_timestamp(table["InvoiceDate"].type)
    pq.write_table(table, tmp_path / "a.parquet")
    await load(database, vault, text, preset="online-retail")
    before = await state(database)
    again = await load(database, vault, tmp_path / "a.parquet", preset="online-retail")
    assert (again.kept, again.orders, again.refunds) == (2, 0, 0)
    assert await state(database) == before


async def test_events_are_stored_once(database: Database, vault: Vault, tmp_path: Path) -> None:
    path = csv(
        tmp_path / "e.csv",
        "7,e1,2026-03-01 08:00,browse,30,S1",
        "7,e2,2026-03-01 08:01,group-post,,",
        "7,e1,2026-03-01 08:00,browse,30,S1",
        "8,e3,2026-03-01 08:02,dancing,,",
        header="customer_id,event_id,at,kind,seconds,sku",
    )
    for new in (2, 0):
        summary = await load(database, vault, path, kind=ImportKind.EVENTS, source="till")
        assert (summary.kept, summary.rejected, summary.events) == (3, 1, new)
    assert summary.reasons == {"UNKNOWN_VALUE": 1}
    assert await rows(database, "SELECT event_id, kind, seconds, sku FROM activity ORDER BY 1") == [
        ("e1", "BROWSE", 30, "S1"),
        ("e2", "GROUP_POST", 0, None),
    ]
