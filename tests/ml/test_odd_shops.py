"""Shops in which nothing, or the same, happens to all: figures that mean nothing are said to be."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from cli.backtest import backtest as verb
from cli.backtest_report import plain
from ml.arrays import DAY
from ml.backtest import backtest
from ml.facts import Facts
from ml.files import Tally
from ml.plots import draw
from tests.ml.small_shop import START, shop

APP = typer.Typer()
APP.command()(verb)


def stopped(at: int) -> Facts:
    """Everybody falls silent on one day; a single newcomer keeps the window closed."""
    facts = shop(members=200, days=430, events=False)
    kept = facts.order_at < at
    return Facts(
        member_ids=np.arange(201),
        order_member=np.append(facts.order_member[kept], [200, 200]),
        order_at=np.append(facts.order_at[kept], [at + 30 * DAY, at + 120 * DAY]),
        order_fen=np.append(facts.order_fen[kept], [100, 100]),
    )


def test_where_all_fall_silent_nothing_is_ranked(tmp_path: Path) -> None:
    cutoff = START + 300 * DAY
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = backtest(stopped(cutoff), cutoffs=[cutoff], draws=40)
        files = draw(report, tmp_path, "zh")
    assert np.isnan(report.mean["product"]["roc_auc"])
    assert np.isnan(report.gain.mean)
    assert report.mean["product"]["pr_auc"] == pytest.approx(1)
    assert 0 < report.mean["product"]["brier"] < 1
    told = json.dumps(plain(report, Tally(), files), allow_nan=False)
    assert json.loads(told)["mean"]["product"]["roc_auc"] is None
    assert len(files) >= 3


def test_tables_say_none_where_nothing_is_known(tmp_path: Path) -> None:
    file, cutoff = tmp_path / "orders.csv", START + 300 * DAY
    facts = stopped(cutoff)
    stamps = np.datetime_as_string(facts.order_at.astype("datetime64[s]"))
    rows = zip(facts.order_member.tolist(), stamps.tolist(), strict=True)
    file.write_text("customer_id,timestamp,amount\n" + "".join(f"{m},{t},1\n" for m, t in rows))
    day = str(np.datetime64(cutoff, "s").astype("datetime64[D]"))
    done = CliRunner().invoke(
        APP, [str(file), "--cutoffs", day, "--no-lead"], env={"COLUMNS": "100"}
    )
    assert done.exit_code == 0, done.output
    assert "none" in done.stdout
    assert "nan" not in done.stdout
    assert "no ranking can be judged" in done.stdout


def test_horizons_and_activity_of_any_length() -> None:
    facts = shop(members=300, days=430, events=False)
    end = START + 430 * DAY
    for horizon, active in ((1, 30), (30, 60), (90, 400)):
        cutoff = end - max(horizon, 30) * DAY
        report = backtest(
            facts,
            horizon_days=horizon,
            active_days=active,
            cutoffs=[cutoff - 5 * DAY],
            draws=20,
            weekly=False,
        )
        assert len(report.tests[0].members) > 30
        assert 0 < report.mean["product"]["brier"] < 0.3
