"""The register of models and the facts they learn from."""

import asyncio
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import text

from app import churn
from app.kernel.db import Database
from app.orders import ActivityKind
from ml.facts import BROWSE, MESSAGE_CLICK, NEVER, SESSION
from tests.conftest import TestClock
from tests.make.churn import model
from tests.make.members import community, member
from tests.make.orders import activity, line, order


async def roles(database: Database) -> dict[str, str]:
    async with database.read() as read:
        rows = await read.session.execute(text("SELECT version, role FROM model_version"))
        return {row.version: row.role for row in rows}


async def register(database: Database, version: str, auc: float) -> None:
    async with database.begin() as tx:
        await churn.register_model(
            tx,
            version=version,
            trained_as_of=tx.now,
            manifest={},
            metrics={"roc_auc": auc, "brier": 0.17},
            artifact=version.encode(),
        )


async def test_a_worse_model_only_challenges(database: Database) -> None:
    await register(database, "a", 0.77)
    await register(database, "b", 0.70)
    assert await roles(database) == {"a": "CHAMPION", "b": "CHALLENGER"}
    await register(database, "c", 0.765)
    await register(database, "c", 0.1)
    assert await roles(database) == {"a": "RETIRED", "b": "CHALLENGER", "c": "CHAMPION"}


async def test_models_registered_at_once_leave_one_champion(database: Database) -> None:
    await asyncio.gather(*(register(database, f"v{n}", 0.7 + n / 1000) for n in range(8)))
    found = await roles(database)
    assert list(found.values()).count("CHAMPION") == 1
    assert len(found) == 8


async def test_a_damaged_model_is_refused(database: Database) -> None:
    async with database.read() as read:
        with pytest.raises(churn.NoModel):
            await churn.load_champion(read)
    async with database.begin() as tx:
        await model(tx, artifact=b"whole")
    async with database.read() as read:
        assert (await churn.load_champion(read)).artifact == b"whole"
    async with database.begin() as tx:
        await tx.session.execute(text("UPDATE model_version SET artifact = 'broken'"))
    async with database.read() as read:
        with pytest.raises(churn.ModelDamaged):
            await churn.load_champion(read)


async def test_facts_come_as_columns(database: Database, clock: TestClock) -> None:
    then = clock.now - timedelta(days=2)
    async with database.begin() as tx:
        home = (await community(tx)).id
        first = (await member(tx, community_id=home)).id
        tester = (await member(tx, community_id=home, is_test=True)).id
        second = (await member(tx, community_id=home)).id
        bought = await order(tx, member_id=second, at=then, total_fen=700, quantity=2)
        await line(tx, order=bought, sku="SKU-2", line_no=2, quantity=3, paid_fen=0)
        await order(tx, member_id=first, at=then, total_fen=500, refunded_fen=100)
        await order(tx, member_id=first, at=then, cancelled=True)
        await order(tx, member_id=first, at=then, paid=False)
        await order(tx, member_id=tester, at=then)
        await order(tx, member_id=first, at=clock.now)
        await activity(tx, member_id=second, kind=ActivityKind.MESSAGE_CLICK, at=then, seconds=7)
        await activity(tx, member_id=tester, at=then)
    facts = await churn.read_facts(database, as_of=clock.now, zone="Asia/Shanghai")
    assert facts.ids(np.arange(2)) == sorted([first, second])
    place = {key: number for number, key in enumerate(sorted([first, second]))}
    by_member = np.argsort(facts.order_member)
    expected = sorted([(place[first], 500, 1, 1, 100), (place[second], 700, 5, 2, 0)])
    columns = (
        facts.order_member, facts.order_fen, facts.order_items, facts.order_products,
        facts.order_refund_fen,
    )  # fmt: skip
    assert list(zip(*(c[by_member].tolist() for c in columns), strict=True)) == expected
    assert facts.order_at.tolist() == [int(then.timestamp())] * 2
    refund_at = dict(zip(facts.order_member.tolist(), facts.order_refund_at.tolist(), strict=True))
    assert refund_at == {place[first]: int(then.timestamp()), place[second]: NEVER}
    assert facts.event_member.tolist() == [place[second]]
    assert facts.event_kind.tolist() == [MESSAGE_CLICK]
    assert facts.event_seconds.tolist() == [7]
    assert facts.utc_offset == 8 * 3600


async def test_facts_of_an_empty_database_are_empty(database: Database, clock: TestClock) -> None:
    facts = await churn.read_facts(database, as_of=clock.now, zone="UTC")
    assert len(facts.member_ids) == len(facts.order_at) == len(facts.event_at) == 0


def test_the_kinds_of_activity_are_numbered_as_the_models_know_them() -> None:
    codes = churn.KIND_CODES
    assert codes[ActivityKind.SESSION] == SESSION
    assert codes[ActivityKind.BROWSE] == BROWSE
    assert codes[ActivityKind.MESSAGE_CLICK] == MESSAGE_CLICK
    assert len(codes) == 10
