"""Canaries: what must die if a model ever sees what it may not.

A score at a cutoff depends on rows before it alone, bit for bit, whatever comes after, in whatever
order the file has its rows. Given other people's futures, no model ranks better than chance. And
the dump holds exactly the population: those with an order in the days before.
"""

import csv
import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from cli.backtest import backtest as verb
from ml.arrays import DAY, F64
from ml.backtest import Report, backtest
from ml.contenders import Contenders
from ml.evaluation import roc_auc
from ml.facts import Facts
from ml.files import read
from ml.history import fold
from ml.samples import Past, Plan
from tests.ml.small_shop import START, real_data, shop

CUTOFF = START + 320 * DAY
APP = typer.Typer()
APP.command()(verb)
RUN = CliRunner()


@pytest.fixture(scope="module")
def facts() -> Facts:
    return shop(members=420, days=430, events=False)


def told(facts: Facts) -> dict[str, F64]:
    """What every model says at the cutoff of those who were at stake there."""
    return backtest(facts, cutoffs=[CUTOFF], weekly=False, draws=20).tests[0].probability


def other_future(facts: Facts, seed: int) -> Facts:
    """The same past, and from the cutoff on something else altogether, newcomers included."""
    random = np.random.default_rng(seed)
    past = facts.order_at < CUTOFF
    number = 3_000
    columns = {
        "order_member": random.integers(0, len(facts.member_ids) + 50, number),
        "order_at": CUTOFF + random.integers(0, 100 * DAY, number),
        "order_fen": random.integers(0, 10**9, number),
        "order_items": random.integers(0, 99, number),
        "order_discount_fen": random.integers(0, 99, number),
        "order_refund_fen": random.integers(0, 99, number),
        "order_refund_at": CUTOFF + random.integers(0, 100 * DAY, number),
        "order_products": random.integers(0, 99, number),
    }
    columns["order_at"][:2] = CUTOFF, CUTOFF + 99 * DAY
    return Facts(
        member_ids=np.arange(len(facts.member_ids) + 50),
        **{
            name: np.concatenate([getattr(facts, name)[past], column])
            for name, column in columns.items()
        },
    )


def test_what_comes_after_a_cutoff_changes_no_score_bit_for_bit(facts: Facts) -> None:
    hidden = facts.order_refund_at >= CUTOFF
    known = replace(
        facts,
        order_refund_fen=np.where(hidden, 0, facts.order_refund_fen),
        order_refund_at=np.where(hidden, np.iinfo(np.int64).max, facts.order_refund_at),
    )
    first, second = told(known), told(other_future(known, 1))
    assert set(first) == set(second)
    assert len(first["product"]) > 200
    for model, probability in first.items():
        assert probability.tobytes() == second[model].tobytes(), model


def test_what_comes_after_a_week_changes_no_score_of_that_week(facts: Facts) -> None:
    cut = facts.before(CUTOFF)
    earlier = CUTOFF - 60 * DAY
    for every in (0, 3):
        week = earlier + every * 7 * DAY
        said: list[dict[str, F64]] = []
        for known in (facts, other_future(cut, 2)):
            past = Past(known, Plan())
            matrix = past.matrix(week)
            days = fold(past.facts, week, matrix.members)
            said.append(Contenders(past, earlier, 1).lasting(matrix, days, 90))
        for model, probability in said[0].items():
            assert probability.tobytes() == said[1][model].tobytes(), model


def as_file(facts: Facts, path: Path, seed: int, extra: list[str]) -> Path:
    """The orders as a file, its rows in an order drawn by `seed`."""
    lines = [
        f"m{member},{stamp(int(at))},{fen / 100:.2f}"
        for member, at, fen in zip(facts.order_member, facts.order_at, facts.order_fen, strict=True)
    ]
    lines = [*extra, *lines]
    order = np.random.default_rng(seed).permutation(len(lines))
    path.write_text("customer_id,timestamp,amount\n" + "\n".join(lines[row] for row in order))
    return path


def stamp(at: int) -> str:
    day, second = divmod(at, DAY)
    iso = (date(1970, 1, 1) + timedelta(days=day)).isoformat()
    return f"{iso} {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def dumped(file: Path, cutoffs: list[str]) -> dict[tuple[str, str], str]:
    dump = file.with_suffix(".scores")
    asked = ["--cutoffs", ",".join(cutoffs), "--dump", str(dump), "--no-lead", "--draws", "20"]
    done = RUN.invoke(APP, [str(file), *asked, "--json"])
    assert done.exit_code == 0, done.output
    with dump.open(newline="") as rows:
        told = [(row["customer_id"], row["cutoff"], row["p"]) for row in csv.DictReader(rows)]
    members = {cutoff["day"]: cutoff["members"] for cutoff in json.loads(done.stdout)["cutoffs"]}
    for day, number in members.items():
        assert sum(cutoff == day for _, cutoff, _ in told) == number
    answer = {(who, day): p for who, day, p in told}
    assert len(answer) == len(told)
    return answer


def test_shuffled_rows_and_later_customers_change_no_dumped_digit(
    tmp_path: Path, facts: Facts
) -> None:
    cutoffs = [stamp(CUTOFF - 30 * DAY)[:10], stamp(CUTOFF)[:10]]
    late = [f"{who},{stamp(CUTOFF + days * DAY)},7" for who in ("aaa", "zzz") for days in (0, 44)]
    first = dumped(as_file(facts, tmp_path / "a.csv", 1, []), cutoffs)
    second = dumped(as_file(facts, tmp_path / "b.csv", 2, late), cutoffs)
    assert first == second


def test_the_dump_is_the_population_by_the_day(tmp_path: Path, facts: Facts) -> None:
    """Everybody with an order in the 180 days before, to the second, and nobody else."""
    edge = CUTOFF - 180 * DAY
    extra = [
        f"in,{stamp(edge)},1",
        f"out,{stamp(edge - 1)},1",
        f"last,{stamp(CUTOFF - 1)},1",
        f"new,{stamp(CUTOFF)},1",
        f"refund,{stamp(CUTOFF - DAY)},-1",
        f"free,{stamp(CUTOFF - DAY)},0",
    ]
    file = as_file(facts, tmp_path / "a.csv", 3, extra)
    day = stamp(CUTOFF)[:10]
    with file.open() as rows:
        expected = {
            row["customer_id"]
            for row in csv.DictReader(rows)
            if stamp(edge) <= row["timestamp"] < stamp(CUTOFF) and float(row["amount"]) >= 0
        }
    assert {"in", "last", "free"} <= expected
    found = {who for who, _ in dumped(file, [day])}
    assert found == expected
    assert not found & {"out", "new", "refund"}


def test_other_peoples_futures_are_ranked_by_chance(facts: Facts) -> None:
    """Each member gets the future of another: outcomes keep their rate and lose their meaning."""
    random = np.random.default_rng(0)
    swapped = random.permutation(len(facts.member_ids)).astype(np.int32)
    later = facts.order_at >= CUTOFF
    blind = replace(
        facts, order_member=np.where(later, swapped[facts.order_member], facts.order_member)
    )
    test = backtest(blind, cutoffs=[CUTOFF], weekly=False, draws=20).tests[0]
    seeing = backtest(facts, cutoffs=[CUTOFF], weekly=False, draws=20).tests[0]
    for model, probability in test.probability.items():
        assert roc_auc(test.outcome, probability) == pytest.approx(0.5, abs=0.1), model
    assert seeing.metrics["product"].roc_auc > 0.7


@pytest.mark.real
def test_honest_scores_of_real_orders_stay_below_what_only_a_leak_reaches() -> None:
    """Above 0.80 on Online Retail II something has leaked, in any model."""
    facts, _ = read(real_data("online_retail_ii_orders.csv.gz"))
    cutoff = int((np.datetime64("2011-03-04") - np.datetime64("1970-01-01")).astype(int)) * DAY
    report: Report = backtest(facts, cutoffs=[cutoff], weekly=False)
    for model, figures in report.mean.items():
        assert figures["roc_auc"] < 0.80, model
    test = report.tests[0]
    random = np.random.default_rng(0)
    blind = [
        roc_auc(random.permutation(test.outcome), test.probability["product"]) for _ in range(20)
    ]
    assert np.mean(blind) == pytest.approx(0.5, abs=0.01)
