import hashlib
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from ml import evaluation, ladder
from ml.arrays import DAY
from ml.artifact import Artifact
from ml.errors import TooLittleHistory
from ml.facts import NEVER, Facts
from ml.labels import churned
from ml.samples import Past, Plan
from ml.scoring import score
from ml.training import train
from tests.ml.conftest import AS_OF
from tests.ml.small_shop import START, joined, shop


def test_the_same_facts_and_seed_give_the_same_bytes(facts: Facts, artifact: Artifact):
    assert train(facts, as_of=AS_OF).to_bytes() == artifact.to_bytes()


def test_threads_change_no_byte_of_a_model(facts: Facts, artifact: Artifact):
    assert train(facts, as_of=AS_OF, threads=2).to_bytes() == artifact.to_bytes()


def test_the_order_of_rows_changes_no_byte(facts: Facts, artifact: Artifact):
    mixed = np.random.default_rng(3).permutation(len(facts.order_at))
    rows = {
        one.name: getattr(facts, one.name)[mixed]
        for one in fields(facts)
        if one.name.startswith("order_")
    }
    assert train(replace(facts, **rows), as_of=AS_OF).to_bytes() == artifact.to_bytes()


PROGRAM = """
import hashlib, sys
from ml.training import train
from tests.ml.conftest import AS_OF
from tests.ml.small_shop import shop
print(hashlib.sha256(train(shop(), as_of=AS_OF, threads=int(sys.argv[1])).to_bytes()).hexdigest())
"""


@pytest.mark.parametrize("threads", ["1", "2"])
def test_another_process_with_other_hashes_trains_the_same_bytes(artifact: Artifact, threads: str):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, threads],
        env=os.environ | {"PYTHONHASHSEED": f"7{threads}", "OMP_NUM_THREADS": threads},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == hashlib.sha256(artifact.to_bytes()).hexdigest()


def test_another_seed_gives_another_model(facts: Facts, artifact: Artifact):
    assert train(facts, as_of=AS_OF, seed=1).to_bytes() != artifact.to_bytes()


def test_rows_after_the_day_of_training_change_no_byte(facts: Facts, artifact: Artifact):
    later = shop(members=420, seed=8)
    moved = replace(
        later,
        order_at=later.order_at % (40 * DAY) + AS_OF,
        order_refund_at=np.full(len(later.order_at), NEVER),
        event_at=later.event_at % (40 * DAY) + AS_OF,
    )
    assert train(joined(facts, moved), as_of=AS_OF).to_bytes() == artifact.to_bytes()


def test_every_cutoff_had_closed(artifact: Artifact):
    about = artifact.about
    assert len(about.cutoffs) == 10
    assert max(about.cutoffs) + about.horizon_days * DAY <= AS_OF
    assert all(int(origin) + about.horizon_days * DAY <= AS_OF for origin in about.metrics)
    assert about.metrics


def test_a_few_hundred_members_are_ranked_far_better_than_by_chance():
    facts = shop(members=400, days=500)
    as_of = START + 450 * DAY
    scores = score(train(facts, as_of=as_of), facts, as_of=as_of)
    outcome = churned(facts, as_of, 45, scores.members)
    assert evaluation.roc_auc(outcome, scores.probability) > 0.7
    assert abs(scores.probability.mean() - outcome.mean()) < 0.15


def test_shuffled_labels_teach_nothing():
    past = Past(shop(members=1500, days=420, seed=4), Plan())
    cutoffs = past.cutoffs(AS_OF - 45 * DAY)
    rows, test = past.rows(cutoffs), past.at(AS_OF - 45 * DAY)
    random = np.random.default_rng(0)
    learned = ladder.fit(rows).log_odds(test.matrix)
    shuffled = replace(rows, outcome=random.permutation(rows.outcome))
    fooled = ladder.fit(shuffled).log_odds(test.matrix)
    assert evaluation.roc_auc(test.outcome, learned["xgboost"]) > 0.7
    for rung in ("xgboost", "logistic"):
        blind = evaluation.roc_auc(random.permutation(test.outcome), learned[rung])
        assert blind == pytest.approx(0.5, abs=0.08)
    # A model of noise may lean on a true ranking by luck, either way, but its odds stay flat.
    assert np.std(fooled["xgboost"]) < 0.25 * np.std(learned["xgboost"])


@pytest.mark.parametrize("days", [0, 20, 60])
def test_too_little_history_is_said(days: int):
    facts = shop(days=400)
    with pytest.raises(TooLittleHistory, match="45 days"):
        train(facts, as_of=START + days * DAY)


def test_a_young_shop_is_learned_from_few_cutoffs():
    facts = shop(members=600, days=150)
    model = train(facts, as_of=START + 120 * DAY)
    assert 1 <= len(model.about.cutoffs) < 10
    assert all(cutoff - START >= 30 * DAY for cutoff in model.about.cutoffs)
    assert not any(name.endswith("_365") for name in model.models.names)


def test_no_orders_at_all_is_too_little_history():
    with pytest.raises(TooLittleHistory):
        train(Facts(member_ids=[]), as_of=AS_OF)


def test_columns_constant_within_a_cutoff_are_left_out(artifact: Artifact):
    names = artifact.models.names
    assert "products_mean" not in names  # the shop never says how many products
    assert "clicks_28" not in names
    assert {"recency", "bgnbd_silent", "browses_28"} <= set(names)


def test_progress_runs_to_its_end(facts: Facts):
    told: list[tuple[int, int]] = []
    train(facts, as_of=AS_OF, progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
    assert [done for done, _ in told] == sorted(done for done, _ in told)
