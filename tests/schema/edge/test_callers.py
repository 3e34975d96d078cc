"""Who is calling: remembered while it is true, forgotten the moment it is not."""

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from app import staff
from app.kernel.auth import (
    ANONYMOUS,
    MemberCaller,
    PartnerCaller,
    ReplayedToken,
    Role,
    Scope,
    StaffCaller,
    TokenKeys,
    open_session,
    revoke_session,
    rotate_session,
)
from app.kernel.config import Settings
from app.kernel.db import Database, Read
from schema.edge import callers as module
from schema.edge.callers import LIVE_SECONDS, Callers, Ended
from tests.conftest import TestClock


class Stopwatch:
    """A monotonic clock that tests move."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def stopwatch() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def keys(settings: Settings) -> TokenKeys:
    return TokenKeys.from_settings(settings)


@pytest.fixture
def callers(database: Database, keys: TokenKeys, stopwatch: Stopwatch) -> Callers:
    return Callers(database, keys, monotonic=stopwatch)


async def signed_in(database: Database, keys: TokenKeys) -> tuple[MemberCaller, str]:
    async with database.begin() as tx:
        pair = await open_session(tx, kind="member", subject_id=uuid4())
    caller = MemberCaller(pair.subject_id, pair.session_id)
    return caller, keys.sign(caller, database.clock())


async def revoked(database: Database, session_id: UUID) -> None:
    """End a session as another process would."""
    async with database.begin() as tx:
        assert await revoke_session(tx, session_id=session_id) == [session_id]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of the database, one entry a question."""
    said: list[str] = []
    real_sessions, real_partner = module.live_sessions, staff.partner_by_key

    async def sessions(read: Read, keys: Iterable[UUID]) -> set[UUID]:
        said.append("sessions")
        return await real_sessions(read, keys)

    async def partner(read: Read, key: str) -> PartnerCaller | None:
        said.append("partner")
        return await real_partner(read, key)

    monkeypatch.setattr(module, "live_sessions", sessions)
    monkeypatch.setattr(staff, "partner_by_key", partner)
    return said


async def test_a_session_is_looked_up_once_in_a_while(
    database: Database,
    callers: Callers,
    keys: TokenKeys,
    stopwatch: Stopwatch,
    asked: list[str],
) -> None:
    caller, token = await signed_in(database, keys)
    assert await callers.of_header(f"Bearer {token}") == caller
    assert await callers.of_token(token) == caller
    assert asked == ["sessions"]
    stopwatch.now += LIVE_SECONDS
    assert await callers.of_token(token) == caller
    assert asked == ["sessions"] * 2


async def test_many_who_come_at_once_are_one_question(
    database: Database, callers: Callers, keys: TokenKeys, asked: list[str]
) -> None:
    everyone = [await signed_in(database, keys) for _ in range(20)]
    found = await asyncio.gather(*(callers.of_token(token) for _, token in everyone))
    assert found == [caller for caller, _ in everyone]
    assert asked == ["sessions"]


async def test_who_gives_up_at_once_keeps_nobody_waiting(
    database: Database, callers: Callers, keys: TokenKeys
) -> None:
    """A client that leaves before its session was asked for must not take others along."""
    (_, left), (staying, token) = [await signed_in(database, keys) for _ in range(2)]
    for turns in range(6):
        leaving = asyncio.create_task(callers.of_token(left))
        for _ in range(turns):
            await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        async with asyncio.timeout(30):
            assert await callers.of_token(token) == staying
        callers._live.clear()


async def test_a_remembered_token_ends_with_its_fifteen_minutes(
    database: Database, callers: Callers, keys: TokenKeys, clock: TestClock
) -> None:
    caller, token = await signed_in(database, keys)
    admitted = await callers.admit_token(token)
    assert admitted.caller == caller
    assert admitted.expires_at == clock.now + timedelta(minutes=15)
    clock.advance(minutes=15, seconds=-1)
    assert await callers.of_token(token) == caller
    clock.advance(seconds=1)
    assert await callers.of_token(token) == ANONYMOUS


async def test_a_log_out_elsewhere_is_seen_when_asked_and_at_the_latest_after_a_while(
    database: Database, callers: Callers, keys: TokenKeys, stopwatch: Stopwatch
) -> None:
    first, second = await signed_in(database, keys), await signed_in(database, keys)
    for caller, token in (first, second):
        assert await callers.of_token(token) == caller
        await revoked(database, caller.session_id)
    await callers.look_for_revocations()
    assert await callers.of_token(first[1]) == ANONYMOUS
    # A process that cannot ask what was revoked still takes nobody's word for long.
    deaf = Callers(database, keys, monotonic=stopwatch)
    caller, token = await signed_in(database, keys)
    assert await deaf.of_token(token) == caller
    await revoked(database, caller.session_id)
    stopwatch.now += LIVE_SECONDS
    assert await deaf.of_token(token) == ANONYMOUS


async def test_revocations_committed_late_are_seen(
    database: Database, callers: Callers, keys: TokenKeys, clock: TestClock
) -> None:
    caller, token = await signed_in(database, keys)
    assert await callers.of_token(token) == caller
    begun: datetime = clock.now
    clock.advance(seconds=90)
    await callers.look_for_revocations()
    async with database.begin(now=begun) as tx:
        await revoke_session(tx, session_id=caller.session_id)
    await callers.look_for_revocations()
    assert await callers.of_token(token) == ANONYMOUS


async def test_a_replayed_refresh_token_ends_access_tokens_too(
    database: Database, callers: Callers, keys: TokenKeys
) -> None:
    async with database.begin() as tx:
        pair = await open_session(tx, kind="member", subject_id=uuid4())
    caller = MemberCaller(pair.subject_id, pair.session_id)
    token = keys.sign(caller, database.clock())
    assert await callers.of_token(token) == caller
    answers: list[object] = []
    for _ in range(2):
        async with database.begin() as tx:
            answers.append(await rotate_session(tx, refresh_token=pair.refresh_token))
    assert answers[1] == ReplayedToken(pair.session_id)
    await callers.look_for_revocations()
    assert await callers.of_token(token) == ANONYMOUS


async def test_a_disabled_staff_account_is_out(
    database: Database, callers: Callers, keys: TokenKeys
) -> None:
    async with database.begin() as tx:
        account = await staff.create_account(
            tx, login="temp", name="Temp", role=Role.SUPPORT, password_hash="x"
        )
        pair = await open_session(tx, kind="staff", subject_id=account.id)
    caller = StaffCaller(account.id, pair.session_id, Role.SUPPORT)
    token = keys.sign(caller, database.clock())
    assert await callers.of_token(token) == caller
    async with database.begin() as tx:
        assert await staff.disable_account(tx, login="temp")
    await callers.look_for_revocations()
    assert await callers.of_token(token) == ANONYMOUS


async def test_partner_keys_are_remembered_and_revoked(
    database: Database, callers: Callers, asked: list[str]
) -> None:
    async with database.begin() as tx:
        key = await staff.create_api_key(tx, name="till", scopes=[Scope.ORDERS_WRITE])
    first = await callers.of_header(f"bearer {key}")
    assert isinstance(first, PartnerCaller)
    assert first.scopes == {Scope.ORDERS_WRITE}
    assert await callers.of_header(f"bearer {key}") == first
    assert asked == ["partner"]
    async with database.begin() as tx:
        assert await staff.revoke_api_key(tx, name="till") == 1
    await callers.look_for_revocations()
    assert await callers.of_header(f"bearer {key}") == ANONYMOUS


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer a.b.c", "Bearer linli_x", "Bearer \ud800"],
)
async def test_whatever_speaks_for_nobody_is_anonymous(
    callers: Callers, header: str | None
) -> None:
    assert await callers.of_header(header) == ANONYMOUS


async def test_watchers_hear_of_the_end_once(
    database: Database, callers: Callers, keys: TokenKeys, clock: TestClock
) -> None:
    caller, token = await signed_in(database, keys)
    other, _ = await signed_in(database, keys)
    admitted = await callers.admit_token(token)
    heard: list[object] = []
    callers.watch(caller, admitted.expires_at, heard.append)
    gone = callers.watch(caller, admitted.expires_at, lambda _: heard.append("gone"))
    callers.watch(other, admitted.expires_at, lambda reason: heard.append(("other", reason)))
    gone()
    assert callers.watched == 2
    await revoked(database, caller.session_id)
    await callers.look_for_revocations()
    await callers.look_for_revocations()
    assert heard == [Ended.REVOKED]
    clock.advance(minutes=15)
    callers.look_for_expiries()
    callers.look_for_expiries()
    assert heard == [Ended.REVOKED, ("other", Ended.EXPIRED)]


async def test_a_watch_that_begins_after_the_end_hears_of_it(
    database: Database, callers: Callers, keys: TokenKeys
) -> None:
    caller, _ = await signed_in(database, keys)
    callers.end(caller.session_id)
    async with asyncio.timeout(30):
        assert await callers.ended(caller, None) is Ended.REVOKED
    assert callers.watched == 0


async def test_one_watcher_that_fails_keeps_no_other_from_hearing(
    database: Database, callers: Callers, keys: TokenKeys
) -> None:
    caller, _ = await signed_in(database, keys)
    heard: list[Ended] = []

    def broken(_: Ended) -> None:
        raise RuntimeError("this socket is broken")

    for told in (broken, heard.append, broken, heard.append):
        callers.watch(caller, None, told)
    callers.end(caller.session_id)
    assert heard == [Ended.REVOKED, Ended.REVOKED]


async def test_a_running_process_finds_out_by_itself(
    database: Database, callers: Callers, keys: TokenKeys
) -> None:
    caller, token = await signed_in(database, keys)
    assert await callers.of_token(token) == caller
    callers.start()
    try:
        await revoked(database, caller.session_id)
        async with asyncio.timeout(60):
            assert await callers.ended(caller, None) is Ended.REVOKED
    finally:
        await callers.stop()
    assert await callers.of_token(token) == ANONYMOUS
