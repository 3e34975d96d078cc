"""A member's first request: the session is looked up while the query reads, and nothing leaks."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.kernel.auth import ANONYMOUS, MemberCaller, open_session, revoke_session
from app.kernel.db import Database
from app.tiers import ensure_tiers
from tests.conftest import Api
from tests.make.members import member as a_member
from tests.schema.edge.asking import Asker, asker_with

HOME = (Path(__file__).parents[3] / "bench" / "home" / "home.graphql").read_text()
ME = "{ me { nickname } }"
CHECK_IN = "mutation { checkIn(input: {}) { __typename ... on CheckInSuccess { streak } } }"


class Signed:
    """A member with a live session, as a process sees them that never met them."""

    def __init__(self, api: Api, token: str, caller: MemberCaller) -> None:
        self._api = api
        self.header = f"Bearer {token}"
        self.caller = caller

    def fresh(self, **settings: Any) -> Asker:
        """A process that knows of no session yet."""
        return asker_with(self._api.resources, answer_cache_mb=0, **settings)


@pytest.fixture
async def signed(api: Api, database: Database) -> Signed:
    async with database.begin() as tx:
        await ensure_tiers(tx)
        person = await a_member(tx, nickname="李阿姨")
        pair = await open_session(tx, kind="member", subject_id=person.id)
    caller = MemberCaller(person.id, pair.session_id)
    return Signed(api, api.resources.tokens.sign(caller, database.clock()), caller)


@pytest.fixture
def trips(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that went out through the readers, one entry a round trip."""
    readers: Any = getattr(database, "_readers")  # noqa: B009  # a private part, on purpose
    said: list[str] = []
    fetch = readers.fetch

    async def counted(sql: str, *given: Any) -> Any:
        said.append(sql)
        return await fetch(sql, *given)

    monkeypatch.setattr(readers, "fetch", counted)
    return said


async def revoke(database: Database, session_id: UUID) -> None:
    async with database.begin() as tx:
        assert await revoke_session(tx, session_id=session_id) == [session_id]


async def test_a_whole_home_is_one_round_trip_session_included(
    signed: Signed, trips: list[str]
) -> None:
    asker = signed.fresh()
    answer = await asker.ask(HOME, authorization=signed.header)
    assert answer.data["me"]["nickname"] == "李阿姨"
    assert len(trips) == 1
    assert "login_session" in trips[0]
    # From then on it is known to be live.
    await asker.ask(HOME, authorization=signed.header)
    assert len(trips) == 2
    assert "login_session" not in trips[1]


async def test_an_ended_session_reads_nothing(
    signed: Signed, database: Database, trips: list[str]
) -> None:
    await revoke(database, signed.caller.session_id)
    asker = signed.fresh()
    for _ in range(2):
        answer = await asker.ask(ME, authorization=signed.header)
        assert answer.code == "NOT_SIGNED_IN"
        assert "李阿姨" not in answer.body.decode()
    # The second time it is known, and the member's row is not even read.
    assert sum("nickname" in sql for sql in trips) == 1


async def test_what_an_ended_sessions_member_would_be_refused_is_not_told(
    signed: Signed, database: Database
) -> None:
    await revoke(database, signed.caller.session_id)
    asker = signed.fresh(rate_limit_maximum=100, rate_limit_restore=1)
    answer = await asker.ask(HOME, authorization=signed.header)
    assert (answer.status, answer.code) == (200, "NOT_SIGNED_IN")


async def test_a_query_that_reads_nothing_still_asks_for_the_session(
    signed: Signed, database: Database
) -> None:
    asker = signed.fresh()
    assert (await asker.ask("{ __typename }", authorization=signed.header)).data
    known = getattr(asker.edge.resources.callers, "_live")  # noqa: B009
    assert signed.caller.session_id in known


async def test_a_mutation_waits_for_the_look_up(signed: Signed, database: Database) -> None:
    await revoke(database, signed.caller.session_id)
    answer = await signed.fresh().ask(CHECK_IN, authorization=signed.header)
    assert answer.data == {"checkIn": {"__typename": "NotSignedIn"}}


async def test_a_session_that_ends_meanwhile_is_ended(signed: Signed, database: Database) -> None:
    asker = signed.fresh()
    callers = asker.edge.resources.callers
    admission, doubt = await callers.presume(signed.header)
    assert admission.caller == signed.caller
    assert doubt is not None
    doubt.told(found=True)
    callers.end(signed.caller.session_id)
    assert (await callers.settle(doubt)).caller != signed.caller


async def test_a_doubt_that_is_never_settled_is_no_second_one(
    signed: Signed, database: Database
) -> None:
    await revoke(database, signed.caller.session_id)
    asker = signed.fresh()
    callers = asker.edge.resources.callers
    for _ in range(3):
        # Refused before anything is read: nothing settles what was presumed.
        refused = await asker.ask("{ nope }", authorization=signed.header)
        assert refused.code == "GRAPHQL_VALIDATION_FAILED"
    admission, doubt = await callers.presume(signed.header)
    assert (admission.caller, doubt) == (ANONYMOUS, None)
