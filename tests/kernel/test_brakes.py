"""Brakes: how many attempts get through, however many come at once."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kernel.auth.brakes import (
    ACCOUNT,
    ADDRESS,
    MESSAGES,
    MESSAGES_FROM_ADDRESS,
    Policy,
    brake,
    release,
    subscriber,
    take_off,
)
from app.kernel.db import Database
from app.kernel.errors import TooManyAttempts
from tests.conftest import TestClock

POLICIES = (ACCOUNT, ADDRESS, MESSAGES, MESSAGES_FROM_ADDRESS)


async def tries(database: Database, name: str, policy: Policy = ACCOUNT) -> bool:
    try:
        async with database.begin() as tx:
            await brake(tx, name, policy)
    except TooManyAttempts:
        return False
    return True


@given(st.sampled_from(POLICIES), st.integers(0, 10_000))
def test_delays_grow_up_to_the_longest(policy: Policy, attempts: int) -> None:
    now, later = policy.delay(attempts), policy.delay(attempts + 1)
    assert timedelta() <= now <= later <= policy.longest < policy.forgotten or now == later
    assert (now == timedelta()) == (attempts < policy.free)


@pytest.mark.parametrize("policy", POLICIES)
async def test_of_many_attempts_at_once_only_the_free_ones_get_through(
    database: Database, policy: Policy
) -> None:
    let_through = await asyncio.gather(
        *(tries(database, "staff:owner", policy) for _ in range(policy.free + 20))
    )
    assert sum(let_through) == policy.free


async def test_patience_is_rewarded_and_haste_is_not_counted(
    database: Database, clock: TestClock
) -> None:
    for _ in range(ACCOUNT.free):
        assert await tries(database, "a")
    with pytest.raises(TooManyAttempts) as refused:
        async with database.begin() as tx:
            await brake(tx, "a")
    assert refused.value.seconds == 2
    assert not await tries(database, "a")
    clock.advance(seconds=1)
    assert await tries(database, "a")
    clock.advance(seconds=1)
    assert not await tries(database, "a"), "the delay has doubled"
    clock.advance(seconds=1)
    assert await tries(database, "a")
    assert await tries(database, "b"), "another name is another matter"
    clock.advance(hours=1)
    for _ in range(ACCOUNT.free):
        assert await tries(database, "a"), "an hour later it is forgotten"


async def test_success_frees_the_account_and_takes_one_off_the_address(
    database: Database,
) -> None:
    small = Policy(2, timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1))
    for name in ("account", "address"):
        assert [await tries(database, name, small) for _ in range(3)] == [True, True, False]
    async with database.begin() as tx:
        await release(tx, "account")
        await take_off(tx, "address")
        await take_off(tx, "unheard of")
    assert [await tries(database, "account", small) for _ in range(3)] == [True, True, False]
    assert [await tries(database, "address", small) for _ in range(2)] == [True, False]


def test_messages_to_a_phone_are_few_an_hour_and_a_day() -> None:
    waited, at = timedelta(), list[timedelta]()
    for sent in range(30):
        waited += MESSAGES.delay(sent)
        at.append(waited)
    assert sum(moment < timedelta(hours=1) for moment in at) <= 8
    assert sum(moment < timedelta(days=1) for moment in at) <= 15


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unix", None),
        (None, None),
    ],
)
def test_a_subscriber_is_one_address_or_one_network(address: str | None, name: str | None) -> None:
    assert subscriber(address) == name
