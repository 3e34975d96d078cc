"""The same features by DuckDB and by Polars, from the same columns; see `bench.features`.

Left out on both sides is what a query language has no words for: BG/NBD, CNBD-k and slopes.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

DAY = 86_400
WINDOWS = (7, 14, 30, 60, 90, 180, 365)
KINDS = (1, 2, 3, 4, 5, 6, 7, 9, 10)

_SPANS = ",".join(f"count(*) FILTER (age <= {w}), sum(fen) FILTER (age <= {w})" for w in WINDOWS)
_DAYS = f"""
WITH days AS (
  SELECT member, ("at" + {{offset}}) // {DAY} AS day, sum(fen) AS paid,
    coalesce(sum(refund_fen) FILTER (refund_at < {{as_of}}), 0) AS refund,
    sum(discount_fen) AS discount, sum(items) AS items, sum(products) AS products,
    ((min("at") + {{offset}}) % {DAY}) / 3600.0 AS hour
  FROM orders WHERE "at" < {{as_of}} AND gone_at >= {{as_of}} GROUP BY 1, 2
), gaps AS (
  SELECT *, paid - refund AS fen, {{today}} - day AS age,
    day - lag(day) OVER (PARTITION BY member ORDER BY day) AS gap FROM days
)
SELECT member, {_SPANS}, count(*) FILTER (age > 30 AND age <= 60),
  count(*) FILTER (age > 320 AND age <= 365), {{today}} - max(day), avg(gap), median(gap),
  stddev_pop(gap), min(gap), max(gap), arg_max(gap, day), avg(fen), arg_max(fen, day), max(fen),
  stddev_pop(fen), avg(items), avg(products), sum(discount) FILTER (age <= 365),
  sum(refund) FILTER (age <= 365), sum(refund) FILTER (age <= 90),
  count(DISTINCT (age - 1) // 7) FILTER (age <= 84), count(*) FILTER ((day + 3) % 7 >= 5),
  {",".join(f"count(*) FILTER ((day + 3) % 7 = {d})" for d in range(7))}, avg(hour),
  stddev_pop(hour)
FROM gaps GROUP BY member
"""
_LINES = f"""
WITH bought AS (
  SELECT member, product, category, {{today}} - ("at" + {{offset}}) // {DAY} AS age
  FROM lines JOIN orders ON orders.id = lines.order_id
  WHERE "at" < {{as_of}} AND gone_at >= {{as_of}}
), kinds AS (
  SELECT member, category, count(*) AS times, min(age) AS age FROM bought
  WHERE age <= 365 AND category >= 0 GROUP BY 1, 2
), articles AS (
  SELECT member, product, count(*) AS times FROM bought WHERE age <= 365 GROUP BY 1, 2
), broad AS (
  SELECT member, count(*) AS n, count(*) FILTER (age <= 90), max(times) FROM kinds GROUP BY 1
)
SELECT * FROM broad JOIN (SELECT member, count(*), sum(times) FROM articles GROUP BY 1) USING (member)
"""  # noqa: E501
_EVENTS = f"""
WITH near AS (
  SELECT member, kind, seconds, ({{as_of}} - 1 - "at") // {DAY} AS age FROM events
  WHERE "at" < {{as_of}} AND "at" >= {{as_of}} - 90 * {DAY}
)
SELECT member, {
    ",".join(
        f"count(*) FILTER (kind = {k} AND age < 7), count(*) FILTER (kind = {k} AND age < 28),"
        f"count(*) FILTER (kind = {k} AND age >= 28 AND age < 56)"
        for k in KINDS
    )
}, sum(seconds) FILTER (age < 28), sum(seconds) FILTER (age >= 28 AND age < 56),
  {",".join(f"count(*) FILTER (kind = {k})" for k in (8, 11, 12, 13, 14, 15, 16))},
  min(age) FILTER (kind = 1), min(age) FILTER (kind = 2)
FROM near GROUP BY member
"""


def tables(folder: Path) -> dict[str, pa.Table]:
    """The columns of the benchmark as Arrow tables; orders get their number."""
    found: dict[str, dict[str, np.ndarray]] = {"order": {}, "line": {}, "event": {}}
    for file in folder.glob("*.npy"):
        table, _, column = file.stem.partition("_")
        found[table]["order_id" if file.stem == "line_order" else column] = np.load(file)
    found["order"]["id"] = np.arange(len(found["order"]["at"]), dtype=np.int32)
    return {f"{name}s": pa.table(columns) for name, columns in found.items()}


class DuckDb:
    """Three queries over DuckDB's own tables."""

    def __init__(self, folder: Path, threads: int) -> None:
        import duckdb

        self.connection: Any = duckdb.connect(config={"threads": threads})
        for name, table in tables(folder).items():
            self.connection.register("arrow", table)
            self.connection.execute(f"CREATE TABLE {name} AS SELECT * FROM arrow")
            self.connection.unregister("arrow")

    def run(self, as_of: int, offset: int) -> int:
        """Compute everything; answers how many members came out."""
        given = {"as_of": as_of, "offset": offset, "today": (as_of + offset) // DAY}
        rows = 0
        for number, query in enumerate((_DAYS, _LINES, _EVENTS)):
            sql = f"CREATE TEMP TABLE answer{number} AS {query.format(**given)}"
            self.connection.execute(sql)
            counted = self.connection.execute(f"SELECT count(*) FROM answer{number}")
            rows = max(rows, *counted.fetchall()[0])
        return rows


class Polars:
    """Three lazy queries over Polars' own frames."""

    def __init__(self, folder: Path, threads: int) -> None:
        os.environ["POLARS_MAX_THREADS"] = str(threads)
        import polars

        self.frames: Any = {
            name: polars.DataFrame(polars.from_arrow(table)).lazy()
            for name, table in tables(folder).items()
        }

    def run(self, as_of: int, offset: int) -> int:
        """Compute everything; answers how many members came out."""
        import polars as pl

        today = (as_of + offset) // DAY
        col: Any = pl.col
        orders = self.frames["orders"].filter((col("at") < as_of) & (col("gone_at") >= as_of))
        local = (col("at") + offset) // DAY
        unseen = pl.when(col("refund_at") < as_of).then(col("refund_fen")).otherwise(0)
        days = (
            orders.group_by("member", local.alias("day"))
            .agg(
                col("fen").sum().alias("paid"), unseen.sum().alias("refund"),
                col("discount_fen", "items", "products").sum(),
                (((col("at").min() + offset) % DAY) / 3600).alias("hour"),
            )
            .sort("member", "day")
            .with_columns(
                (col("paid") - col("refund")).alias("fen"), (today - col("day")).alias("age"),
                col("day").diff().over("member").alias("gap"),
            )
        )  # fmt: skip
        age, fen, gap = col("age"), col("fen"), col("gap")
        one = days.group_by("member").agg(
            *(age.filter(age <= w).len().alias(f"n{w}") for w in WINDOWS),
            *(fen.filter(age <= w).sum().alias(f"s{w}") for w in WINDOWS),
            age.filter((age > 30) & (age <= 60)).len().alias("month"),
            age.filter((age > 320) & (age <= 365)).len().alias("season"),
            age.min().alias("recency"),
            gap.mean().alias("g1"), gap.median().alias("g2"), gap.std(ddof=0).alias("g3"),
            gap.min().alias("g4"), gap.max().alias("g5"), gap.last().alias("g6"),
            fen.mean().alias("f1"), fen.last().alias("f2"), fen.max().alias("f3"),
            fen.std(ddof=0).alias("f4"), col("items").mean(), col("products").mean(),
            col("discount_fen").filter(age <= 365).sum(),
            col("refund").filter(age <= 365).sum().alias("r365"),
            col("refund").filter(age <= 90).sum().alias("r90"),
            ((age - 1) // 7).filter(age <= 84).n_unique().alias("weeks"),
            *((((col("day") + 3) % 7) == d).sum().alias(f"d{d}") for d in range(7)),
            col("hour").mean().alias("h1"), col("hour").std(ddof=0).alias("h2"),
        )  # fmt: skip
        bought = (
            self.frames["lines"]
            .join(orders.select("id", "member", "at"), left_on="order_id", right_on="id")
            .with_columns((today - local).alias("age"))
            .filter(col("age") <= 365)
        )
        kinds = (
            bought.filter(col("category") >= 0)
            .group_by("member", "category")
            .agg(pl.len().alias("times"), col("age").min())
            .group_by("member")
            .agg(pl.len(), (col("age") <= 90).sum(), col("times").max())
        )
        articles = (
            bought.group_by("member", "product").agg(pl.len().alias("times"))
            .group_by("member").agg(pl.len(), col("times").sum())
        )  # fmt: skip
        kind, old = col("kind"), (as_of - 1 - col("at")) // DAY
        near = self.frames["events"].filter(
            (col("at") < as_of) & (col("at") >= as_of - 90 * DAY)
        ).with_columns(old.alias("age"))  # fmt: skip
        two = near.group_by("member").agg(
            *(((kind == k) & (age < 7)).sum().alias(f"a{k}") for k in KINDS),
            *(((kind == k) & (age < 28)).sum().alias(f"b{k}") for k in KINDS),
            *(((kind == k) & (age >= 28) & (age < 56)).sum().alias(f"c{k}") for k in KINDS),
            col("seconds").filter(age < 28).sum().alias("u1"),
            col("seconds").filter((age >= 28) & (age < 56)).sum().alias("u2"),
            *((kind == k).sum().alias(f"k{k}") for k in (8, 11, 12, 13, 14, 15, 16)),
            age.filter(kind == 1).min().alias("l1"), age.filter(kind == 2).min().alias("l2"),
        )  # fmt: skip
        return max(len(query.collect()) for query in (one, kinds, articles, two))
