"""Bad rows go aside with row, column and reason; good rows stay."""

import csv as csv_reader
import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.kernel.crypto import Vault
from app.kernel.db import Database
from tests.make.importing import HEADER, RETAIL, csv, load, rows

GOOD = "1,A1,2026-03-01 10:00,S1,apple,2,3.50"


def rejects(path: Path) -> list[dict[str, str]]:
    with path.with_name(path.name + ".rejects.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv_reader.DictReader(file))


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        (",A2,2026-03-01 10:00,S1,apple,2,3.50", "customer_id", "MISSING_CUSTOMER"),
        ("1,,2026-03-01 10:00,S1,apple,2,3.50", "order_no", "MISSING"),
        ("1,A2,,S1,apple,2,3.50", "at", "MISSING"),
        ("1,A2,yesterday,S1,apple,2,3.50", "at", "BAD_DATE"),
        ("1,A2,2026-02-30 10:00,S1,apple,2,3.50", "at", "BAD_DATE"),
        ("1,A2,20260301,S1,apple,2,3.50", "at", "BAD_DATE"),
        ("1,A2,1926-03-01 10:00,S1,apple,2,3.50", "at", "DATE_OUT_OF_RANGE"),
        ("1,A2,2027-03-01 10:00,S1,apple,2,3.50", "at", "DATE_OUT_OF_RANGE"),
        ("1,A2,9999-12-31T23:59:59-12:00,S1,apple,2,3.50", "at", "DATE_OUT_OF_RANGE"),
        ("1,A2,2026-03-01 10:00,,apple,2,3.50", "sku", "MISSING"),
        ("1,A2,2026-03-01 10:00,S1,apple,two,3.50", "quantity", "BAD_NUMBER"),
        ("1,A2,2026-03-01 10:00,S1,apple,2.5,3.50", "quantity", "BAD_NUMBER"),
        ("1,A2,2026-03-01 10:00,S1,apple,0,3.50", "quantity", "ZERO_QUANTITY"),
        ("1,A2,2026-03-01 10:00,S1,apple,-2,3.50", "quantity", "NEGATIVE_QUANTITY"),
        ("1,A2,2026-03-01 10:00,S1,apple,2000000,3.50", "quantity", "OUT_OF_RANGE"),
        (f"1,A2,2026-03-01 10:00,S1,apple,{'9' * 400},3.50", "quantity", "OUT_OF_RANGE"),
        ("1,A2,2026-03-01 10:00,S1,apple,2,free", "unit_price", "BAD_AMOUNT"),
        ("1,A2,2026-03-01 10:00,S1,apple,2,NaN", "unit_price", "BAD_AMOUNT"),
        ("1,A2,2026-03-01 10:00,S1,apple,2,", "unit_price", "MISSING"),
        ("1,A2,2026-03-01 10:00,S1,apple,2,-3.50", "unit_price", "NEGATIVE_AMOUNT"),
        ("1,A2,2026-03-01 10:00,S1,apple,2,1e30", "unit_price", "OUT_OF_RANGE"),
        ("1,A2,2026-03-01 10:00,S1,apple,1000000,900000000", "unit_price", "OUT_OF_RANGE"),
        ("1,A2,2026-03-01 10:00,S1,ap\0ple,2,3.50", "name", "NUL_BYTE"),
        (f"1,A2,2026-03-01 10:00,{'S' * 65},apple,2,3.50", "sku", "TOO_LONG"),
        ("1,A2,2026-03-01 10:00,S1,apple,2", "", "COLUMN_COUNT"),
        ("1,A2,2026-03-01 10:00,S1,apple,2,3.50,more", "", "COLUMN_COUNT"),
    ],
)
async def test_a_bad_row_names_row_column_and_reason(
    database: Database, vault: Vault, tmp_path: Path, line: str, column: str, reason: str
) -> None:
    path = csv(tmp_path / "a.csv", GOOD, line, GOOD.replace("A1", "A3"))
    summary = await load(database, vault, path)
    assert (summary.rows, summary.kept, summary.rejected) == (3, 2, 1)
    assert summary.reasons == {reason: 1}
    assert await rows(database, "SELECT order_no FROM member_order ORDER BY 1") == [
        ("A1",),
        ("A3",),
    ]
    [found] = rejects(path)
    assert (found["row"], found["column"], found["reason"]) == ("3", column, reason)
    assert found["reason_zh"]
    assert found["reason_en"]
    if column:
        assert [found[name] for name in HEADER.split(",")] == line.replace("\0", "\\x00").split(",")
    else:
        assert found["customer_id"] == line


async def test_rows_in_another_encoding_are_named(
    database: Database, vault: Vault, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    lines = [GOOD.replace("apple", "苹果").replace("A1", f"A{n}").encode() for n in range(5)]
    lines[2] = lines[2].decode().encode("gb18030")
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join([HEADER.encode(), *lines]))
    summary = await load(database, vault, path)
    assert (summary.kept, summary.reasons) == (4, {"ENCODING": 1})
    [found] = rejects(path)
    assert (found["row"], found["column"], found["order_no"]) == ("4", "name", "A2")
    assert found["name"] == "\\xc6\\xbb\\xb9\\xfb"


async def test_blank_lines_are_passed_over_but_counted(
    database: Database, vault: Vault, tmp_path: Path
) -> None:
    path = csv(tmp_path / "a.csv", GOOD, "", "1,A2", "", '1,A3,2026-03-01,S1,"two\nlines",1,x')
    summary = await load(database, vault, path)
    assert (summary.kept, summary.rejected) == (1, 2)
    assert [(item["row"], item["reason"]) for item in rejects(path)] == [
        ("4", "COLUMN_COUNT"),
        ("6", "BAD_AMOUNT"),
    ]


async def test_a_file_that_breaks_off_keeps_what_came_before(
    database: Database, vault: Vault, tmp_path: Path
) -> None:
    lines = "\n".join([HEADER, *(GOOD.replace("A1", f"A{n}") for n in range(60_000))])
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(lines.encode())[:-2000])
    summary = await load(database, vault, path)
    assert 0 < summary.kept < 60_000
    assert summary.reasons == {"UNREADABLE": 1}
    assert await rows(database, "SELECT DISTINCT total_fen FROM member_order") == [(700,)]
    assert int(rejects(path)[-1]["row"]) == summary.kept + 2


async def test_what_the_preset_takes_and_leaves(
    database: Database, vault: Vault, tmp_path: Path
) -> None:
    path = csv(
        tmp_path / "a.csv",
        "489434,85048,GLASS BALL,12,12/1/2009 7:45,6.95,13085,United Kingdom",
        "489434,GIFT,FREE GIFT,1,12/1/2009 7:45,0,13085,United Kingdom",
        "489435,85048,GLASS BALL,-3,12/1/2009 7:46,6.95,,United Kingdom",
        "A506401,B,Adjust bad debt,1,4/29/2010 13:36,-53594.36,13085,United Kingdom",
        "C496350,M,Manual,1,2/1/2010 8:24,373.57,13085,United Kingdom",
        header=RETAIL,
    )
    summary = await load(database, vault, path, preset="online-retail")
    assert (summary.kept, summary.orders, summary.lines) == (2, 1, 2)
    assert [(item["row"], item["column"], item["reason"]) for item in rejects(path)] == [
        ("4", "Customer ID", "MISSING_CUSTOMER"),
        ("5", "Price", "NEGATIVE_AMOUNT"),
        ("6", "Quantity", "CONTRADICTION"),
    ]
    assert await rows(
        database,
        "SELECT total_fen, placed_at = '2009-12-01T07:45Z', c.name, c.time_zone, o.source"
        " FROM member_order o JOIN member m ON m.id = o.member_id"
        " JOIN community c ON c.id = m.community_id",
    ) == [(8340, True, "United Kingdom", "Europe/London", "online-retail")]


field = st.one_of(
    st.sampled_from(["1", "A1", "2026-03-01 10:00", "2", "3.5", "", "0", "-1", '"', "\0", "é"]),
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12),
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.lists(field, min_size=1, max_size=9), min_size=1, max_size=6))
async def test_whatever_a_file_holds_every_row_is_kept_or_rejected(
    database: Database, vault: Vault, tmp_path: Path, table: list[list[str]]
) -> None:
    path = csv(tmp_path / "a.csv", GOOD, *(",".join(line) for line in table))
    summary = await load(database, vault, path)
    assert summary.kept >= 1
    assert summary.rejected == sum(summary.reasons.values())
    aside = rejects(path) if summary.rejected else []
    assert len(aside) == summary.rejected
    [(stored,)] = await rows(database, "SELECT count(*) FROM order_line")
    assert stored >= 1
