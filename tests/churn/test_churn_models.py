"""The register of models and the facts they learn from."""

import asyncio
import math
from datetime import timedelta
from uuid import UUID, uuid4

import numpy as np
import pytest
from sqlalchemy import text

from app import churn
from app.kernel.db import Database
from app.kernel.table import Json
from app.orders import ActivityKind
from ml.facts import BROWSE, MESSAGE_CLICK, NEVER, SESSION
from tests.conftest import TestClock
from tests.make.members import community, member
from tests.make.orders import activity, line, order


def tried(rival: str, brier: tuple[float, float], members: int = 900) -> Json:
    """Evidence beside a model, with this interval of the gain in Brier score."""
    gain = {"brier": brier, "roc_auc": (-0.01, 0.01)}
    return {
        "rival": rival,
        "as_of": "2026-03-01T00:00:00+00:00",
        "windows": [{"members": members}],
        "gain": {name: {"mean": sum(e) / 2, "low": e[0], "high": e[1]} for name, e in gain.items()},
    }


WON = (0.001, 0.004)
LOST = (-0.004, -0.001)
ALIKE = (-0.001, 0.001)


async def roles(database: Database) -> dict[str, str]:
    async with database.read() as read:
        rows = await read.session.execute(text("SELECT version, role FROM model_version"))
        return {row.version: row.role for row in rows}


async def register(
    database: Database, version: str, evidence: Json | None = None, horizon: int | None = None
) -> UUID:
    # The way back goes by when models were put in force, which is never at the same instant.
    assert isinstance(database.clock, TestClock)
    database.clock.advance(seconds=1)
    async with database.begin() as tx:
        row = await churn.register_model(
            tx,
            version=version,
            trained_as_of=tx.now,
            manifest={"format": 1, "ratio": 0.1, "small": 1e-7, "big": 1e22, "none": math.nan}
            | ({} if horizon is None else {"about": {"horizon_days": horizon}}),
            metrics={"roc_auc": 0.77, "brier": 0.17},
            artifact=version.encode(),
            evidence=evidence,
        )
        return row.id


async def test_a_model_only_challenges_until_it_has_won(database: Database) -> None:
    await register(database, "a")
    await register(database, "b")
    assert await roles(database) == {"a": "CHAMPION", "b": "CHALLENGER"}
    for version, evidence in (
        ("lost", tried("a", LOST)),
        ("alike", tried("a", ALIKE)),
        ("elsewhere", tried("other", WON)),
        ("few", tried("a", WON, members=29)),
    ):
        await register(database, version, evidence)
        found = await roles(database)
        assert found["a"] == "CHAMPION", version
        assert found[version] == "CHALLENGER"
    assert found["b"] == "RETIRED"
    await register(database, "c", tried("a", WON))
    await register(database, "c", tried("a", LOST))
    found = await roles(database)
    assert (found["a"], found["few"], found["c"]) == ("RETIRED", "CHALLENGER", "CHAMPION")


async def test_models_registered_at_once_leave_one_champion(database: Database) -> None:
    await asyncio.gather(*(register(database, f"v{n}") for n in range(8)))
    found = await roles(database)
    assert list(found.values()).count("CHAMPION") == 1
    assert list(found.values()).count("CHALLENGER") == 1
    assert len(found) == 8


async def test_newer_evidence_decides_over_a_challenger(database: Database) -> None:
    await register(database, "a")
    b = await register(database, "b")
    for evidence, role in ((tried("a", ALIKE), "CHALLENGER"), (tried("a", WON), "CHAMPION")):
        async with database.begin() as tx:
            await churn.judge(tx, model_id=b, evidence=evidence)
        assert (await roles(database))["b"] == role
    async with database.begin() as tx:
        kept = await churn.judge(tx, model_id=b, evidence=tried("a", LOST))
    assert kept.role is churn.ModelRole.CHAMPION, "a model in force is not judged"


async def promote(database: Database, model_id: UUID) -> None:
    assert isinstance(database.clock, TestClock)
    database.clock.advance(seconds=1)
    async with database.begin() as tx:
        await churn.promote(tx, model_id=model_id)


async def roll_back(database: Database, model_id: UUID) -> str:
    assert isinstance(database.clock, TestClock)
    database.clock.advance(seconds=1)
    async with database.begin() as tx:
        return (await churn.roll_back(tx, model_id=model_id)).version


async def test_promotion_by_hand_needs_evidence_as_well(database: Database) -> None:
    a = await register(database, "a")
    with pytest.raises(churn.AlreadyInForce):
        await promote(database, a)
    with pytest.raises(churn.ModelNotFound):
        await promote(database, uuid4())
    with pytest.raises(churn.NoEvidence, match="beside a"):
        await promote(database, await register(database, "b"))
    with pytest.raises(churn.NoEvidence):
        await promote(database, await register(database, "c", tried("other", WON)))
    with pytest.raises(churn.NotBetter):
        await promote(database, await register(database, "d", tried("a", ALIKE)))


async def test_models_of_other_horizons_are_not_compared(database: Database) -> None:
    await register(database, "a", horizon=45)
    b = await register(database, "b", horizon=30)
    assert await roles(database) == {"a": "CHAMPION", "b": "CHALLENGER"}
    with pytest.raises(churn.HorizonsDiffer, match=r"b predicts 30 days and a, .* 45") as refused:
        await promote(database, b)
    assert "预测30天" in refused.value.message("zh-CN")
    async with database.begin() as tx:
        await churn.promote(tx, model_id=b, change_horizon=True)
    assert (await roles(database))["b"] == "CHAMPION"
    assert await roll_back(database, b) == "a"
    c = await register(database, "c", horizon=45)
    async with database.begin() as tx:
        with pytest.raises(churn.NoEvidence):
            await churn.promote(tx, model_id=c, change_horizon=True)


async def test_the_way_back_goes_one_model_at_a_time(database: Database) -> None:
    a = await register(database, "a")
    with pytest.raises(churn.NoEarlierModel):
        await roll_back(database, a)
    b = await register(database, "b", tried("a", WON))
    c = await register(database, "c", tried("b", WON))
    with pytest.raises(churn.NotInForce):
        await roll_back(database, b)
    assert await roll_back(database, c) == "b"
    assert await roles(database) == {"a": "RETIRED", "b": "CHAMPION", "c": "RETIRED"}
    assert await roll_back(database, b) == "a", "what was taken out does not come back by itself"
    with pytest.raises(churn.NoEarlierModel):
        await roll_back(database, a)
    with pytest.raises(churn.NoEvidence):
        await promote(database, c)  # it won against b, not against a
    await promote(database, b)
    assert (await roles(database))["b"] == "CHAMPION"
    assert await roll_back(database, b) == "a"


async def test_fifty_who_roll_back_at_once_go_back_one_step(database: Database) -> None:
    await register(database, "a")
    await register(database, "b", tried("a", WON))
    c = await register(database, "c", tried("b", WON))
    answers = await asyncio.gather(
        *(roll_back(database, c) for _ in range(50)), return_exceptions=True
    )
    assert answers.count("b") == 1
    assert sum(isinstance(one, churn.NotInForce) for one in answers) == 49
    assert await roles(database) == {"a": "RETIRED", "b": "CHAMPION", "c": "RETIRED"}


async def test_fifty_promotions_at_once_put_one_model_in_force(database: Database) -> None:
    a = await register(database, "a")
    b = await register(database, "b", tried("a", WON))
    await roll_back(database, b)
    answers = await asyncio.gather(
        *(promote(database, b) for _ in range(50)), return_exceptions=True
    )
    assert answers.count(None) == 1
    assert sum(isinstance(one, churn.AlreadyInForce) for one in answers) == 49
    assert await roll_back(database, b) == "a"
    assert (await roles(database))["a"] == "CHAMPION"
    assert a != b


async def test_a_night_that_finds_a_model_damaged_and_staff_who_roll_back_wait_in_turn(
    database: Database,
) -> None:
    a = await register(database, "a")
    b = await register(database, "b", tried("a", WON))
    marked = asyncio.Event()

    async def night() -> None:
        async with database.begin() as tx:
            await churn.mark_unusable(tx, model_id=b, why="broken")
            marked.set()
            await asyncio.sleep(0.2)  # the others have come by now, and wait
            await churn.replace_damaged(tx, damaged_id=b, model_id=a)

    async def others(number: int) -> None:
        await marked.wait()
        async with database.begin() as tx:
            if number % 3 == 0:
                await churn.roll_back(tx, model_id=b)
            elif number % 3 == 1:
                await churn.mark_usable(tx, model_id=b)
            else:
                await churn.mark_unusable(tx, model_id=b, why="still broken")

    answers = await asyncio.gather(night(), *map(others, range(48)), return_exceptions=True)
    # Whoever came after the night finds that the model has gone already; nobody was in a deadlock.
    assert sum(isinstance(one, churn.NotInForce) for one in answers) == 16
    assert answers.count(None) == 33
    assert await roles(database) == {"a": "CHAMPION", "b": "RETIRED"}


DAMAGE = {
    "bytes": "UPDATE model_version SET artifact = 'broken' WHERE version = 'b'",
    "cut": "UPDATE model_version SET artifact = substr(artifact, 2) WHERE version = 'b'",
    "empty": "UPDATE model_version SET artifact = '' WHERE version = 'b'",
    "hash": "UPDATE model_version SET sha256 = repeat('0', 64) WHERE version = 'b'",
    "manifest": "UPDATE model_version SET manifest = jsonb_set(manifest, '{ratio}', '0.2')"
    " WHERE version = 'b'",
    "no manifest": "UPDATE model_version SET manifest = '{}' WHERE version = 'b'",
}


@pytest.mark.parametrize("how", DAMAGE)
async def test_a_damaged_model_is_refused_everywhere(database: Database, how: str) -> None:
    await register(database, "a")
    b = await register(database, "b", tried("a", WON))
    async with database.read() as read:
        assert (await churn.load_champion(read)).artifact == b"b"
    await roll_back(database, b)
    await promote(database, b)
    c = await register(database, "c", tried("b", WON))
    async with database.begin() as tx:
        await tx.session.execute(text(DAMAGE[how]))
    assert await roll_back(database, c) == "a", "a damaged model is passed over"
    with pytest.raises(churn.ModelDamaged):
        await promote(database, b)
    async with database.read() as read:
        with pytest.raises(churn.ModelDamaged):
            await churn.load_model(read, b)


async def test_a_model_that_cannot_be_used_gives_way_without_evidence(database: Database) -> None:
    a = await register(database, "a")
    async with database.begin() as tx:
        assert await churn.mark_unusable(tx, model_id=a, why="damaged")
        assert not await churn.mark_unusable(tx, model_id=a, why="damaged still")
    await register(database, "b")
    assert await roles(database) == {"a": "RETIRED", "b": "CHAMPION"}
    async with database.read() as read:
        assert [row.version for row in await churn.in_turn(read)] == ["b", "a"]


async def test_without_a_model_that_is_said(database: Database) -> None:
    async with database.read() as read:
        with pytest.raises(churn.NoModel):
            await churn.load_champion(read)
        assert await churn.in_turn(read) == []
        assert await churn.last_trained(read) is None


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
