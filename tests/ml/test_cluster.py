"""Two worker processes answer as one machine does, also when one of them is killed."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import pytest

from ml import booster, cluster, evaluation, features
from ml.arrays import DAY
from ml.artifact import Artifact
from ml.cutting import cut
from ml.errors import NoCluster
from ml.facts import Facts
from ml.samples import Past, Plan
from ml.scoring import score
from tests.ml.conftest import AS_OF
from tests.ml.small_shop import shop

distributed = pytest.importorskip("distributed", reason="the extra `dask` is not installed")
pytestmark = pytest.mark.filterwarnings("ignore:.*:ResourceWarning", "ignore:.*:UserWarning")


@pytest.fixture(scope="module")
def workers() -> Iterator[str]:
    """The address of a scheduler with two worker processes."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as found:
        yield found.scheduler_address


@pytest.mark.parametrize("seed", [1, 2])
def test_members_who_are_cut_out_keep_their_facts(seed: int) -> None:
    whole = shop(members=60, seed=seed).in_order()
    members = np.flatnonzero(np.random.default_rng(seed).uniform(size=60) < 0.4)
    part = cut(whole, members)
    for place, code in enumerate(members):
        for kind in ("order", "event"):
            rows = getattr(whole, f"{kind}_member") == code
            own = getattr(part, f"{kind}_member") == place
            for column in fields(Facts):
                if column.name.startswith(kind) and column.name != f"{kind}_member":
                    kept = getattr(part, column.name)[own]
                    assert kept.tolist() == getattr(whole, column.name)[rows].tolist()
    ours = features.build(part, AS_OF, purchases=features.fit_expectations(whole, AS_OF))
    theirs = features.build(
        whole,
        AS_OF,
        members[ours.members].astype(np.int32),
        purchases=features.fit_expectations(whole, AS_OF),
    )
    np.testing.assert_array_equal(ours.values, theirs.values)


def test_lines_go_with_their_orders() -> None:
    whole = Facts(
        member_ids=[0, 1, 2],
        order_member=np.array([0, 1, 1, 2]),
        order_at=np.array([1, 2, 3, 4]),
        order_fen=np.array([10, 20, 30, 40]),
        line_order=np.array([0, 1, 2, 2, 3]),
        line_product=np.array([5, 6, 7, 8, 9]),
        line_category=np.array([0, 0, 1, 1, 2]),
    )
    part = cut(whole, np.array([1, 2]))
    assert part.line_order.tolist() == [0, 1, 1, 2]
    assert part.line_product.tolist() == [6, 7, 8, 9]
    assert part.order_fen.tolist() == [20, 30, 40]


def test_two_workers_train_the_same_bytes(workers: str, facts: Facts, artifact: Artifact) -> None:
    told: list[tuple[int, int]] = []
    there = cluster.train(
        workers, facts, as_of=AS_OF, progress=lambda done, total: told.append((done, total))
    )
    assert there.to_bytes() == artifact.to_bytes()
    assert told[-1][0] == told[-1][1]


def test_two_workers_score_the_same(workers: str, facts: Facts, artifact: Artifact) -> None:
    here = score(artifact, facts, as_of=AS_OF, reasons_above=0.8)
    there = cluster.score(workers, artifact, facts, as_of=AS_OF, reasons_above=0.8)
    assert there.members.tolist() == here.members.tolist()
    np.testing.assert_allclose(there.probability, here.probability, atol=1e-12)
    assert there.reasons == here.reasons


def test_trees_grown_by_two_workers_rank_as_those_of_one(workers: str) -> None:
    past = Past(shop(members=700, seed=4), Plan())
    cutoff = AS_OF - 45 * DAY
    rows, test = past.rows(past.cutoffs(cutoff)), past.at(cutoff)
    with cluster.connected(workers) as client:
        there = cluster.boost(client, rows.values, rows.outcome)
    here = booster.fit(rows.values, rows.outcome)
    values = test.matrix.only(rows.names)
    ours, theirs = here.log_odds(values), there.log_odds(values)
    assert np.corrcoef(ours, theirs)[0, 1] > 0.995
    gap = evaluation.roc_auc(test.outcome, ours) - evaluation.roc_auc(test.outcome, theirs)
    assert abs(gap) < 0.005


def _count(part: Facts, cutoff: int) -> tuple[int, int]:
    """How many orders came before a cutoff, after half a second of thought, and by whom."""
    time.sleep(0.5)
    return int((part.order_at < cutoff).sum()), os.getpid()


def test_the_part_of_a_killed_worker_is_sent_again(workers: str, facts: Facts) -> None:
    with cluster.connected(workers) as client:
        parts = cluster.Parts(client, facts, parts=6)
        before = parts.each(_count, AS_OF)
        victim = before[0][1]
        threading.Timer(0.7, os.kill, (victim, signal.SIGKILL)).start()
        after = parts.each(_count, AS_OF)
        assert [number for number, _ in after] == [number for number, _ in before]
        again = parts.each(_count, AS_OF)
        assert victim not in {pid for _, pid in again}
    assert sum(number for number, _ in before) == (facts.order_at < AS_OF).sum()


def test_without_a_cluster_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(NoCluster, match="No Dask scheduler answers"),
        cluster.connected("tcp://127.0.0.1:9", seconds=1),
    ):
        pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(NoCluster, match=r"linli\[dask\]"), cluster.connected("tcp://127.0.0.1:9"):
        pass
