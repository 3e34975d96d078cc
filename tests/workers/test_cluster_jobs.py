"""Training and scoring on two worker processes that read the database themselves."""

import pickle
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from app import churn
from app.kernel.db import Database
from ml.errors import NoCluster
from tests.conftest import TestClock
from tests.make.shops import shop
from tests.ml import local_cluster
from workers.churn import score_members
from workers.cluster import Reader
from workers.training import train_model

distributed = pytest.importorskip("distributed", reason="the extra `dask` is not installed")
pytestmark = pytest.mark.filterwarnings("ignore:.*:ResourceWarning", "ignore:.*:UserWarning")
ZONE = "Asia/Shanghai"


@pytest.fixture
def address(schema_ready: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A scheduler whose two workers have the database in their environment."""
    monkeypatch.setenv("LINLI_DATABASE_URL", schema_ready)
    with local_cluster.started(tmp_path) as found:
        yield found


async def test_a_cluster_trains_and_scores_what_one_machine_does(
    database: Database, clock: TestClock, address: str
) -> None:
    await shop(database)
    here = await train_model(database, as_of=clock.now, zone=ZONE, threads=1)
    scored = await score_members(database, as_of=clock.now, zone=ZONE)
    with _Watcher(address) as watcher:
        there = await train_model(database, as_of=clock.now, zone=ZONE, cluster=address, threads=1)
        again = await score_members(database, as_of=clock.now, zone=ZONE, cluster=address)
        later = clock.now + timedelta(days=1)
        fresh = await score_members(database, as_of=later, zone=ZONE, cluster=address)
    assert (there.choice, there.orders, there.members) == (here.choice, here.orders, here.members)
    assert there.metrics == pytest.approx(here.metrics, abs=1e-9)
    assert again.stored == churn.Stored(ignored=scored.stored.stored)
    assert fresh.stored.stored > 200
    async with database.read() as read:
        nights = await churn.nights(read, first=2)
    assert [bool(night.feature_psi) for night in nights] == [True, True]
    assert "MemberRange" in watcher.seen, "what workers are told to read is there to be searched"
    assert "Artifact" in watcher.seen
    assert database.url not in watcher.seen


class _Watcher:
    """Looks again and again at what a scheduler knows, and with it its dashboard."""

    def __init__(self, address: str) -> None:
        self.seen = ""
        self._address, self._ended = address, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "_Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(60)

    def _look(self) -> None:
        with distributed.Client(self._address, set_as_default=False) as client:
            while not self._ended.wait(0.1):
                self.seen += client.run_on_scheduler(_all_that_is_seen)


def _all_that_is_seen(dask_scheduler: Any) -> str:
    """Tasks with what they are given, workers, and all logs."""
    tasks = [
        f"{key} {task.run_spec!r} {pickle.dumps(task.run_spec).decode('latin-1')}"
        for key, task in dask_scheduler.tasks.items()
    ]
    logs = [*map(str, dask_scheduler.get_logs()), str(dask_scheduler.get_events())]
    workers = [str(one.identity()) for one in dask_scheduler.workers.values()]
    return "\n".join([*tasks, *logs, *workers])


def test_a_worker_without_the_database_says_so_and_shows_no_password(
    clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, members = Reader(clock.now, ZONE), churn.MemberRange(UUID(int=0), None, 1)
    monkeypatch.delenv("LINLI_DATABASE_URL", raising=False)
    with pytest.raises(NoCluster, match="has no LINLI_DATABASE_URL"):
        read(members)
    monkeypatch.setenv("LINLI_DATABASE_URL", "postgresql://linli:geheim@127.0.0.1:9/linli")
    with pytest.raises(NoCluster, match="cannot read the database") as refused:
        read(members)
    monkeypatch.setenv("LINLI_DATABASE_URL", "mysql://linli:geheim@127.0.0.1:9/linli")
    with pytest.raises(NoCluster, match="environment of the worker") as wrong:
        read(members)
    assert "geheim" not in f"{refused.value} {wrong.value} {read!r}"


async def test_ranges_hold_every_member_once(database: Database, clock: TestClock) -> None:
    async with database.read() as read:
        assert await churn.member_ranges(read, least=8, most=50) == []
    await shop(database)
    whole = await churn.read_facts(database, as_of=clock.now, zone=ZONE)
    for least, most in ((1, 1_000), (7, 50_000), (2, 41)):
        async with database.read() as read:
            ranges = await churn.member_ranges(read, least=least, most=most)
        parts = [
            await churn.read_facts(database, as_of=clock.now, zone=ZONE, within=one)
            for one in ranges
        ]
        assert max(one.members for one in ranges) <= most
        ids = [bytes(key) for part in parts for key in part.member_ids.tolist()]
        assert ids == [bytes(key) for key in whole.member_ids.tolist()]
        for name in ("order_at", "order_fen", "event_at"):
            columns = np.concatenate([getattr(part, name) for part in parts])
            assert columns.tolist() == getattr(whole, name).tolist()
    moved = churn.MemberRange(ranges[0].first, ranges[0].end, ranges[0].members + 1)
    with pytest.raises(churn.MembersMoved):
        await churn.read_facts(database, as_of=clock.now, zone=ZONE, within=moved)
