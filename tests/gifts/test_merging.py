"""Two accounts of one person: one pack, one gift and one birthday change are kept."""

from uuid import UUID, uuid4

from sqlalchemy import func, select

from app import coupons, gifts
from app.gifts import Birthday, Calendar, HoldState, PartState, Unlock
from app.kernel.db import Database
from tests.conftest import TestClock
from tests.make import gifts as make
from tests.make.members import member


async def two(database: Database) -> tuple[UUID, UUID]:
    async with database.begin() as tx:
        return (await member(tx)).id, (await member(tx)).id


async def merge(database: Database, from_id: UUID, into_id: UUID) -> None:
    for _ in range(2):  # doing it again changes nothing
        async with database.begin() as tx:
            await coupons.merge(tx, from_id, into_id)
            await gifts.merge(tx, from_id, into_id)


async def test_of_two_claims_the_latest_is_kept_and_locked_parts_go_back(
    database: Database, clock: TestClock
) -> None:
    old, new = await two(database)
    async with database.begin() as tx:
        offer = await make.offer(tx, stock=9)
        day2 = await make.coupon_item(tx, unlock=Unlock.DAY_N, day=2)
        last = gifts.ItemDraft(Unlock.DAY_N, 3, offer_id=offer.id)
        pack = await make.pack(tx, items=[day2, last], stock=2)
    claims: list[UUID] = []
    for one in (old, new):
        async with database.begin() as tx:
            made = await gifts.claim_pack(tx, pack_id=pack.id, member_id=one, episode_id=uuid4())
            claims.append(made.id)
        clock.advance(minutes=1)
    await merge(database, new, old)
    async with database.read() as read:
        (kept,) = (await read.session.scalars(select(gifts.PackClaim))).all()
        parts = (await read.session.scalars(select(gifts.PackPart))).all()
        assert day2.batch_id is not None
        batch = (await coupons.batches_by_id(read, [day2.batch_id]))[day2.batch_id]
        units = (await gifts.offers_by_id(read, [offer.id]))[offer.id]
    assert (kept.member_id, kept.id) == (old, claims[1])
    assert {part.member_id for part in parts} == {old}
    assert (batch.granted, batch.set_aside, units.promised) == (0, 1, 1)
    clock.advance(days=2)
    async with database.begin() as tx:
        assert await gifts.unlock_due(tx) == 2
    async with database.read() as read:
        states = set(await read.session.scalars(select(gifts.PackPart.state)))
        assert states == {PartState.GIVEN}
        assert await read.session.scalar(select(func.count()).select_from(coupons.Coupon)) == 1


async def test_of_two_holds_one_is_kept_and_taken_ones_stay(
    database: Database, clock: TestClock
) -> None:
    old, new = await two(database)
    async with database.begin() as tx:
        held, taken, both = [await make.offer(tx, stock=5) for _ in range(3)]
    kept: dict[tuple[UUID, UUID], UUID] = {}
    for one in (old, new):
        for offer in (held, taken, both):
            async with database.begin() as tx:
                hold = await gifts.hold_gift(tx, offer_id=offer.id, member_id=one)
                kept[one, offer.id] = hold.id
                if offer is both or (offer is taken and one == old):
                    await gifts.take_gift(tx, hold_id=hold.id, member_id=one, order_ref=f"of {one}")
        clock.advance(minutes=1)
    await merge(database, new, old)
    async with database.read() as read:
        rows = {row.id: row for row in await read.session.scalars(select(gifts.GiftHold))}
        offers = await gifts.offers_by_id(read, [held.id, taken.id, both.id])
    assert {row.member_id for row in rows.values()} == {old}
    ends = {key: rows[hold].state for key, hold in kept.items()}
    assert ends == {
        (old, held.id): HoldState.RELEASED,
        (new, held.id): HoldState.HELD,
        (old, taken.id): HoldState.TAKEN,
        (new, taken.id): HoldState.RELEASED,
        (old, both.id): HoldState.TAKEN,
        (new, both.id): HoldState.TAKEN,
    }
    counts = {key: (row.held, row.taken) for key, row in offers.items()}
    assert counts == {held.id: (1, 0), taken.id: (0, 1), both.id: (0, 2)}


async def test_a_changed_birthday_stays_changed(database: Database) -> None:
    old, new = await two(database)
    for month in (1, 2):
        async with database.begin() as tx:
            born = Birthday(Calendar.SOLAR, month, 1)
            await gifts.set_birthday(tx, member_id=new, birthday=born)
    await merge(database, new, old)
    async with database.read() as read:
        (change,) = (await read.session.scalars(select(gifts.BirthdayChange))).all()
    assert change.member_id == old
