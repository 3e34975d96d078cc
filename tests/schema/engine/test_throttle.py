"""Who is throttled, by how much, and what they are told."""

from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from app import staff
from app.kernel.auth import (
    ANONYMOUS,
    Caller,
    MemberCaller,
    PartnerCaller,
    Role,
    Scope,
    StaffCaller,
)
from app.kernel.config import Settings
from app.kernel.db import Database
from schema.engine import buckets
from schema.engine import throttle as module
from schema.engine.buckets import PREFIX
from schema.engine.throttle import Throttler, extension, network_of, refusal_of

ADDRESS = "192.0.2.1"
Make = Callable[..., Throttler]
Near = Callable[..., Any]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long Redis takes, nobody goes on without it."""
    monkeypatch.setattr(buckets, "TIMEOUT_SECONDS", 3_600.0)


@pytest.fixture
def near() -> Near:
    """Compares with a figure, but for what changed by so much a second since the test began."""
    begun = monotonic()
    return lambda figure, each=1: pytest.approx(figure, abs=2 + each * (monotonic() - begun))


@pytest.fixture
async def make(redis: Redis, settings: Settings) -> AsyncIterator[Make]:
    """Throttlers of 1,000 a caller and 5,000 an address, hardly restored."""
    made: list[Throttler] = []

    def throttler(exempt: str = "", look_up: Any = None, **update: Any) -> Throttler:
        given = {
            "rate_limit_maximum": 1_000,
            "rate_limit_restore": 2,
            "rate_limit_address_maximum": 5_000,
            "rate_limit_address_restore": 10,
            "rate_limit_exempt": exempt,
            **update,
        }
        made.append(Throttler(settings.model_copy(update=given), redis, look_up))
        return made[-1]

    yield throttler
    for one in made:
        await one.close()


def member(key: UUID | None = None) -> MemberCaller:
    return MemberCaller(key or uuid4(), uuid4())


async def test_a_request_is_charged_and_what_it_did_not_use_comes_back(
    make: Make, near: Near
) -> None:
    throttler, caller = make(), member()
    taken = await throttler.take(caller, ADDRESS, 600)
    assert taken.allowed
    assert taken.retry_after == 0
    assert (taken.maximum, taken.restore_rate, taken.available) == (1_000, 2, near(400, 2))
    after = throttler.settle(taken, 58)
    assert after.available == near(942, 2)
    assert extension(after) == {
        "requested": 600,
        "actual": 58,
        "throttle": {"maximum": 1_000, "available": after.available, "restoreRate": 2},
    }


async def test_more_than_was_asked_for_is_told_and_not_charged(make: Make) -> None:
    throttler = make()
    after = throttler.settle(await throttler.take(member(), ADDRESS, 20), 1_010)
    assert extension(after)["actual"] == 1_010
    assert after.available >= 980


async def test_an_empty_bucket_refuses_and_says_when(make: Make, near: Near) -> None:
    throttler, caller = make(), member()
    assert (await throttler.take(caller, ADDRESS, 900)).allowed
    refused = await throttler.take(caller, ADDRESS, 300)
    assert not refused.allowed
    assert refused.maximum == 1_000
    assert refused.available == near(100, 2)
    assert refused.retry_after == near(100)
    english, chinese = refusal_of(refused, "en"), refusal_of(refused, "zh-CN")
    assert english.extensions == {"code": "THROTTLED", "retryAfter": refused.retry_after}
    assert str(refused.retry_after) in english.message
    assert "请" in chinese.message
    assert throttler.settle(refused, 1).available == refused.available
    assert (await throttler.take(caller, ADDRESS, 50)).allowed
    assert (await throttler.take(member(), ADDRESS, 900)).allowed


async def test_what_never_fits_is_a_mistake(make: Make) -> None:
    throttler = make()
    refused = await throttler.take(member(), ADDRESS, 1_001)
    assert not refused.allowed
    assert refused.retry_after is None
    error = refusal_of(refused, "en")
    assert error.extensions == {"code": "COST_EXCEEDED", "limit": 1_000, "found": 1_001}


async def test_an_address_has_a_bucket_for_all_who_share_it(make: Make, near: Near) -> None:
    throttler = make()
    for _ in range(5):
        assert (await throttler.take(member(), ADDRESS, 950)).allowed
    caller = member()
    refused = await throttler.take(caller, ADDRESS, 950)
    assert not refused.allowed
    assert refused.maximum == 5_000
    assert refused.retry_after == near(70)
    assert (await throttler.take(caller, "192.0.2.2", 950)).allowed


async def test_nobody_in_particular_has_the_address_alone(make: Make, redis: Redis) -> None:
    throttler = make()
    taken = await throttler.take(ANONYMOUS, ADDRESS, 4_000)
    assert taken.maximum == 5_000
    assert not (await throttler.take(ANONYMOUS, ADDRESS, 4_000)).allowed
    assert (await throttler.take(ANONYMOUS, None, 4_000)).allowed
    assert await redis.keys(PREFIX + "*") == [f"{PREFIX}address:{ADDRESS}".encode()]


@pytest.mark.parametrize(
    ("address", "bucket"),
    [
        ("192.0.2.1", "address:192.0.2.1"),
        ("::ffff:192.0.2.1", "address:192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "address:2001:db8:1:2::"),
        ("2001:db8:1:2::1", "address:2001:db8:1:2::"),
        ("testclient", "address:testclient"),
        ("x" * 1_000, "address:" + "x" * 64),
    ],
)
def test_an_address_of_ipv6_is_its_network(address: str, bucket: str) -> None:
    assert network_of(address) == bucket


@pytest.mark.parametrize("kind", ["member", "staff", "partner", "address", "network"])
async def test_exempt_callers_are_not_limited(make: Make, redis: Redis, kind: str) -> None:
    key = uuid4()
    callers: dict[str, Caller] = {
        "member": member(key),
        "staff": StaffCaller(key, uuid4(), Role.ANALYST),
        "partner": PartnerCaller(key, frozenset({Scope.ORDERS_WRITE})),
    }
    names = {"address": f"address:{ADDRESS}", "network": "192.0.2.0/24"}
    throttler = make(names.get(kind, f"{kind}:{key}"))
    caller = callers.get(kind, member())
    for _ in range(3):
        taken = await throttler.take(caller, ADDRESS, 25_000)
        assert taken.allowed
        assert throttler.settle(taken, 7).actual == 7
    assert not (await throttler.take(member(), "198.51.100.1", 25_000)).allowed
    # The same id of another kind is somebody else.
    if kind == "member":
        assert not (await throttler.take(callers["staff"], ADDRESS, 25_000)).allowed
    await throttler.close()
    assert not await redis.keys(f"{PREFIX}{kind}:{key}")


async def test_names_are_looked_up_and_new_ones_within_a_minute(
    make: Make, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async def look_up(logins: frozenset[str], keys: frozenset[str]) -> set[str]:
        nonlocal looks
        looks += 1
        async with database.read() as read:
            return await staff.callers_named(read, logins=logins, keys=keys)

    throttler = make("staff:Watch, partner:order system", look_up)

    async def allowed(caller: Caller) -> bool:
        return (await throttler.take(caller, ADDRESS, 25_000)).allowed

    async with database.begin() as tx:
        account = await staff.create_account(
            tx, login="watch", name="Watch", role=Role.ANALYST, password_hash="x"
        )
    watch = StaffCaller(account.id, uuid4(), Role.ANALYST)
    assert not await allowed(member())
    assert looks == 0
    assert await allowed(watch)
    assert await allowed(watch)
    assert not await allowed(StaffCaller(uuid4(), uuid4(), Role.OWNER))
    assert looks == 1
    async with database.begin() as tx:
        key = await staff.create_api_key(tx, name="order system", scopes=list(Scope))
    async with database.read() as read:
        partner = await staff.partner_by_key(read, key)
    assert partner is not None
    assert not await allowed(partner)
    monkeypatch.setattr(module, "monotonic", lambda: 1e9)
    assert await allowed(partner)
    assert looks == 2


async def test_names_that_cannot_be_looked_up_are_limited(make: Make) -> None:
    async def look_up(logins: frozenset[str], keys: frozenset[str]) -> set[str]:
        raise OSError("the database is away")

    throttler = make("staff:watch", look_up)
    caller = StaffCaller(uuid4(), uuid4(), Role.OWNER)
    assert (await throttler.take(caller, ADDRESS, 10)).allowed
    assert not (await throttler.take(caller, ADDRESS, 25_000)).allowed


async def test_revoked_keys_and_disabled_accounts_are_nobody(database: Database) -> None:
    async with database.begin() as tx:
        await staff.create_account(
            tx, login="watch", name="Watch", role=Role.ANALYST, password_hash="x"
        )
    async with database.begin() as tx:
        await staff.disable_account(tx, login="watch")
    async with database.read() as read:
        assert await staff.callers_named(read, logins=["watch"], keys=[]) == set()
