import csv
import json
import resource
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from cli.backtest import backtest
from ml.arrays import DAY
from ml.evaluation import roc_auc
from tests.ml.small_shop import shop

APP = typer.Typer()
APP.command()(backtest)
RUN = CliRunner()


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    facts = shop(members=300, days=330, events=False)
    file = tmp_path_factory.mktemp("files") / "orders.csv"
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["customer_id", "timestamp", "amount"])
        for member, at, fen in zip(
            facts.order_member, facts.order_at, facts.order_fen, strict=True
        ):
            day, second = divmod(int(at), DAY)
            stamp = f"{_iso(day)} {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
            writer.writerow([f"c{member}", stamp, fen / 100])
        writer.writerow(["", "2021-01-01", 5])
    return file


def _iso(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def last_cutoff(file: Path) -> str:
    with file.open() as rows:
        days = [row["timestamp"][:10] for row in csv.DictReader(rows) if row["customer_id"]]
    return (date.fromisoformat(max(days)) - timedelta(days=45)).isoformat()


def silence(file: Path, told: list[dict[str, str]]) -> tuple[Any, Any]:
    """What the file itself says became of those who were told of, with what was said."""
    with file.open() as rows:
        seen = {(row["customer_id"], row["timestamp"][:10]) for row in csv.DictReader(rows)}
    came: set[str] = set()
    for customer, day in seen:
        cutoff = date.fromisoformat(told[0]["cutoff"])
        if cutoff <= date.fromisoformat(day) < cutoff + timedelta(days=45):
            came.add(customer)
    outcome = np.array([float(row["customer_id"] not in came) for row in told])
    return outcome, np.array([float(row["p"]) for row in told])


def test_json_dump_and_plots(tmp_path: Path, orders: Path):
    plots, dump = tmp_path / "plots", tmp_path / "dump.csv"
    where = ["--cutoffs", last_cutoff(orders), "--plots", str(plots), "--dump", str(dump)]
    done = RUN.invoke(APP, [str(orders), *where, "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["rows"]["left_out"] == {"no customer": 1}
    assert [cutoff["day"] for cutoff in answer["cutoffs"]] == [last_cutoff(orders)]
    named = {"product", "xgboost", "logistic_rich", "cnbd", "bgnbd", "logistic"}
    named |= {"recency_frequency", "rfm", "recency"}
    assert set(answer["mean"]) - {"lightgbm"} == named
    for figures in (answer["cutoffs"][0], answer):
        for model, intervals in figures["intervals"].items():
            value = figures["models" if "models" in figures else "mean"][model]
            assert set(intervals) == set(value)
            assert all(low <= value[one] <= high for one, (low, high) in intervals.items())
    assert set(answer["gains"]) == set(answer["mean"]) - {"product"}
    assert answer["gain"]["auc"] == answer["gains"][answer["gain"]["over"]]["auc"]
    assert 0.5 < answer["mean"]["product"]["roc_auc"] < 1
    assert sorted(file.name for file in plots.iterdir()) == [
        "calibration.png",
        *(["lead.png"] if answer["lead"] else []),
        "lift.png",
        "roc.png",
    ]
    with dump.open() as rows:
        told = list(csv.DictReader(rows))
    assert len(told) == answer["cutoffs"][0]["members"]
    assert list(told[0]) == ["customer_id", "cutoff", "p"]
    assert {row["cutoff"] for row in told} == {last_cutoff(orders)}
    assert len({row["customer_id"] for row in told}) == len(told)
    assert all(row["customer_id"].startswith("c") and 0 < float(row["p"]) < 1 for row in told)
    assert roc_auc(*silence(orders, told)) == pytest.approx(
        answer["cutoffs"][0]["models"]["product"]["roc_auc"], abs=1e-6
    )


def test_table_names_every_model_and_file(tmp_path: Path, orders: Path):
    where = ["--plots", str(tmp_path), "--cutoffs", last_cutoff(orders)]
    done = RUN.invoke(APP, [str(orders), *where], env={"COLUMNS": "100"})
    assert done.exit_code == 0, done.output
    for word in ("Linli (as deployed)", "BG/NBD", "RFM score", "recency only", "ROC AUC", "lift"):
        assert word in done.stdout
    assert f"Written: {tmp_path / 'roc.png'}" in done.stdout.replace("\n", "")
    assert "1 × no customer" in done.stdout
    assert "…" not in done.stdout.replace("…+", "").replace("…-", "")
    assert max(len(line) for line in done.stdout.splitlines() if "Written" not in line) <= 100


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cutoffs", "tomorrow"], "wants days such as"),
        (["--cutoffs", "2031-01-01"], "ends past the data"),
        (["--cutoffs", "2020-09-20"], "Nothing can be learned by the cutoff 2020-09-20"),
        (["--column", "amount"], "takes ours=theirs"),
        (["--column", "amount=price"], "no column price"),
        (["--horizon", "500"], "too few days"),
        (["--active", "1"], "Nothing can be learned"),
    ],
)
def test_refusals_say_why(orders: Path, tmp_path: Path, arguments: list[str], said: str):
    done = RUN.invoke(APP, [str(orders), "--plots", str(tmp_path / "p"), *arguments])
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert not (tmp_path / "p").exists()


def test_a_full_disk_leaves_the_dump_of_yesterday(tmp_path: Path, orders: Path):
    dump = tmp_path / "dump.csv"
    dump.write_text("yesterday's")
    where = ["--cutoffs", last_cutoff(orders), "--dump", str(dump), "--no-lead", "--draws", "20"]
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
    try:
        done = RUN.invoke(APP, [str(orders), *where])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert done.exit_code == 1
    assert "cannot write" in done.stderr
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [
        ("dump.csv", "yesterday's")
    ]
    done = RUN.invoke(APP, [str(orders), "--dump", str(tmp_path / "no" / "x.csv")])
    assert done.exit_code == 1
    assert "there is no folder" in " ".join(done.stderr.split())


def test_wrong_columns_and_missing_files_are_named(tmp_path: Path):
    file = tmp_path / "wrong.csv"
    file.write_text("id,when\n1,2\n")
    done = RUN.invoke(APP, [str(file)])
    assert done.exit_code == 2
    said = " ".join(done.stderr.split())
    assert "lacks the columns customer_id, timestamp, amount" in said
    assert "--column customer_id=NAME" in said
    assert RUN.invoke(APP, [str(tmp_path / "absent.csv")]).exit_code == 2


def test_ids_are_dumped_as_the_file_has_them(tmp_path: Path, orders: Path):
    """Commas, Chinese, and bytes that are no UTF-8; columns by other names, semicolons."""
    names = {"c1": b'"a,b"', "c2": "王小明".encode(), "c3": b"Zo\xeb", "c4": b"007"}
    lines = orders.read_bytes().replace(b",", b";").splitlines()
    lines[0] = b"who;when;paid"
    file = tmp_path / "strange.csv"
    file.write_bytes(
        b"\n".join(
            b";".join([names.get(p[0].decode(), p[0]), *p[1:]])
            for p in (line.split(b";") for line in lines)
        )
    )
    dump = tmp_path / "dump.csv"
    named = ["--column", "customer_id=who", "--column", "timestamp=when", "--column", "amount=paid"]
    where = ["--cutoffs", last_cutoff(orders), "--dump", str(dump), "--no-lead", "--draws", "20"]
    done = RUN.invoke(APP, [str(file), *named, *where, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["lead"] is None
    assert json.loads(done.stdout)["plots"] == []
    told = {line.rpartition(b",")[0].rpartition(b",")[0] for line in dump.read_bytes().splitlines()}
    assert sum(name in told for name in names.values()) >= 2
    plain = tmp_path / "plain.csv"
    RUN.invoke(APP, [str(orders), "--cutoffs", where[1], "--dump", str(plain), "--no-lead"])
    renamed = {line.split(b",")[0] for line in plain.read_bytes().splitlines()}
    assert told == {names.get(who.decode(), who) for who in renamed}


def test_help_explains_itself():
    done = RUN.invoke(APP, ["--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    for word in (
        "customer_id, timestamp and amount",
        "--horizon",
        "--cutoffs",
        "--plots",
        "--lang",
    ):
        assert word in done.stdout
