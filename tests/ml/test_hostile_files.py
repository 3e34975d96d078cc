"""Files as they come: each is read to the same sane facts, or refused with what to do."""

import codecs
import gzip
import os
import resource
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from ml.backtest import backtest
from ml.errors import ModelError, TooLittleHistory, UnreadableFile
from ml.facts import Facts
from ml.files import read

HEAD = "customer_id,timestamp,amount\n"
PLAIN = HEAD + "7,2024-01-01 09:00:00,10.10\n8,2024-01-02 00:00:00,3\n7,2024-01-05 18:30:00,5.05\n"


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def rows(facts: Facts) -> list[tuple[str, int, int]]:
    """Customer, instant and fen of each order in order."""
    who = [bytes(facts.member_ids[code]).decode() for code in facts.order_member]
    return sorted(zip(who, facts.order_at.tolist(), facts.order_fen.tolist(), strict=True))


EXPECTED = [
    ("7", at("2024-01-01 09:00"), 1010),
    ("7", at("2024-01-05 18:30"), 505),
    ("8", at("2024-01-02"), 300),
]


@pytest.mark.parametrize(
    "content",
    [
        codecs.BOM_UTF8 + PLAIN.encode(),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\n\n").encode(),
        PLAIN.rstrip().encode(),
        PLAIN.encode("utf-16"),
        codecs.BOM_UTF16_BE + PLAIN.encode("utf-16-be"),
        gzip.compress(PLAIN.encode(), mtime=0),
        PLAIN.replace(",", ";").replace(".", ",").encode(),
        PLAIN.replace(",", "\t").encode(),
        PLAIN.replace(",", "|").encode(),
        PLAIN.replace("customer_id,timestamp,amount", "Customer ID,TIMESTAMP,Amount ").encode(),
        PLAIN.replace("customer_id,timestamp,amount", "客户编号,下单时间,实付金额").encode(
            "gb18030"
        ),
        PLAIN.replace("customer_id,timestamp,amount", "会员号,日期,金额").encode(),
        PLAIN.replace("2024-01-02 00:00:00", "2024-01-02").encode(),
        PLAIN.replace("2024-01-02 00:00:00", "2024年1月2日").encode(),
        PLAIN.replace("2024-01-02 00:00:00", "2024/1/2 0:00").encode(),
        PLAIN.replace("2024-01-02 00:00:00", "20240102").encode(),
        PLAIN.replace("2024-01-01 09:00:00", "2024-01-01T17:00:00+08:00").encode(),
        PLAIN.replace("2024-01-01 09:00:00", "2024-01-01T09:00:00.250Z").encode(),
        PLAIN.replace("10.10", "￥10.10").replace("5.05", '"5.05"').encode(),
        PLAIN.replace("customer_id", "note,customer_id")
        .replace("\n7", "\nx\x00y,7")
        .replace("\n8", "\n,8")
        .encode(),
    ],
)
def test_the_same_orders_however_they_are_written(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "orders"
    file.write_bytes(content)
    facts, tally = read(file)
    assert rows(facts) == EXPECTED
    assert tally.left_out == {}
    assert tally.rows == 3


@pytest.mark.parametrize(
    "table",
    [
        {"timestamp": pa.array([1_704_099_600_000_000_000, None]).cast(pa.timestamp("ns"))},
        {"timestamp": pa.array([datetime(2024, 1, 1, 9, tzinfo=UTC), None])},
        {"timestamp": pa.array(["2024-01-01 09:00", None]).dictionary_encode()},
        {"amount": pa.array([Decimal("10.10"), Decimal("1")])},
        {"amount": pa.array(["10.10", "nan"])},
        {"customer_id": pa.array([7.0, None])},
        {"customer_id": pa.array(["7", " "], pa.large_string())},
    ],
)
def test_parquet_of_any_type(tmp_path: Path, table: dict[str, pa.Array]) -> None:
    plain = {
        "customer_id": pa.array([7, 8]),
        "timestamp": pa.array(["2024-01-01 09:00", "then"]),
        "amount": pa.array([10.1, float("inf")]),
    }
    parquet.write_table(pa.table(plain | table), tmp_path / "orders.parquet")
    facts, tally = read(tmp_path / "orders.parquet")
    assert rows(facts) == [("7", at("2024-01-01 09:00"), 1010)]
    assert (tally.rows, tally.used) == (2, 1)


def test_dates_in_parquet_are_days(tmp_path: Path) -> None:
    table = pa.table({"customer_id": ["a"], "timestamp": [date(2024, 1, 2)], "amount": [1]})
    parquet.write_table(table, tmp_path / "orders.parquet")
    assert rows(read(tmp_path / "orders.parquet")[0]) == [("a", at("2024-01-02"), 100)]


def test_customers_keep_their_names_whatever_the_encoding(tmp_path: Path) -> None:
    names = ["王小明", "a,b", 'say "hi"', "007", "7", "13085.0", "Zoë"]
    lines = "".join(f'"{n.replace(chr(34), chr(34) * 2)}",2024-01-01,1\n' for n in names)
    (tmp_path / "a").write_bytes((HEAD + lines).encode())
    (tmp_path / "b").write_bytes(
        (HEAD.replace("customer_id", "客户编号") + lines).encode("gb18030")
    )
    for file in ("a", "b"):
        facts, _ = read(tmp_path / file)
        assert [bytes(one).decode() for one in facts.member_ids] == sorted(names)


def test_every_bad_row_is_counted_with_the_number_a_spreadsheet_shows(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(
        HEAD.encode()
        + b"7,2024-01-01,1\n"
        + b"\n"
        + b"7,2024-01-02,1,too,many\n"
        + b"7,2024-01-03,1e308\n"
        + b"7,2024-01-04,-1e300\n"
        + b"7,2024-01-05,nan\n"
        + b"7,2024-01-05,inf\n"
        + b"7,2024-01-05,0x10\n"
        + b"7,2024-01-05,1_000\n"
        + b"7,0001-01-01,1\n"
        + b"7,9999-12-31,1\n"
        + b"7,03/04/2024,1\n"
        + b"7,1704067200,1\n"
        + b"a\x00b,2024-01-01,1\n"
        + b",2024-01-01,1\n"
        + b"7,2024-01-09,-0.004\n"
        + b"7,2024-01-10,99999999999\n"
    )
    facts, tally = read(file)
    assert tally.left_out == {
        "wrong number of columns": 1,
        "amount out of range": 2,
        "bad amount": 4,
        "bad timestamp": 4,
        "customer with a NUL byte": 1,
        "no customer": 1,
    }
    assert tally.rows == 16
    assert tally.first["wrong number of columns"].startswith("row 4, ")
    assert tally.first["amount out of range"] == "row 5, amount '1e308'"
    assert tally.first["bad amount"] == "row 7, amount 'nan'"
    assert tally.first["bad timestamp"] == "row 11, timestamp '0001-01-01'"
    assert tally.first["customer with a NUL byte"].startswith("row 15, ")
    assert all(tally.remedy(reason) for reason in tally.left_out)
    assert sorted(facts.order_fen.tolist()) == [0, 100, 9_999_999_999_900]


def test_rows_keep_their_numbers_over_many_blocks(tmp_path: Path) -> None:
    """Ragged rows and empty lines of all blocks are counted, though blocks are read ahead."""
    filler = "x" * 400
    lines = [f"7,2024-01-01,1,{filler}" for _ in range(60_000)]
    lines[10] = "7,2024-01-01"
    lines[30_000] = ""
    lines[45_000] = "7,2024-01-01,1,2,3,4"
    lines[59_990] = f"7,someday,1,{filler}"
    file = tmp_path / "orders.csv"
    file.write_text("customer_id,timestamp,amount,note\n" + "\n".join(lines) + "\n")
    _, tally = read(file)
    assert tally.left_out == {"wrong number of columns": 2, "bad timestamp": 1}
    assert tally.first["wrong number of columns"].startswith("row 12, ")
    assert tally.first["bad timestamp"] == "row 59992, timestamp 'someday'"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (codecs.BOM_UTF8, "is empty"),
        (b"\n\n" + PLAIN.encode(), "begins with an empty line"),
        (b"x," * 200_000 + b"\n1\n", "begins with a line of 400,000 letters"),
        (b"customer_id," + b"y" * 99_000 + b"\n1\n", "the file has customer_id, y{40}[.]"),
        (b"n" + b",n" * 29 + b"\n1\n", "and 10 more[.]"),
        (b"PK\x03\x04 and so on", "Save the sheet as CSV UTF-8"),
        (PLAIN.encode("utf-16-le"), "full of NUL bytes"),
        (PLAIN.encode("utf-32"), "is in UTF-32"),
        (b"a,b,c\n1,2,3\n", "--column customer_id=NAME"),
        (
            (HEAD + "7,2024-01-01,1\n").replace("amount", "amount,Amount").encode(),
            "2 columns named",
        ),
        (HEAD.encode() + b'"7,2024-01-01,1\n', "no row that can be used"),
        (HEAD.encode() + b'"7,' + b"x" * (9 << 20), "a quote that is opened|no row that can"),
        (gzip.compress(bytes(range(48, 58)) * 9 + PLAIN.encode() * 9)[:-20], "cannot be read"),
        (HEAD.encode() + b"7,31.12.2024,1\n", "write days as 2026-03-01"),
        (HEAD.encode() + b"7,2024-01-01,-1\n", "Orders need positive ones"),
    ],
)
def test_refusals_say_what_to_do(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(content)
    with pytest.raises(UnreadableFile, match=said) as refused:
        read(file)
    assert str(refused.value).startswith("orders.csv")


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnreadableFile, match="pipe is a pipe"):
        read(tmp_path / "pipe")


def test_columns_may_be_named(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(PLAIN.replace("customer_id,timestamp,amount", "who,when,how much"))
    named = {"customer_id": "who", "timestamp": "when", "amount": "how much"}
    assert rows(read(file, columns=named)[0]) == EXPECTED
    with pytest.raises(UnreadableFile, match="no column whose"):
        read(file, columns=named | {"amount": "whose"})
    with pytest.raises(UnreadableFile, match="no column price"):
        read(file, columns={"price": "how much"})


@pytest.mark.parametrize(
    "lines",
    [
        [f"c{n},2024-01-{n + 1:02},5" for n in range(10)],
        [f"one,{date.fromordinal(738_886 + n)},5" for n in range(700)],
        [f"c{n},2024-01-01,5" for n in range(500)],
        ["7,2024-01-01,5"] * 1_000,
        [f"c{n % 40},{date.fromordinal(738_886 + n % 25)},5" for n in range(800)],
        [
            *(f"c{n % 40},{date.fromordinal(738_886 + n % 300)},5" for n in range(800)),
            "z,2199-01-01,1",
        ],
    ],
)
def test_small_and_odd_shops_are_refused_by_type(tmp_path: Path, lines: list[str]) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(HEAD + "\n".join(lines) + "\n")
    facts, _ = read(file)
    with pytest.raises(TooLittleHistory, match=r"orders run from \d{4}-\d\d-\d\d to"):
        backtest(facts)


def test_a_long_past_without_people_is_not_called_short(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(HEAD + "".join(f"c{n % 20},2024-01-{n % 28 + 1:02},5\n" for n in range(300)))
    with pytest.raises(TooLittleHistory, match="span too few days"):
        backtest(read(file)[0])
    file.write_text(file.read_text() + "z,2026-01-01,5\n")
    with pytest.raises(TooLittleHistory, match="name earlier days with --cutoffs"):
        backtest(read(file)[0])


def test_cutoffs_too_early_and_too_late_are_told_apart() -> None:
    random = np.random.default_rng(0)
    facts = Facts(
        member_ids=np.arange(80),
        order_member=random.integers(0, 80, 2_000).astype(np.int32),
        order_at=at("2023-01-01") + random.integers(0, 400 * 86_400, 2_000),
        order_fen=np.full(2_000, 100),
    )
    for cutoff, said in (
        ("2022-01-01", "Nothing can be learned by the cutoff 2022-01-01"),
        ("2023-03-01", "Nothing can be learned by the cutoff 2023-03-01"),
        ("2031-01-01", "the latest cutoff that can be tested is 2023-12-2"),
    ):
        with pytest.raises((ModelError, ValueError), match=said):
            backtest(facts, cutoffs=[at("2023-10-01"), at(cutoff)])


def test_order_of_rows_and_duplicates_do_not_matter(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    lines = [
        f"c{random.integers(40)},{date.fromordinal(738_886 + int(random.integers(300)))},5"
        for _ in range(600)
    ]
    (tmp_path / "a").write_text(HEAD + "\n".join(lines))
    (tmp_path / "b").write_text(HEAD + "\n".join(random.permutation(lines)))
    first, second = read(tmp_path / "a")[0], read(tmp_path / "b")[0]
    assert rows(first) == rows(second)


MEMORY = """
import resource, sys
from pathlib import Path
from ml import purchases
from ml.files import read
purchases._PENDING = 100_000
read(Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read(Path(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(not hasattr(resource, "RUSAGE_SELF"), reason="needs getrusage")
def test_memory_does_not_grow_with_rows(tmp_path: Path) -> None:
    """Three times the lines of the same customers and days: a few megabytes more, not thrice."""
    block = "".join(
        f"c{n % 5_000},{date.fromordinal(738_886 + n % 30)} 10:00:00,5.00,{'x' * 60}\n"
        for n in range(100_000)
    )
    for name, times in (("one", 3), ("three", 9)):
        with (tmp_path / name).open("w") as out:
            out.write("customer_id,timestamp,amount,note\n")
            for _ in range(times):
                out.write(block)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path / "one", tmp_path / "three"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert int(done.stdout) < 60_000, "KiB more for six hundred thousand rows more"
