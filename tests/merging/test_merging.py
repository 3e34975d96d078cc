"""Two members become one: nothing is lost, nobody is there twice, whatever happens at once."""

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, text

from app import ballots, coupons, drops, members, merging, points, segments
from app.kernel.auth import open_session
from app.kernel.crypto import Vault
from app.kernel.db import Database
from app.kernel.errors import Refusal
from app.members import IdentityKind, Member, MemberNotActive, MemberStatus
from app.merging import PARTS, Merges
from app.merging.commands import PATIENCE_MS
from app.metadata import all_tables
from tests.conftest import TestClock
from tests.make import ballots as make_ballots
from tests.make import coupons as make_coupons
from tests.make import drops as make_drops
from tests.make import members as make_members
from tests.make import orders as make_orders
from tests.make import points as make_points
from tests.make import reviews as make_reviews

# Tables that may keep rows of a merged member although they move: what both have.
TWICE = {"check_in", "review", "eco_action", "badge_award", "ballot_roll", "vote"}


async def pair(database: Database) -> tuple[UUID, UUID]:
    async with database.begin() as tx:
        one = await make_members.member(tx, nickname="小程序的李阿姨")
        two = await make_members.member(tx, nickname="门店的李阿姨")
        return one.id, two.id


async def merge(database: Database, gone: UUID, stays: UUID) -> merging.Merge:
    async def work() -> merging.Merge:
        async with database.begin() as tx:
            return await merging.merge(
                tx,
                from_id=gone,
                into_id=stays,
                actor_kind="staff",
                actor_id=uuid4(),
                reason="同一人",
            )

    return await merging.patiently(work)


async def count(database: Database, sql: str, **given: Any) -> int:
    async with database.read() as read:
        return int(await read.session.scalar(text(sql), given) or 0)


async def furnish(database: Database, member_id: UUID, *, votes_at: int) -> None:
    """Something of every kind."""
    async with database.begin() as tx:
        order = await make_orders.order(tx, member_id=member_id, total_fen=5_000)
        await make_orders.refund(tx, member_id=member_id, order_id=order.id)
        await make_orders.activity(tx, member_id=member_id)
        await make_points.lot(tx, member_id=member_id, amount=100 + votes_at, subject="gift")
        await points.check_in(tx, member_id=member_id)
        await make_coupons.coupon(tx, member_id=member_id)
        await make_reviews.review(tx, member_id=member_id, sku="APPLE", text=f"第{votes_at}次")


async def test_everything_goes_to_the_survivor(database: Database, clock: TestClock) -> None:
    gone, stays = await pair(database)
    for number, member_id in enumerate((gone, stays)):
        await furnish(database, member_id, votes_at=number)
        clock.advance(minutes=1)
    before = await count(database, "SELECT sum(active) FROM points_account")
    made = await merge(database, gone, stays)

    left: dict[str, int] = {}
    async with database.read() as read:
        for name, part in PARTS.items():
            table = all_tables().tables[name]
            if part.merges is Merges.MOVE and name not in TWICE:
                own = table.columns[part.by[0]] == gone
                left[name] = (
                    await read.session.scalar(select(func.count()).select_from(table).where(own))
                    or 0
                )
        husks = await read.session.scalar(
            text("SELECT count(*) FROM points_lot WHERE member_id = :gone AND remaining > 0"),
            {"gone": gone},
        )
    # The ledger's own husks stay behind, empty.
    assert {name for name, rows in left.items() if rows} <= {
        "points_account",
        "points_lot",
        "coupon_redemption",
    }
    assert husks == 0
    assert (await make_points.balance(database, stays))[0] == before
    assert (await make_points.balance(database, gone))[0] == 0
    assert await count(database, "SELECT count(*) FROM coupon WHERE member_id = :m", m=stays) == 2
    reviews = "SELECT count(*) FROM review WHERE member_id = :m AND state <> 'HIDDEN'"
    assert await count(database, reviews, m=stays) == 1
    assert await count(database, f"{reviews} AND text = '第1次'", m=stays) == 1
    assert made.figures["orders"] >= 1
    async with database.read() as read:
        row = await read.session.get_one(Member, gone)
        assert (row.status, row.merged_into) == (MemberStatus.CLOSED, stays)
        assert row.nickname == members.MERGED_NICKNAME
        assert (await members.survivors(read, [gone, stays])) == {gone: stays, stays: stays}


async def test_identities_and_sessions(database: Database, vault: Vault) -> None:
    gone, stays = await pair(database)
    async with database.begin() as tx:
        await members.link_phone(tx, vault=vault, member_id=gone, phone="13800138000")
        await open_session(tx, kind="member", subject_id=gone)
    await merge(database, gone, stays)
    assert await count(database, "SELECT count(*) FROM login_session WHERE revoked_at IS NULL") == 0
    async with database.begin() as tx:
        found = await members.sign_in_by_phone(tx, vault=vault, phone="13800138000")
        assert found.id == stays


@pytest.mark.parametrize("later", [0, 1])
async def test_the_later_vote_is_kept_and_the_tally_is_right(
    database: Database, clock: TestClock, later: int
) -> None:
    ballot_id, options, voters = await make_ballots.open_ballot(
        database, voters=3, change_until_close=True
    )
    order = voters[:2] if later else voters[1::-1]
    for number, member_id in enumerate(order):
        clock.advance(minutes=1)
        async with database.begin() as tx:
            await ballots.cast(
                tx, ballot_id=ballot_id, member_id=member_id, option_id=options[number]
            )
    await merge(database, voters[0], voters[1])
    clock.advance(days=2)
    async with database.begin() as tx:
        ballot = await ballots.close(tx, ballot_id=ballot_id)
        assert (ballot.turnout, ballot.roll_size) == (1, 2)
        kept = await tx.session.get_one(ballots.Vote, (voters[1], ballot_id))
        assert kept.option_id == options[1], "the later one"


async def test_a_counted_ballot_stays_as_it_was_declared(
    database: Database, clock: TestClock
) -> None:
    ballot_id, options, voters = await make_ballots.open_ballot(database, voters=2)
    for member_id in voters:
        async with database.begin() as tx:
            await ballots.cast(tx, ballot_id=ballot_id, member_id=member_id, option_id=options[0])
    clock.advance(days=2)
    async with database.begin() as tx:
        await ballots.close(tx, ballot_id=ballot_id)
    await merge(database, voters[0], voters[1])
    assert await count(database, "SELECT count(*) FROM vote") == 2
    assert await count(database, "SELECT sum(votes) FROM ballot_option") == 2


async def test_silences_are_those_of_both_together(database: Database, clock: TestClock) -> None:
    gone, stays = await pair(database)
    async with database.begin() as tx:
        for member_id, days in ((gone, 100), (stays, 80), (gone, 60), (stays, 20)):
            await make_orders.order(tx, member_id=member_id, at=tx.now - timedelta(days=days))
    async with database.begin() as tx:
        await segments.run(tx, as_of=tx.now)
    alone = await count(database, "SELECT count(*) FROM silence_episode")
    assert alone == 3, "each alone was silent between their orders, and one still is"
    await merge(database, gone, stays)
    assert await count(database, "SELECT count(*) FROM silence_episode") == 1
    async with database.begin() as tx:
        run = await segments.run(tx, as_of=tx.now)
        assert run.members == 1
    # A run derives the same.
    assert await count(database, "SELECT count(*) FROM silence_episode") == 1


async def test_refusals(database: Database) -> None:
    gone, stays = await pair(database)
    with pytest.raises(members.SameMember):
        await merge(database, gone, gone)
    with pytest.raises(members.MemberNotFound):
        await merge(database, uuid4(), stays)
    await merge(database, gone, stays)
    with pytest.raises(members.AlreadyMerged):
        await merge(database, gone, stays)
    with pytest.raises(members.AlreadyMerged):
        await merge(database, stays, gone)


async def test_a_chain_leads_to_its_end(database: Database) -> None:
    async with database.begin() as tx:
        ids = [(await make_members.member(tx)).id for _ in range(4)]
        await make_points.lot(tx, member_id=ids[0], amount=70, subject="a")
    for gone, stays in pairwise(ids):
        await merge(database, gone, stays)
    async with database.read() as read:
        assert set((await members.survivors(read, ids)).values()) == {ids[3]}
    assert (await make_points.balance(database, ids[3]))[0] == 70


async def outcomes(*work: Any) -> list[str]:
    found = await asyncio.gather(*work, return_exceptions=True)
    for item in found:
        assert not isinstance(item, BaseException) or isinstance(item, Refusal), item
    return [type(item).__name__ for item in found]


async def test_fifty_merges_at_once_both_ways_make_one(database: Database) -> None:
    gone, stays = await pair(database)
    for member_id in (gone, stays):
        await furnish(database, member_id, votes_at=1)
    before = await count(database, "SELECT sum(active) FROM points_account")
    told = await outcomes(
        *(merge(database, gone, stays) for _ in range(25)),
        *(merge(database, stays, gone) for _ in range(25)),
    )
    assert told.count("Merge") == 1
    assert set(told) <= {"Merge", "AlreadyMerged", "MergeBusy"}
    assert await count(database, "SELECT count(*) FROM member_merge") == 1
    assert await count(database, "SELECT sum(active) FROM points_account") == before
    async with database.read() as read:
        assert await points.audit(read) == []


async def test_a_ring_of_merges_at_once_leaves_one_path(database: Database) -> None:
    async with database.begin() as tx:
        ids = [(await make_members.member(tx)).id for _ in range(5)]
        for member_id in ids:
            await make_points.lot(tx, member_id=member_id, amount=10, subject="x")
    await outcomes(*(merge(database, a, b) for a, b in zip(ids, [*ids[1:], ids[0]], strict=True)))
    async with database.read() as read:
        ends = set((await members.survivors(read, ids)).values())
        dangling = await read.session.scalar(
            text(
                "SELECT count(*) FROM member m JOIN member s ON s.id = m.merged_into"
                " WHERE s.merged_into IS NOT NULL"
            )
        )
    assert dangling == 0
    total = sum([(await make_points.balance(database, one))[0] for one in ends])
    assert total == 50


async def test_spending_and_earning_during_a_merge_lose_nothing(database: Database) -> None:
    gone, stays = await pair(database)
    async with database.begin() as tx:
        await make_points.lot(tx, member_id=gone, amount=1_000, subject="start")

    async def spend(number: int) -> int:
        async with database.begin() as tx:
            return await points.spend(tx, member_id=gone, amount=10, subject=f"s{number}")

    async def earn(number: int) -> None:
        async with database.begin() as tx:
            await make_points.lot(tx, member_id=gone, amount=7, subject=f"e{number}")

    work = [spend(number) for number in range(25)] + [earn(number) for number in range(25)]
    told = await outcomes(*work[:25], merge(database, gone, stays), *work[25:])
    assert told.count("Merge") == 1
    spent, earned = told[:25].count("int"), told[26:].count("NoneType")
    both = [await make_points.balance(database, one) for one in (gone, stays)]
    assert sum(one[0] for one in both) == 1_000 - 10 * spent + 7 * earned
    assert both[0][0] == 0, "what comes for the old id is the survivor's"


async def test_a_merge_gives_way_long_before_anybody_is_in_a_deadlock(database: Database) -> None:
    sql = "SELECT CAST(setting AS int) FROM pg_settings WHERE name = 'deadlock_timeout'"
    assert await count(database, sql) >= 5 * PATIENCE_MS


async def test_one_of_two_claims_goes_back_into_the_stock_though_a_member_may_have_one_coupon(
    database: Database,
) -> None:
    gone, stays = await pair(database)
    async with database.begin() as tx:
        template = await make_coupons.template(tx, per_member=1)
        batch = await make_coupons.batch(tx, template_id=template.id, quantity=10)
        drop = await make_drops.open_drop(tx, stock=10, batch_id=batch.id)
        for one in (stays, gone):
            await drops.claim(tx, drop_id=drop.id, member_id=one)
    await merge(database, gone, stays)
    async with database.read() as read:
        assert (await drops.by_id(read, [drop.id]))[drop.id].remaining == 9
    async with database.begin() as tx:
        await drops.close_drop(tx, drop_id=drop.id)
    async with database.read() as read:
        found = (await coupons.batches_by_id(read, [batch.id]))[batch.id]
        assert (found.granted, found.set_aside) == (1, 0)
        assert found.reserved_fen == template.max_discount_fen


async def test_claims_of_both_during_a_merge_leave_one(database: Database) -> None:
    gone, stays = await pair(database)
    async with database.begin() as tx:
        drop = await make_drops.open_drop(tx, stock=10)
    claims = drops.Claims(database)

    async def claim(member_id: UUID, key: str) -> object:
        return await claims.claim(drop_id=drop.id, member_id=member_id, key=key, given={})

    told = await outcomes(
        *(claim(one, f"{one}-{n % 10}") for n in range(20) for one in (gone, stays)),
        merge(database, gone, stays),
        *(claim(one, f"{one}-{n % 10}") for n in range(20) for one in (gone, stays)),
    )
    await claims.drain()
    assert told.count("Merge") == 1
    database.clock.advance(hours=2)  # type: ignore[attr-defined]
    async with database.begin() as tx:
        await merging.settle(tx)
    assert (
        await count(database, "SELECT count(*) FROM drop_claim WHERE member_id = :m", m=gone) == 0
    )
    assert await count(database, "SELECT count(*) FROM drop_claim") == 1
    usable = "SELECT count(*) FROM coupon WHERE state IN ('WAITING', 'ACTIVE')"
    assert await count(database, usable) == 1
    async with database.begin() as tx:
        with pytest.raises(MemberNotActive):
            await members.require_active(tx, gone)


async def test_signing_in_during_a_merge_ends_with_the_survivor(
    database: Database, vault: Vault
) -> None:
    gone, stays = await pair(database)
    async with database.begin() as tx:
        await members.link_phone(tx, vault=vault, member_id=gone, phone="13800138000")

    async def sign_in() -> UUID:
        async with database.begin() as tx:
            found = await members.recognise(
                tx,
                vault=vault,
                kind=IdentityKind.PHONE,
                app="",
                value="+8613800138000",
                nickname="x",
            )
            await open_session(tx, kind="member", subject_id=found.id)
            return found.id

    told = await outcomes(
        *(sign_in() for _ in range(25)),
        merge(database, gone, stays),
        *(sign_in() for _ in range(25)),
    )
    assert told.count("Merge") == 1
    assert told.count("UUID") == 50
    live = "SELECT count(*) FROM login_session WHERE revoked_at IS NULL AND subject_id = :m"
    assert await count(database, live, m=gone) == 0
    assert (
        await count(database, live, m=stays)
        + await count(database, "SELECT count(*) FROM login_session WHERE revoked_at IS NOT NULL")
        == 50
    )
    assert await count(database, "SELECT count(*) FROM member") == 2


async def test_a_preview_tells_and_changes_nothing(database: Database) -> None:
    gone, stays = await pair(database)
    for member_id in (gone, stays):
        await furnish(database, member_id, votes_at=1)
    async with database.begin() as tx:
        told = await merging.preview(tx, from_id=gone, into_id=stays)
    assert told.after.points == told.merged.points + told.survivor.points > 0
    assert told.after.coupons == 2
    assert told.after.orders == told.merged.orders + told.survivor.orders
    assert await count(database, "SELECT count(*) FROM member_merge") == 0
    assert await count(database, "SELECT count(*) FROM outbox WHERE kind = 'member.merged'") == 0
    async with database.begin() as tx:
        assert await members.require_active(tx, gone) is None
    made = await merge(database, gone, stays)
    assert made.figures == told.figures
    assert await count(database, "SELECT count(*) FROM coupon WHERE member_id = :m", m=stays) == 2
    assert coupons.CouponState.ACTIVE
