"""Two worker processes answer as one machine does, also when one of them is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml import aft, cluster, drift, evaluation, features
from ml.arrays import DAY
from ml.artifact import Artifact
from ml.booster import PARAMETERS
from ml.cluster import ClusterPast, Part, Parts, SpreadRows, connecting, fitting
from ml.cutting import cut
from ml.errors import NoCluster
from ml.facts import Facts
from ml.samples import Past, Plan
from ml.scoring import score
from tests.ml import local_cluster
from tests.ml.conftest import AS_OF
from tests.ml.parted_shop import Broken, Reader
from tests.ml.small_shop import shop

distributed = pytest.importorskip("distributed", reason="the extra `dask` is not installed")
pytestmark = pytest.mark.filterwarnings("ignore:.*:ResourceWarning", "ignore:.*:UserWarning")


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with two worker processes."""
    with local_cluster.started(tmp_path_factory.mktemp("cluster")) as address:
        yield address


@pytest.fixture(scope="module")
def parts(workers: str) -> Iterator[Parts]:
    """The shop of `facts`, as the workers have read it."""
    reader = Reader()
    with cluster.opened(workers, reader, reader.bounds(), as_of=AS_OF) as found:
        yield found


@pytest.fixture(scope="module")
def past(facts: Facts) -> Past:
    """The past of one machine."""
    return Past(facts.before(AS_OF), Plan())


@pytest.fixture(scope="module")
def spread(parts: Parts) -> ClusterPast:
    """The same past on the workers, all of whom fit together."""
    return ClusterPast(parts, Plan(), spread_from=0)


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


def test_parts_are_the_whole(past: Past, spread: ClusterPast) -> None:
    assert spread.first == past.first
    assert spread.extent(AS_OF) == past.extent(AS_OF)
    assert spread.cutoffs(AS_OF) == past.cutoffs(AS_OF)
    for cutoff in past.cutoffs(AS_OF)[:3]:
        assert spread.members(cutoff).tolist() == past.members(cutoff).tolist()
        assert spread.rate(cutoff) == past.rate(cutoff)
        assert spread.expectations(cutoff) == past.expectations(cutoff)
        assert spread.surprise(cutoff, 15) == past.surprise(cutoff, 15)
        ours, theirs = past.at(cutoff), spread.at(cutoff)
        np.testing.assert_array_equal(ours.matrix.values, theirs.matrix.values)
        np.testing.assert_array_equal(ours.outcome, theirs.outcome)


def test_few_rows_are_fitted_to_as_on_one_machine(past: Past, parts: Parts) -> None:
    there, cutoffs = ClusterPast(parts, Plan()), past.cutoffs(AS_OF)
    ours, theirs = past.rows(cutoffs), there.rows(cutoffs)
    assert theirs.names == ours.names
    assert theirs.values.size == 0, "they stay on the workers"
    np.testing.assert_array_equal(theirs.outcome, ours.outcome)
    np.testing.assert_array_equal(theirs.shape, ours.shape)
    assert there.boost(theirs).to_bytes() == past.boost(ours).to_bytes()
    waits = aft.fit(past, ours, as_of=AS_OF).trees.to_bytes()
    assert aft.fit(there, theirs, as_of=AS_OF).trees.to_bytes() == waits
    np.testing.assert_allclose(there.regress(theirs).weight, past.regress(ours).weight, atol=1e-9)


def test_two_workers_fit_what_one_machine_does(past: Past, spread: ClusterPast) -> None:
    cutoffs, test = past.cutoffs(AS_OF), past.at(AS_OF - 45 * DAY)
    ours, theirs = past.rows(cutoffs), spread.rows(cutoffs)
    values = test.matrix.only(ours.names)
    here, there = past.regress(ours), spread.regress(theirs)
    np.testing.assert_allclose(there.log_odds(values), here.log_odds(values), atol=1e-7)
    odds = past.boost(ours).log_odds(values), spread.boost(theirs).log_odds(values)
    assert np.corrcoef(*odds)[0, 1] > 0.995
    one, two = (evaluation.roc_auc(test.outcome, each) for each in odds)
    assert abs(one - two) < 0.005
    waits = [
        aft.fit(one, rows, as_of=AS_OF).days(values)
        for one, rows in ((past, ours), (spread, theirs))
    ]
    assert np.corrcoef(*np.log(waits))[0, 1] > 0.995
    assert np.median(waits[1] / waits[0]) == pytest.approx(1, abs=0.05)


def test_two_workers_score_the_same(parts: Parts, facts: Facts, artifact: Artifact) -> None:
    here = score(artifact, facts, as_of=AS_OF, reasons_above=0.8)
    there = list(cluster.score(parts, artifact, reasons_above=0.8))
    assert {part.of for part in there} == {len(here.members)}
    np.testing.assert_allclose(
        np.concatenate([part.probability for part in there]), here.probability, atol=1e-12
    )
    np.testing.assert_allclose(
        np.concatenate([part.next_order_days for part in there]), here.next_order_days, rtol=1e-6
    )
    told = [reasons for part in there for reasons in part.reasons]
    assert [[one.en for one in row] for row in told] == [
        [one.en for one in row] for row in here.reasons
    ]
    assert [bool(row) for row in told] == [bool(row) for row in here.reasons]


def test_the_drift_of_a_night_is_that_of_one_machine(
    parts: Parts, facts: Facts, artifact: Artifact
) -> None:
    seen = drift.sample(artifact, facts, as_of=AS_OF)
    said = score(artifact, facts, as_of=AS_OF, members=seen.members, reasons_for=0).probability
    then = drift.reference(seen, said)
    found = cluster.reference(parts, artifact)
    assert found["features"] == then["features"]
    assert found["score"]["counts"] == then["score"]["counts"]
    assert cluster.features_drift(parts, artifact, then, said) == drift.compare(then, seen, said)


class _Killer:
    """Kills a worker so many seconds after trees began to grow on it."""

    def __init__(self, parts: Parts, after: float) -> None:
        self.parts, self.after, self.victim = parts, after, 0
        self._thread = threading.Thread(target=self._wait)

    def __enter__(self) -> "_Killer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(150)

    def _wait(self) -> None:
        pids: Any = self.parts.client.run(os.getpid)
        until = time.monotonic() + 120
        while not (growing := self._growing()) and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(self.after)
        if growing & self._growing():
            self.victim = pids[min(growing)]
            os.kill(self.victim, signal.SIGKILL)

    def _growing(self) -> set[str]:
        found: Any = self.parts.client.processing()
        return {
            one for one, keys in found.items() if any(str(key).startswith("fn-") for key in keys)
        }


def test_a_worker_that_dies_under_its_trees_costs_a_new_start(workers: str) -> None:
    """Once they grow: as long as workers greet each other, xgboost's tracker, which lives with the
    scheduler, may take the scheduler along; what happens then is the next test's."""
    reader = Reader(seed=2)
    whole = Past(shop(members=reader.members, seed=2).before(AS_OF), Plan())
    cutoffs = whole.cutoffs(AS_OF)[:3]
    with cluster.opened(workers, reader, reader.bounds(), as_of=AS_OF) as parts:
        rows = ClusterPast(parts, Plan(), spread_from=0).rows(cutoffs)
        assert isinstance(rows, SpreadRows)
        outcome = [rows.outcome[place] for place in rows.places]
        laid = fitting.Laid(rows.held, {"label": outcome}, len(rows.names))
        for rounds in (1_000, 4_000, 16_000):  # longer, should the killer have come too late
            began = time.monotonic()
            with _Killer(parts, 0.6) as killer:
                found = fitting.grown(parts, laid, fitting.Growth(PARAMETERS, rounds))
            if killer.victim:
                break
        assert killer.victim, "trees grew for too short a time to kill one who grew them"
        left: Any = parts.client.run(os.getpid)
        assert killer.victim not in left.values()
        assert time.monotonic() - began < 150
    assert found.model.num_boosted_rounds() == rounds
    ours = whole.rows(cutoffs)
    assert evaluation.roc_auc(ours.outcome, found.log_odds(ours.values)) > 0.9


def test_a_scheduler_that_dies_is_said_and_nothing_hangs(tmp_path: Path) -> None:
    where = tmp_path / "scheduler.json"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    common = ("--no-dashboard", "--scheduler-file", str(where))
    own = ("--no-nanny", "--nthreads", "1", "--local-directory", str(tmp_path))
    scheduler, worker = (
        subprocess.Popen([sys.executable, "-m", f"distributed.cli.{what}", *words], **quiet)
        for what, words in (
            ("dask_scheduler", (*common, "--port", "0")),
            ("dask_worker", (*common, *own)),
        )
    )
    try:
        address = local_cluster.address_in(where)
        began = time.monotonic()
        with pytest.raises(NoCluster, match="scheduler"):
            _work_on(address, until=threading.Timer(1.0, scheduler.kill))
        assert time.monotonic() - began < 150
    finally:
        for process in (worker, scheduler):
            process.kill()
            process.wait(10)


def _work_on(address: str, *, until: threading.Timer) -> None:
    reader = Reader(seed=2)
    with cluster.opened(address, reader, reader.bounds(2), as_of=AS_OF) as parts:
        until.start()
        for _ in range(200):
            parts.each(_count)


def _count(part: Part) -> tuple[int, int]:
    """How many orders there are, after half a second of thought, and by whom."""
    time.sleep(0.5)
    return len(part.facts.order_at), os.getpid()


def test_the_part_of_a_killed_worker_is_read_again(workers: str, facts: Facts) -> None:
    reader = Reader()
    with cluster.opened(workers, reader, reader.bounds(), as_of=AS_OF) as parts:
        before = parts.each(_count)
        victim = before[0][1]
        killer = threading.Timer(0.7, os.kill, (victim, signal.SIGKILL))
        killer.start()
        after = parts.each(_count)
        killer.join()
        assert [number for number, _ in after] == [number for number, _ in before]
        assert victim not in {pid for _, pid in parts.each(_count)}
    assert sum(number for number, _ in before) == (facts.order_at < AS_OF).sum()


def test_what_a_killed_run_had_locked_is_free_for_the_next(workers: str) -> None:
    """xgboost locks its workers, and the scheduler keeps what a client that died had locked."""
    lock = (
        "import os, sys\n"
        "from distributed import Client, MultiLock\n"
        "client = Client(sys.argv[1])\n"
        "MultiLock(sorted(client.nthreads()), client=client).acquire()\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", lock, workers], check=True, timeout=180)
    with cluster.connected(workers) as client:
        lock = distributed.MultiLock(connecting.workers(client), client=client)
        assert lock.acquire(timeout=60)
        lock.release()


def test_a_worker_that_cannot_read_says_so_without_its_secrets(workers: str) -> None:
    with (
        pytest.raises(NoCluster, match="could not read members: ValueError") as refused,
        cluster.opened(workers, Broken(), [(0, 1)], as_of=AS_OF),
    ):
        pass
    assert "geheim" not in str(refused.value)


def test_a_part_shows_no_member(facts: Facts) -> None:
    assert repr(Part(3, facts, AS_OF)) == "part 3 of members"


@pytest.mark.filterwarnings("ignore::distributed.versions.VersionMismatchWarning")
def test_a_worker_with_another_numpy_is_refused(workers: str, tmp_path: Path) -> None:
    about = tmp_path / "numpy-0.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.1\n")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{os.getcwd()}"}
    stray = subprocess.Popen(
        [
            *(sys.executable, "-m", "distributed.cli.dask_worker", workers, "--no-nanny"),
            *("--no-dashboard", "--nthreads", "1", "--local-directory", str(tmp_path)),
        ],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with distributed.Client(workers, set_as_default=False) as client:
            client.wait_for_workers(3, timeout=180)
        with (
            pytest.raises(NoCluster, match=r"numpy 0\.1 \(here \d"),
            cluster.connected(workers),
        ):
            pass
    finally:
        stray.kill()
        stray.wait(10)


def test_nothing_is_said_behind_the_refusal() -> None:
    """Dask's client would wait at the end of the process for a loop that is gone, and complain."""
    program = """if True:
        from ml.cluster import connected
        from ml.errors import NoCluster
        try:
            with connected("tcp://127.0.0.1:1", seconds=0.3):
                pass
        except NoCluster:
            print("no cluster")
    """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("no cluster\n", "")


def test_without_a_cluster_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    with (
        pytest.raises(NoCluster, match="No Dask scheduler answers"),
        cluster.connected("tcp://127.0.0.1:9", seconds=1),
    ):
        pass
    assert time.monotonic() - began < 30
    for address in ("nonsense", "http://127.0.0.1:9", "tcp://127.0.0.1:port"):
        with pytest.raises(NoCluster), cluster.connected(address, seconds=1):
            pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(NoCluster, match=r"linli\[dask\]"), cluster.connected("tcp://127.0.0.1:9"):
        pass
