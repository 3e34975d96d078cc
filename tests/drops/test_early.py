"""Early access: carved out of the stock, for higher tiers first, exact at every instant."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from app import drops, tiers
from app.drops import Claims, DropState, Window
from app.kernel.db import Database, Tx
from app.kernel.errors import InvalidInput
from tests.conftest import TestClock
from tests.drops.claimants import all_of, drop_now, facts, gathered, given_in, members, plain
from tests.make import drops as make
from tests.make.members import community, member
from tests.make.tiers import standing

MINUTE = timedelta(minutes=1)


async def people(database: Database, *codes: str) -> list[UUID]:
    """A member of each of these tiers."""
    ids = await members(database, len(codes))
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)
        for one, code in zip(ids, codes, strict=True):
            if code != "NORMAL":  # those without a standing are in the lowest
                await standing(tx, member_id=one, tier_code=code)
    return ids


async def early_drop(tx: Tx, stock: int = 10, diamond: int = 2, gold: int = 2) -> drops.Drop:
    """Diamond may claim from now on, Gold in a minute, everyone in two."""
    windows = [Window(3, tx.now, diamond), Window(2, tx.now + MINUTE, gold)]
    return await make.drop(tx, stock=stock, opens_in=2 * MINUTE, early=windows)


async def why(claims: Claims, drop_id: UUID, member_id: UUID) -> object:
    """The instant that a refused member is told, or what else came."""
    try:
        made = await claims.claim(drop_id=drop_id, member_id=member_id, key="tap", given={})
    except drops.NotYetYours as refusal:
        return refusal.at
    except Exception as error:
        return type(error)
    return made.coupon_id


async def test_each_tier_claims_from_its_instant_on(
    database: Database, claims: Claims, clock: TestClock
) -> None:
    one, two, three = await people(database, "DIAMOND", "GOLD", "NORMAL")
    async with database.begin() as tx:
        drop = await early_drop(tx)
    assert await why(claims, drop.id, two) == clock.now + MINUTE
    assert await why(claims, drop.id, three) == drop.opens_at
    assert isinstance(await why(claims, drop.id, one), UUID)
    clock.now += MINUTE - timedelta(microseconds=1)
    assert await why(claims, drop.id, two) == drop.opens_at - MINUTE
    clock.now += timedelta(microseconds=1)
    assert isinstance(await why(claims, drop.id, two), UUID)
    clock.now = drop.opens_at - timedelta(microseconds=1)
    assert await why(claims, drop.id, three) == drop.opens_at
    now = await drop_now(database, drop.id)
    assert (now.state, now.claimed) == (DropState.SCHEDULED, 2), "it opens at its hour"
    clock.now = drop.opens_at
    assert isinstance(await why(claims, drop.id, three), UUID), "though nobody has opened it"
    told = await facts(database, drops.drop_topic(drop.id))
    assert [(fact.kind, fact.payload["state"], fact.payload["remaining"]) for fact in told] == [
        ("drop.claimed", "SCHEDULED", 9),
        ("drop.claimed", "SCHEDULED", 8),
        ("drop.opened", "OPEN", 8),
        ("drop.claimed", "OPEN", 7),
    ]


async def test_the_carve_out_is_all_that_is_given_early_and_what_is_left_flows_on(
    database: Database, claims: Claims, clock: TestClock
) -> None:
    diamonds = await people(database, *["DIAMOND"] * 4, *["GOLD"] * 4)
    golds = diamonds[4:]
    async with database.begin() as tx:
        drop = await early_drop(tx, stock=5, diamond=2, gold=2)
    made = await all_of(why(claims, drop.id, one) for one in diamonds[:3])
    assert made[2] == drop.opens_at - MINUTE, "the next window has more for them too"
    assert await plain(database, drop.id, diamonds[3]) is drops.NotYetYours
    clock.now += MINUTE
    made = await all_of(why(claims, drop.id, one) for one in golds)
    assert [isinstance(one, UUID) for one in made] == [True, True, False, False]
    assert made[2:] == [drop.opens_at] * 2
    clock.now = drop.opens_at
    made = await all_of(why(claims, drop.id, one) for one in [*golds[2:], *diamonds[2:4]])
    assert isinstance(made[0], UUID)
    assert made[1:] == [drops.SoldOut] * 3
    assert len(await given_in(database, drop.id)) == 5


async def test_what_nobody_claimed_early_is_there_for_everyone(
    database: Database, claims: Claims, clock: TestClock
) -> None:
    ids = await people(database, *["NORMAL"] * 5)
    async with database.begin() as tx:
        drop = await early_drop(tx, stock=4, diamond=2, gold=2)
    clock.now = drop.opens_at
    made = await all_of(why(claims, drop.id, one) for one in ids)
    assert [isinstance(one, UUID) for one in made] == [True] * 4 + [False]


async def test_a_drop_that_is_all_early_access_may_sell_out_before_its_hour(
    database: Database, claims: Claims, clock: TestClock
) -> None:
    ids = await people(database, "DIAMOND", "DIAMOND", "NORMAL")
    async with database.begin() as tx:
        drop = await make.drop(tx, stock=2, early=[Window(3, tx.now, 2)])
    assert all(
        isinstance(one, UUID)
        for one in await all_of(gathered(claims, drop.id, one) for one in ids[:2])
    )
    assert (await drop_now(database, drop.id)).state is DropState.SOLD_OUT
    assert await gathered(claims, drop.id, ids[2]) is drops.SoldOut
    async with database.begin() as tx:
        assert await drops.close_due(tx) == [drop.id], "it is settled with its batch"


@pytest.mark.parametrize("seed", range(3))
async def test_at_the_boundary_no_claim_of_before_takes_what_is_everyones(
    database: Database, schema_ready: str, clock: TestClock, seed: int
) -> None:
    """Two processes whose clocks straddle the opening, 50 claims, each of them twice."""
    diamonds = await people(database, *["DIAMOND"] * 25)
    others = await members(database, 25)
    async with database.begin() as tx:
        drop = await make.drop(tx, stock=30, opens_in=MINUTE, early=[Window(3, tx.now, 8)])
    before = TestClock(drop.opens_at - timedelta(microseconds=1))
    after = TestClock(drop.opens_at)
    houses = [Database(schema_ready, pool_size=5, clock=one) for one in (before, after)]
    early, late = (Claims(house) for house in houses)
    attempts = [gathered(early, drop.id, one) for one in diamonds for _ in range(2)]
    attempts += [gathered(late, drop.id, one) for one in others for _ in range(2)]
    order = attempts[seed:] + attempts[:seed]
    await all_of(order[::2] + order[1::2])
    async with database.read() as read:
        found = await drops.claims_by_member_and_drop(
            read, [(one, drop.id) for one in (*diamonds, *others)]
        )
    instants = [claim.claimed_at for claim in found.values()]
    assert instants.count(before.now) <= 8
    everyones = min(25, 30 - instants.count(before.now))
    assert instants.count(after.now) == everyones >= 22, "of what was not set apart, all"
    assert len(await given_in(database, drop.id)) == len(instants) <= 30
    for claims, house in zip((early, late), houses, strict=True):
        await claims.drain()
        await house.close()


async def test_fifty_at_once_twice_each_share_a_window(database: Database, claims: Claims) -> None:
    ids = await people(database, *["GOLD"] * 50)
    async with database.begin() as tx:
        drop = await make.drop(tx, stock=40, early=[Window(2, tx.now, 12)])
    made = await all_of(gathered(claims, drop.id, one) for one in ids for _ in range(2))
    assert made[::2] == made[1::2], "one key, one answer"
    given = await given_in(database, drop.id)
    assert set(given.values()) == {one for one in made if isinstance(one, UUID)}
    assert (len(given), made.count(drops.NotYetYours)) == (12, 76)


async def test_opening_a_drop_by_hand_ends_early_access(database: Database, claims: Claims) -> None:
    (one,) = await members(database, 1)
    async with database.begin() as tx:
        drop = await early_drop(tx)
        await drops.open_drop(tx, drop_id=drop.id)
    assert isinstance(await gathered(claims, drop.id, one), UUID)


@pytest.mark.parametrize(
    "windows",
    [
        [(3, -30, 11)],
        [(3, -30, 0)],
        [(3, 0, 1)],
        [(2, -30, 1), (3, -20, 1)],
        [(3, -30, 1), (3, -20, 1)],
        [(3, -30, 1), (2, -30, 1)],
        [(7 - nth, -30 + nth, 1) for nth in range(6)],
    ],
)
async def test_windows_that_do_not_fit_are_refused(
    database: Database, windows: list[tuple[int, int, int]]
) -> None:
    async with database.begin() as tx:
        opens_at = tx.now + timedelta(hours=1)
        given = [
            Window(rank, opens_at + minutes * MINUTE, stock) for rank, minutes, stock in windows
        ]
        with pytest.raises(InvalidInput) as refused:
            await make.drop(tx, stock=10, early=given)
    assert refused.value.facts["field"] == "earlyAccess"


async def test_audiences_by_tier_and_by_invitation(database: Database, claims: Claims) -> None:
    gold, normal = await people(database, "GOLD", "NORMAL")
    async with database.begin() as tx:
        await community(tx)
        for_gold = await make.open_drop(tx, min_rank=2)
        for_guests = await make.open_drop(tx, guests_only=True)
        invited = await drops.invite(
            tx, drop_id=for_guests.id, member_ids=[normal, normal, uuid4()]
        )
        assert invited == 1, "once, and only who exists"
        assert await drops.invite(tx, drop_id=for_guests.id, member_ids=[normal]) == 0
    assert await gathered(claims, for_gold.id, normal, "a") is drops.NotInAudience
    assert isinstance(await gathered(claims, for_gold.id, gold, "a"), UUID)
    assert await gathered(claims, for_guests.id, gold, "b") is drops.NotInAudience
    assert isinstance(await gathered(claims, for_guests.id, normal, "b"), UUID)


async def test_nobody_is_invited_to_what_is_over(database: Database) -> None:
    async with database.begin() as tx:
        drop = await make.open_drop(tx, guests_only=True)
        await drops.close_drop(tx, drop_id=drop.id)
        who = await member(tx)
        with pytest.raises(drops.DropNotScheduled):
            await drops.invite(tx, drop_id=drop.id, member_ids=[who.id])
