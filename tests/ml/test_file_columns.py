"""What columns of products, categories and discounts add, and what hostile ones cannot do."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from ml import articles, features
from ml.arrays import DAY
from ml.errors import UnreadableFile
from ml.files import read

ROWS = [
    # customer, day, paid, product, category, taken off
    ("7", "2024-01-01", "10", "milk", "dairy", "1.50"),
    ("7", "2024-01-01", "4", "milk", "dairy", ""),
    ("7", "2024-01-01", "6", "bread", "", "0"),
    ("7", "2024-02-01", "10", "milk", "dairy", "-2"),
    ("8", "2024-01-15", "9", "cheese", "dairy", "1"),
    ("8", "2024-01-15", "3", "", "", ""),
    ("8", "2024-01-20", "-3", "cheese", "dairy", "1"),
    ("9", "2024-02-02", "2", "tea", "drinks", ""),
]
HEAD = "customer_id,timestamp,amount,product,category,discount"
NOON = int(np.datetime64("2024-02-10", "s").astype(int))


def write(path: Path, head: str = HEAD, rows: list[tuple[str, ...]] = ROWS) -> Path:
    path.write_text("\n".join([head, *(",".join(row) for row in rows)]) + "\n", encoding="utf-8")
    return path


def columns_of(path: Path) -> dict[str, list[float]]:
    facts, _ = read(path)
    matrix = features.build(facts, NOON)
    return {name: matrix.column(name).tolist() for name in matrix.names}


def test_products_categories_and_discounts_feed_the_columns_of_the_database(tmp_path: Path):
    facts, tally = read(write(tmp_path / "a.csv"))
    assert (tally.used, tally.remarks, tally.ignored) == (8, [], ())
    assert facts.order_discount_fen.tolist() == [150, 200, 100, 0]
    assert facts.order_products.tolist() == [2, 1, 1, 1]
    found = columns_of(tmp_path / "a.csv")
    # Milk and bread on one day, milk again: three lines, since a day's milk is one.
    assert found["products_365"] == [2, 1, 1]
    assert found["repeat_share_365"] == pytest.approx([1 / 3, 0, 0])
    assert found["categories_365"] == [1, 1, 1]
    assert found["favourite_share_365"] == [1, 1, 1]
    assert found["discount_share"] == pytest.approx([3.5 / 33.5, 1 / 13, 0])
    assert found["refund_share"][1] == pytest.approx(3 / 12)


def test_chinese_names_mean_the_same(tmp_path: Path):
    plain = columns_of(write(tmp_path / "a.csv"))
    zh = write(tmp_path / "zh.csv", "会员编号,下单时间,实付金额,商品编号,品类,优惠金额")
    assert str(columns_of(zh)) == str(plain)
    named = write(tmp_path / "other.csv", "customer_id,timestamp,amount,what,kind,off")
    facts, tally = read(named, columns={"product": "what", "category": "kind", "discount": "off"})
    assert len(facts.line_order) == 5
    assert tally.ignored == ()


def test_the_order_of_rows_changes_no_column(tmp_path: Path):
    plain = columns_of(write(tmp_path / "a.csv"))
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(ROWS))
        other = write(tmp_path / "b.csv", rows=[ROWS[place] for place in order])
        assert str(columns_of(other)) == str(plain)


def test_many_batches_are_folded_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    random = np.random.default_rng(0)
    rows = [
        (f"c{random.integers(40)}", f"2024-01-{random.integers(1, 29):02}", "1",
         f"p{random.integers(6)}", f"k{random.integers(3)}", "")
        for _ in range(3_000)
    ]  # fmt: skip
    whole = columns_of(write(tmp_path / "a.csv", rows=rows))
    monkeypatch.setattr(articles, "_PENDING", 50)
    monkeypatch.setattr("ml.files._BLOCK", 1 << 12)
    assert str(columns_of(tmp_path / "a.csv")) == str(whole)
    days = {(who, day): set[str]() for who, day, *_ in rows}
    for who, day, _, product, *_ in rows:
        days[who, day].add(product)
    facts, _ = read(tmp_path / "a.csv")
    assert sorted(facts.order_products.tolist()) == sorted(len(each) for each in days.values())
    assert len(facts.line_order) == len({(who, day, p, k) for who, day, _, p, k, _ in rows})


def test_a_category_without_products_stands_for_them(tmp_path: Path):
    rows = [(who, day, paid, category) for who, day, paid, _, category, _ in ROWS]
    found = columns_of(write(tmp_path / "a.csv", "customer_id,timestamp,amount,category", rows))
    assert found["categories_365"] == found["products_365"] == [1, 1, 1]


def test_a_count_of_products_in_the_file_goes_before_the_names(tmp_path: Path):
    rows = [(*row, "5") for row in ROWS]
    facts, _ = read(write(tmp_path / "a.csv", HEAD + ",n_products", rows))
    assert facts.order_products.tolist() == [15, 5, 10, 5]


def test_without_these_columns_facts_are_what_they_were(tmp_path: Path):
    rows = [row[:3] for row in ROWS]
    facts, tally = read(write(tmp_path / "a.csv", "customer_id,timestamp,amount", rows))
    assert tally.ignored == ()
    assert not len(facts.line_order)
    assert not facts.order_discount_fen.any()
    assert facts.order_products.tolist() == [3, 1, 2, 1]


def test_other_columns_are_not_read_and_named(tmp_path: Path):
    head = HEAD + ",colour,x" + "y" * 100 + "".join(f",n{place}" for place in range(50))
    rows = [(*row, "=1+1", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
             *["NaN"] * 50) for row in ROWS]  # fmt: skip
    facts, tally = read(write(tmp_path / "a.csv", head, rows))
    assert tally.ignored[:2] == ("colour", "x" + "y" * 39)
    assert len(tally.ignored) == 20
    plain, _ = read(write(tmp_path / "b.csv"))
    for one in fields(facts):
        assert np.array_equal(getattr(facts, one.name), getattr(plain, one.name)), one.name


def test_names_of_columns_give_a_terminal_no_orders(tmp_path: Path):
    rows = [(*row, "1") for row in ROWS]
    _, tally = read(write(tmp_path / "a.csv", HEAD + ",\x1b[31mred\x07", rows))
    assert tally.ignored == ("?[31mred?",)


@pytest.mark.parametrize(
    "said", ["10%", "nan", "inf", "-inf", "1e300", "half", "=SUM(A1)", "9" * 400, "\x00"]
)
def test_a_discount_that_is_no_amount_counts_as_none_and_is_told(tmp_path: Path, said: str):
    rows = [(*ROWS[0][:5], said), *ROWS[1:]]
    facts, tally = read(write(tmp_path / "a.csv", rows=rows))
    assert facts.order_discount_fen.tolist() == [0, 200, 100, 0]
    assert tally.used == 8
    assert tally.remarks == [
        "1 discounts are no amounts of money and count as none: write what was taken off as 1.50, "
        "and no percentages."
    ]


def test_hostile_names_of_products_are_names_like_others(tmp_path: Path):
    names = ["\x00", "'; DROP TABLE order_line; --", "9" * 300, "9" * 299 + "8", "ü" * 90, "-1"]
    rows = [
        ("7", f"2024-01-{place + 1:02}", "1", name, "k", "") for place, name in enumerate(names)
    ]
    found = columns_of(write(tmp_path / "a.csv", rows=rows))
    # Of names that agree in 200 bytes nobody can tell which is which.
    assert found["products_365"] == [5]


def test_a_column_that_tells_nothing_apart_is_left_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(articles, "MOST_NAMES", 3)
    facts, tally = read(write(tmp_path / "a.csv"))
    assert [remark[:40] for remark in tally.remarks] == ["The column of the product has more than "]
    assert not len(facts.line_order)
    assert facts.order_products.tolist() == [3, 1, 2, 1]


def test_a_column_of_lists_is_refused_with_a_reason(tmp_path: Path):
    table = pa.table(
        {
            "customer_id": ["7"],
            "timestamp": ["2024-01-01"],
            "amount": [1.0],
            "product": [[1, 2]],
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(UnreadableFile, match="cannot be read"):
        read(tmp_path / "a.parquet")


def test_a_future_of_lines_changes_no_column(tmp_path: Path):
    before = columns_of(write(tmp_path / "a.csv"))
    later = [
        ("7", "2024-03-01", "5", "milk", "drinks", "1"),
        ("9", "2024-04-01", "5", "x", "y", "2"),
    ]
    after = columns_of(write(tmp_path / "b.csv", rows=[*ROWS, *later]))
    assert NOON % DAY == 0
    known = {name for name in before if not name.startswith(("bgnbd", "cnbd"))}
    assert str({name: after[name] for name in known}) == str({name: before[name] for name in known})
