"""Training and scoring from the database on two worker processes."""

from datetime import timedelta

import pytest

from app import churn
from app.kernel.db import Database
from tests.conftest import TestClock
from tests.make.shops import shop
from workers.churn import score_members
from workers.training import train_model

distributed = pytest.importorskip("distributed", reason="the extra `dask` is not installed")
pytestmark = pytest.mark.filterwarnings("ignore:.*:ResourceWarning", "ignore:.*:UserWarning")
ZONE = "Asia/Shanghai"


async def test_a_cluster_trains_and_scores_what_one_machine_does(
    database: Database, clock: TestClock
) -> None:
    await shop(database)
    here = await train_model(database, as_of=clock.now, zone=ZONE)
    scored = await score_members(database, as_of=clock.now, zone=ZONE)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as workers:
        address = workers.scheduler_address
        there = await train_model(database, as_of=clock.now, zone=ZONE, cluster=address)
        again = await score_members(database, as_of=clock.now, zone=ZONE, cluster=address)
        later = clock.now + timedelta(days=1)
        fresh = await score_members(database, as_of=later, zone=ZONE, cluster=address)
    assert there == here, "the same bytes are the same version"
    assert again.stored == churn.Stored(ignored=scored.stored.stored)
    assert fresh.stored.stored > 200
