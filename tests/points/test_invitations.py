"""Sharing with proof: codes, who may accept, what an invitation brings and what takes it back."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

import pytest
from sqlalchemy import delete, func, select, update

from app import orders, points
from app.kernel.crypto import Vault
from app.kernel.db import Database, Tx
from app.kernel.errors import InvalidInput, Refusal
from app.members import (
    Community,
    Identity,
    IdentityKind,
    Member,
    MemberNotActive,
    MemberStatus,
    recognise,
)
from tests.conftest import TestClock
from tests.make.members import member
from tests.make.orders import order
from tests.make.points import balance

Accept = Callable[[UUID, UUID], Awaitable[points.Invitation]]


@pytest.fixture
async def people(database: Database) -> list[UUID]:
    async with database.begin() as tx:
        return [(await member(tx)).id for _ in range(5)]


async def code_of(database: Database, who: UUID) -> str:
    async with database.begin() as tx:
        kind = points.ShareTarget.COMMUNITY
        return (await points.share(tx, member_id=who, target_kind=kind)).code


@pytest.fixture
def accept(database: Database) -> Accept:
    async def accepted(who: UUID, inviter: UUID) -> points.Invitation:
        code = await code_of(database, inviter)
        async with database.begin() as tx:
            return await points.accept_invitation(tx, member_id=who, code=code)

    return accepted


async def follow(database: Database, who: UUID) -> None:
    for _ in range(2):  # again changes nothing
        async with database.begin() as tx:
            await points.follow_invitation(tx, member_id=who)


async def buy(
    database: Database, who: UUID, *, settled: bool = True, at: datetime | None = None
) -> UUID:
    async with database.begin() as tx:
        key = (await order(tx, member_id=who, settled=settled, at=at)).id
    await follow(database, who)
    return key


async def change(database: Database, key: UUID, **values: object) -> None:
    async with database.begin() as tx:
        await tx.session.execute(update(orders.Order).where(orders.Order.id == key).values(values))


async def test_a_target_has_one_link_however_often_and_fast_it_is_shared(
    database: Database, people: list[UUID]
) -> None:
    async def share(target: str) -> str:
        async with database.begin() as tx:
            kind = points.ShareTarget.PRODUCT
            made = await points.share(tx, member_id=people[0], target_kind=kind, target=target)
            return made.code

    codes = await asyncio.gather(*(share(target) for target in ("PEACH", "APPLE") * 25))
    assert len(set(codes)) == 2
    assert codes[0] == codes[2]
    assert codes[0] != codes[1]
    with pytest.raises(InvalidInput):
        await share("")
    async with database.begin() as tx:
        frozen = await member(tx, status=MemberStatus.FROZEN)
        with pytest.raises(MemberNotActive):
            await points.share(tx, member_id=frozen.id, target_kind=points.ShareTarget.COMMUNITY)


async def test_the_first_order_that_settles_pays_once(
    database: Database, people: list[UUID], accept: Accept, clock: TestClock
) -> None:
    inviter, invited = people[:2]
    assert (await accept(invited, inviter)).state is points.InvitationState.ACCEPTED
    await accept(invited, inviter)  # again by the same inviter changes nothing
    first = await buy(database, invited, settled=False)
    assert await balance(database, inviter) == (0, 0, 0)
    await change(database, first, settled_at=clock.now)
    await follow(database, invited)
    assert await balance(database, inviter) == (50, 0, 0)
    clock.advance(days=1)
    await buy(database, invited)
    assert await balance(database, inviter) == (50, 0, 0)


async def test_a_full_refund_within_the_window_takes_it_back_and_the_next_order_pays(
    database: Database, people: list[UUID], accept: Accept, clock: TestClock
) -> None:
    inviter, invited = people[:2]
    await accept(invited, inviter)
    first = await buy(database, invited)
    clock.advance(days=2)
    await change(database, first, refunded_fen=999, refunded_at=clock.now)
    await follow(database, invited)
    assert await balance(database, inviter) == (50, 0, 0)
    await change(database, first, refunded_fen=1000, refunded_at=clock.now)
    await follow(database, invited)
    assert await balance(database, inviter) == (0, 0, 0)
    second = await buy(database, invited)
    third = await buy(database, invited)
    assert await balance(database, inviter) == (50, 0, 0)
    # One that is taken back makes way for one that had settled meanwhile.
    await change(database, second, cancelled_at=clock.now)
    await follow(database, invited)
    assert await balance(database, inviter) == (50, 0, 0)
    clock.advance(days=7)
    await change(database, third, refunded_fen=1000, refunded_at=clock.now)
    await follow(database, invited)
    assert await balance(database, inviter) == (50, 0, 0)


async def test_what_the_inviter_has_spent_already_becomes_debt(
    database: Database, people: list[UUID], accept: Accept, clock: TestClock
) -> None:
    inviter, invited = people[:2]
    await accept(invited, inviter)
    first = await buy(database, invited)
    async with database.begin() as tx:
        await points.spend(tx, member_id=inviter, amount=30, subject="s")
    await change(database, first, refunded_fen=1000, refunded_at=clock.now)
    await follow(database, invited)
    assert await balance(database, inviter) == (0, 0, 30)


async def refused(kind: type[Refusal], work: Awaitable[object]) -> None:
    with pytest.raises(kind):
        await work


async def test_nobody_invites_themselves_twice_late_or_in_a_ring(
    database: Database, people: list[UUID], accept: Accept
) -> None:
    a, b, c, d, e = people
    await refused(points.OwnInvitation, accept(a, a))
    await accept(b, a)
    await accept(c, b)
    await accept(d, c)
    for ring in (b, c, d):
        await refused(points.InvitationRing, accept(a, ring))
    await refused(points.AlreadyInvited, accept(c, a))
    await buy(database, e)
    await refused(points.NotANewcomer, accept(e, a))
    async with database.begin() as tx:
        await refused(
            points.ShareNotFound, points.accept_invitation(tx, member_id=a, code="NOBODYS")
        )
        await tx.session.execute(
            update(Member).where(Member.id == d).values(status=MemberStatus.FROZEN)
        )
    code = await code_of(database, e)
    async with database.begin() as tx:
        await refused(MemberNotActive, points.accept_invitation(tx, member_id=d, code=code))


async def test_rings_are_refused_however_fast_they_close(
    database: Database, people: list[UUID], accept: Accept
) -> None:
    ring = people[:4]
    pairs = list(zip(ring, [*ring[1:], ring[0]], strict=True))
    done = await asyncio.gather(
        *(accept(who, inviter) for who, inviter in pairs * 12), return_exceptions=True
    )
    wrong = {type(one) for one in done if isinstance(one, BaseException)}
    assert wrong == {points.InvitationRing}
    async with database.read() as read:
        query = select(func.count()).select_from(points.Invitation)
        assert await read.session.scalar(query) == 3


async def test_an_identity_is_invited_once_whatever_account_it_has(
    database: Database, people: list[UUID], accept: Accept, vault: Vault
) -> None:
    async def known(tx: Tx, value: str) -> UUID:
        kind = IdentityKind.WECHAT_OPENID
        made = await recognise(tx, vault=vault, kind=kind, app="x", value=value, nickname="n")
        return made.id

    async with database.begin() as tx:
        first = await known(tx, "one")
    await accept(first, people[0])
    async with database.begin() as tx:
        # The account is closed, its identity erased, and the person comes back.
        await tx.session.execute(
            update(Member).where(Member.id == first).values(status=MemberStatus.CLOSED)
        )
        await tx.session.execute(delete(Identity).where(Identity.member_id == first))
        again = await known(tx, "one")
        other = await known(tx, "two")
    await refused(points.AlreadyInvited, accept(again, people[1]))
    await accept(other, people[1])


async def test_a_month_has_so_many_places_even_for_fifty_at_once(
    database: Database, accept: Accept, clock: TestClock
) -> None:
    async with database.begin() as tx:
        inviter = await member(tx)
        crowd = [(await member(tx)).id for _ in range(25)]
        await tx.session.execute(
            update(Community)
            .where(Community.id == inviter.community_id)
            .values(settings={"sharing": {"perMonth": 6, "points": 3}})
        )
    await code_of(database, inviter.id)
    done = await asyncio.gather(
        *(accept(who, inviter.id) for who in crowd * 2), return_exceptions=True
    )
    wrong = {type(one) for one in done if isinstance(one, BaseException)}
    assert wrong == {points.TooManyInvitations}
    async with database.read() as read:
        inside = list(await read.session.scalars(select(points.Invitation.member_id)))
    assert len(inside) == 6
    # Each is rewarded once, though every fact is followed many times at once.
    for who in inside:
        async with database.begin() as tx:
            await order(tx, member_id=who)

    async def once(who: UUID) -> None:
        async with database.begin() as tx:
            await points.follow_invitation(tx, member_id=who)

    await asyncio.gather(*(once(who) for who in inside * 8))
    assert await balance(database, inviter.id) == (18, 0, 0)
    clock.now = clock.now.replace(month=4)
    outside = next(who for who in crowd if who not in inside)
    await accept(outside, inviter.id)


async def test_merging_who_invited_with_whom_they_invited_voids_it(
    database: Database, people: list[UUID], accept: Accept
) -> None:
    a, b, c, d, _ = people
    await accept(b, a)
    await accept(c, b)
    await accept(d, c)
    await buy(database, b)
    await buy(database, c)
    assert await balance(database, a) == (50, 0, 0)
    assert await balance(database, b) == (50, 0, 0)
    async with database.begin() as tx:
        await points.merge(tx, b, a)  # a has invited themselves, and c is a's from now on
    assert await balance(database, a) == (50, 0, 0)
    await buy(database, c)
    assert await balance(database, a) == (50, 0, 0)
    async with database.begin() as tx:
        await points.merge(tx, d, a)  # d was invited by c, whom a has invited: a ring
    await buy(database, a)
    assert await balance(database, c) == (0, 0, 0)
    async with database.read() as read:
        rows = (await read.session.scalars(select(points.Invitation))).all()
    states = {row.member_id: (row.inviter_id, row.state.value) for row in rows}
    assert states[c] == (a, "REWARDED")
    assert {states[b][1], states[d][1]} == {"VOID"}


async def test_an_old_accounts_link_and_invitation_are_the_survivors(
    database: Database, people: list[UUID], accept: Accept
) -> None:
    inviter, old, new, late, _ = people
    code = await code_of(database, old)
    await accept(old, inviter)
    async with database.begin() as tx:
        await points.merge(tx, old, new)
        accepted = await points.accept_invitation(tx, member_id=late, code=code)
        assert accepted.inviter_id == new
    await buy(database, new)
    await buy(database, late)
    assert await balance(database, inviter) == (50, 0, 0)
    assert await balance(database, new) == (50, 0, 0)
