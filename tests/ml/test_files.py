import dataclasses
import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from ml import files, purchases
from ml.errors import UnreadableFile
from ml.facts import NEVER
from ml.files import read


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_lines_become_one_order_a_customer_and_day(tmp_path: Path):
    file = write(
        tmp_path / "lines.csv",
        "customer_id,timestamp,amount,quantity\n"
        "7,2024-01-01 09:00:00,10.10,2\n"
        "7,2024-01-01T18:30:00,5.05,1\n"
        "8,2024-01-01,3,1\n"
        "7,2024-01-02,1,1\n",
    )
    facts, tally = read(file)
    assert facts.member_ids == [b"7", b"8"]
    assert facts.order_member.tolist() == [0, 0, 1]
    assert facts.order_fen.tolist() == [1515, 100, 300]
    assert facts.order_items.tolist() == [3, 1, 1]
    assert facts.order_at[0] == datetime(2024, 1, 1, 9, tzinfo=UTC).timestamp()
    assert (tally.rows, tally.used, tally.left_out) == (4, 4, {})


def test_cancelled_lines_are_refunds_of_the_latest_order_before(tmp_path: Path):
    file = write(
        tmp_path / "lines.csv",
        "customer_id,timestamp,amount,invoice\n"
        "7,2024-01-01,10,1\n"
        "7,2024-02-01,20,2\n"
        "7,2024-01-10,-4,C3\n"
        "7,2024-01-12,1,C4\n"
        "9,2024-01-01,-1,C5\n"
        "9,2024-01-05,6,6\n",
    )
    facts, tally = read(file)
    # The second refund of the first order takes a row of its own, at the order's instant.
    assert facts.order_fen.tolist() == [1000, 2000, 600, 0]
    assert facts.order_at[3] == facts.order_at[0]
    assert facts.order_member.tolist() == [0, 0, 1, 0]
    assert facts.order_refund_fen.tolist() == [400, 0, 0, 100]
    assert facts.order_refund_at[0] == datetime(2024, 1, 10, tzinfo=UTC).timestamp()
    assert facts.order_refund_at[1:3].tolist() == [NEVER, NEVER]
    assert facts.order_refund_at[3] == datetime(2024, 1, 12, tzinfo=UTC).timestamp()
    assert tally.left_out == {"refund without an earlier order": 1}


def test_bad_rows_are_counted_and_good_ones_kept(tmp_path: Path):
    file = tmp_path / "mixed.csv"
    file.write_bytes(
        b"Customer ID,Timestamp,Amount,note\n"
        b"a,2024-01-01,1.5,x\n"
        b",2024-01-01,1.5,x\n"
        b"  ,2024-01-01,1.5,x\n"
        b"b,2024-13-45,1.5,x\n"
        b"b,yesterday,1.5,x\n"
        b"b,2024-01-01,a lot,x\n"
        b"b,2024-01-01,nan,x\n"
        b"b,2024-01-01,1,x,too,many\n"
        b"\xe9t\xe9,2024-01-01,2,\xff\n"
        b'"c ",2024-01-03T10:00:00+08:00,0,x\n'
    )
    facts, tally = read(file)
    assert sorted(facts.member_ids) == [b"a", b"c", b"\xe9t\xe9"]
    assert sorted(facts.order_fen.tolist()) == [0, 150, 200]
    assert tally.used == 3
    assert tally.rows == 10
    assert tally.left_out == {
        "no customer": 2,
        "bad timestamp": 2,
        "bad amount": 2,
        "wrong number of columns": 1,
    }
    assert tally.first["bad timestamp"] == "row 5, timestamp '2024-13-45'"
    zoned = datetime(2024, 1, 3, 2, tzinfo=UTC).timestamp()
    assert zoned in facts.order_at.tolist()


def test_gzip_and_parquet_give_the_same_facts_as_csv(tmp_path: Path):
    random = np.random.default_rng(0)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    at = [start + timedelta(minutes=int(m)) for m in random.integers(0, 500_000, 300)]
    who, amount = random.integers(1, 40, 300), random.integers(1, 9999, 300) / 100
    text = "customer_id,timestamp,amount\n" + "".join(
        f"{w},{a:%Y-%m-%d %H:%M:%S},{m}\n" for w, a, m in zip(who, at, amount, strict=True)
    )
    plain = write(tmp_path / "orders.csv", text)
    (tmp_path / "orders.gz").write_bytes(gzip.compress(text.encode()))
    table = pa.table(
        {
            "customer_id": pa.array(who.astype(float)),
            "timestamp": pa.array([a.replace(tzinfo=None) for a in at], pa.timestamp("us")),
            "amount": amount,
        }
    )
    parquet.write_table(table, tmp_path / "orders.parquet")
    told: list[float] = []
    first, _ = read(plain, told.append)
    for other in ("orders.gz", "orders.parquet"):
        facts, _ = read(tmp_path / other)
        assert facts.member_ids == first.member_ids
        for column in ("order_member", "order_at", "order_fen"):
            assert np.array_equal(getattr(facts, column), getattr(first, column))
    assert told[-1] == 1.0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"kunde,datum,amount\n1,2,3\n", "lacks the columns customer_id, timestamp"),
        (b"customer_id,timestamp\n1,2024-01-01\n", "lacks the column amount"),
        (b"customer_id,timestamp,amount\n", "no row that can be used"),
        (b"customer_id,timestamp,amount\n1,never,5\n", "1 × bad timestamp"),
        (b"customer_id,timestamp,amount\n1,2024-01-01,-5\n", "refunds but no orders"),
        (b"\x1f\x8bbroken", "cannot be read"),
        (b"PAR1broken", "cannot be read"),
    ],
)
def test_useless_files_are_refused_with_the_reason(tmp_path: Path, content: bytes, said: str):
    file = tmp_path / "file.csv"
    file.write_bytes(content)
    with pytest.raises(UnreadableFile, match=said):
        read(file)


def test_a_missing_column_names_what_the_file_has(tmp_path: Path):
    file = write(tmp_path / "f.csv", "customer_id,when,amount\n1,2024-01-01,5\n")
    with pytest.raises(UnreadableFile, match="customer_id, when, amount"):
        read(file)


@pytest.mark.parametrize("pending", [1, 7, 1000])
def test_lines_folded_often_or_once_give_the_same_orders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pending: int
) -> None:
    roll = np.random.default_rng(pending)
    path = tmp_path / "orders.csv"
    lines = [
        f"c{roll.integers(0, 40)},2026-03-{roll.integers(1, 29):02} {roll.integers(0, 24):02}:05,"
        f"{roll.integers(-300, 3000) / 100},{roll.integers(1, 5)}"
        for _ in range(900)
    ]
    path.write_text("\n".join(["customer_id,timestamp,amount,quantity", *lines]))
    once, _ = read(path)
    monkeypatch.setattr(purchases, "_PENDING", pending)
    monkeypatch.setattr(files, "_BLOCK", 1 << 12)
    often, tally = read(path)
    assert tally.used == 900
    for column in dataclasses.fields(once):
        assert np.array_equal(getattr(once, column.name), getattr(often, column.name)), column.name
