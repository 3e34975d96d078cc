"""Remembered answers over a real database: whatever wrote, a member sees their own last change."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from graphql import (
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLUnionType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)

from app.kernel.auth import MemberCaller
from app.kernel.config import Settings
from app.kernel.db import Database, asyncpg_url
from app.kernel.versions import version_of
from app.members import Member
from app.metadata import UNVERSIONED
from schema import build_schema
from schema.engine.answers import Answers, remembered_fields
from schema.engine.documents import Documents
from schema.nodes import global_id
from tests.conftest import Api
from tests.make import ballots as make_ballots
from tests.make import members as make_members
from tests.make import points as make_points
from tests.make.scenes import a_full_member
from tests.workers.children import child

SCHEMA = build_schema()._schema
NICKNAME = "{ me { nickname points { balance } } }"
WRITES = 40
READERS = 4


@dataclass(slots=True)
class Remembering:
    """One process that reads by remembered answers; nothing ends them but a change."""

    api: Api
    answers: Answers = field(
        default_factory=lambda: Answers(SCHEMA, most_bytes=1 << 20, seconds=300)
    )
    documents: Documents = field(default_factory=lambda: Documents(SCHEMA))

    async def read(
        self, member_id: UUID, text: str = NICKNAME, locale: Any = "en", **variables: Any
    ) -> dict[str, Any]:
        """The answer's data, from memory if it may be."""
        caller = MemberCaller(member_id, uuid4())
        question = self.answers.question(self.documents.prepare(text), variables, caller, locale)
        assert question is not None
        async with self.api.resources.database.read() as read:
            version = await version_of(read, member_id)
        found = self.answers.fresh(question, version)
        if found is not None:
            return json.loads(found.payload)
        answer = await self.api(text, variables, caller=caller, locale=locale)
        assert "errors" not in answer
        payload = json.dumps(answer["data"]).encode()
        self.answers.keep(question, version, payload, flawless=True)
        return answer["data"]


@pytest.fixture
def remembering(api: Api) -> Remembering:
    return Remembering(api)


@asynccontextmanager
async def psql(database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(asyncpg_url(database.engine.url.render_as_string(False)))
    try:
        yield connection
    finally:
        await connection.close()


async def someone(database: Database) -> UUID:
    async with database.begin() as tx:
        return (await make_members.member(tx, nickname="0")).id


async def test_it_is_remembered_until_the_member_changes(
    database: Database, remembering: Remembering
) -> None:
    one, other = await someone(database), await someone(database)
    for _ in range(3):
        assert (await remembering.read(one))["me"]["nickname"] == "0"
        await remembering.read(other)
    async with psql(database) as hand:
        await hand.execute("UPDATE member SET nickname = 'new' WHERE id = $1", one)
    assert (await remembering.read(one))["me"]["nickname"] == "new"
    assert (await remembering.read(other))["me"]["nickname"] == "0"
    assert (remembering.answers.hits, remembering.answers.misses) == (5, 3)


async def test_each_language_has_its_own(database: Database, remembering: Remembering) -> None:
    person = await a_full_member(database)
    text = "{ me { tier { name } } }"
    names = [(await remembering.read(person, text, locale)) for locale in ("en", "zh-CN") * 2]
    assert names[0] == names[2] != names[1] == names[3]


async def test_a_mutation_shows_in_the_next_answer(
    database: Database, remembering: Remembering
) -> None:
    person = await someone(database)
    assert (await remembering.read(person))["me"]["points"]["balance"] == 0
    done = await remembering.api(
        'mutation { checkIn(input: {idempotencyKey: "k"}) { __typename } }',
        caller=MemberCaller(person, uuid4()),
    )
    assert done["data"]["checkIn"]["__typename"] == "CheckInSuccess"
    assert (await remembering.read(person))["me"]["points"]["balance"] > 0


async def test_a_vote_shows_in_the_next_answer(
    database: Database, remembering: Remembering
) -> None:
    ballot, options, voters = await make_ballots.open_ballot(database)
    text = "query Q($id: ID!) { ballot(id: $id) { myVote { optionId } } }"
    key = global_id("Ballot", ballot)
    assert (await remembering.read(voters[0], text, id=key))["ballot"]["myVote"] is None
    option = global_id("BallotOption", options[0])
    given = {"ballotId": key, "optionId": option, "idempotencyKey": "k"}
    done = await remembering.api(
        "mutation V($input: CastVoteInput!) { castVote(input: $input) { __typename } }",
        {"input": given},
        caller=MemberCaller(voters[0], uuid4()),
    )
    assert done["data"]["castVote"]["__typename"] == "CastVoteSuccess"
    shown = await remembering.read(voters[0], text, id=key)
    assert shown["ballot"]["myVote"] == {"optionId": option}


async def test_a_command_in_another_process_shows_in_the_next_answer(
    database: Database, remembering: Remembering, settings: Settings, tmp_path: Path
) -> None:
    person = await someone(database)
    text = "{ me { segment { stage } } }"
    assert (await remembering.read(person, text))["me"]["segment"] is None
    run = ("segments", "run", "--as-of", "2026-03-19T00:00:00+08:00")
    start = ("-c", "from cli.main import main; main()")
    async with child(settings, tmp_path / "run.log", *start, *run) as command:
        assert await command.process.wait() == 0, command.said()
    assert (await remembering.read(person, text))["me"]["segment"] is not None


@dataclass(slots=True)
class Race:
    """Writers and readers of one member; `acknowledged` is the last nickname that was committed."""

    remembering: Remembering
    person: UUID
    here: Database
    elsewhere: Database
    hand: asyncpg.Connection
    acknowledged: int = 0
    done: bool = False

    async def by_hand(self, nickname: str) -> None:
        """At psql."""
        await self.hand.execute(
            "UPDATE member SET nickname = $2 WHERE id = $1", self.person, nickname
        )

    async def by_savepoint(self, nickname: str) -> None:
        """At psql, inside a transaction in a transaction."""
        async with self.hand.transaction(), self.hand.transaction():
            await self.by_hand(nickname)

    async def by_another_pool(self, nickname: str) -> None:
        """As another process of the product does."""
        async with self.elsewhere.begin() as tx:
            row = await tx.session.get_one(Member, self.person)
            row.nickname = nickname

    async def write(self) -> None:
        """Give the member one name after the other, and read each back."""
        ways = (self.by_hand, self.by_another_pool, self.by_savepoint)
        for number in range(1, WRITES + 1):
            await ways[number % len(ways)](str(number))
            self.acknowledged = number
            for _ in range(2):
                shown = await self.remembering.read(self.person)
                assert shown["me"]["nickname"] == str(number)
        self.done = True

    async def read(self) -> None:
        """See no name that is older than the last one acknowledged before asking."""
        while not self.done:
            at_least = self.acknowledged
            shown = await self.remembering.read(self.person)
            assert int(shown["me"]["nickname"]) >= at_least
            await asyncio.sleep(0.001)

    async def earn(self) -> None:
        """Move points in transactions that stay open across the writer's, and read them back."""
        balance = 0
        while not self.done:
            async with self.here.begin() as tx:
                await make_points.lot(tx, member_id=self.person, amount=1)
                await asyncio.sleep(0.02)
            balance += 1
            shown = await self.remembering.read(self.person)
            assert shown["me"]["points"]["balance"] == balance


async def test_who_wrote_reads_it_whoever_else_writes_and_reads(
    database: Database, remembering: Remembering, schema_ready: str
) -> None:
    elsewhere = Database(schema_ready, pool_size=2)
    try:
        async with psql(database) as hand:
            remembering.api.compares = False
            race = Race(remembering, await someone(database), database, elsewhere, hand)
            async with asyncio.TaskGroup() as tasks:
                for task in (race.write, race.earn, *(READERS * [race.read])):
                    tasks.create_task(task())
    finally:
        await elsewhere.close()
    assert remembering.answers.hits > 0
    assert remembering.answers.misses >= WRITES


def everything(kind: Any, seen: tuple[str, ...] = ()) -> str:
    """A selection of every field below a type that needs no argument, no type inside itself."""
    if is_leaf_type(kind):
        return ""
    parts = ["__typename"]
    if isinstance(kind, GraphQLInterfaceType | GraphQLUnionType):
        parts += [
            f"... on {item.name} {everything(item, seen)}"
            for item in SCHEMA.get_possible_types(kind)
            if item.name not in seen
        ]
    assert isinstance(kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType)
    for name, item in getattr(kind, "fields", {}).items():
        inner = get_named_type(item.type)
        if inner.name in seen or any(is_required_argument(given) for given in item.args.values()):
            continue
        parts.append(f"{name} {everything(inner, (*seen, kind.name))}")
    return "{ " + " ".join(parts) + " }"


def parts_of(kind: Any) -> list[str]:
    """The same field by field."""
    if not isinstance(kind, GraphQLObjectType):
        return [everything(kind)]
    return [
        f"{{ {name} {everything(get_named_type(item.type), (kind.name,))} }}"
        for name, item in kind.fields.items()
        if not any(is_required_argument(given) for given in item.args.values())
    ]


async def test_answers_that_are_remembered_read_no_table_without_versions(
    database: Database, api: Api
) -> None:
    """Every field below the remembered ones, while nobody may read the exempt tables."""
    person = await a_full_member(database)
    ballot, _, voters = await make_ballots.open_ballot(database)
    given = {"member": f'(id: "{global_id("Member", person)}")'}
    given["ballot"] = f'(id: "{global_id("Ballot", ballot)}")'
    root = SCHEMA.query_type
    assert root is not None
    # A document each for every field of what a root answers: one of all would be beyond limits.
    selections = [
        f"{name}{given.get(name, '')} {part}"
        for name in sorted(remembered_fields(SCHEMA) - {"__typename"})
        for part in parts_of(get_named_type(root.fields[name].type))
    ]
    async with psql(database) as hand, hand.transaction(), asyncio.timeout(180):
        await hand.execute(f"LOCK TABLE {', '.join(UNVERSIONED)} IN ACCESS EXCLUSIVE MODE")
        for selection in selections:
            for caller in (person, voters[0]):
                answer = await api(f"{{ {selection} }}", caller=MemberCaller(caller, uuid4()))
                codes = {error["extensions"]["code"] for error in answer.get("errors", [])}
                assert answer["data"] is not None, (answer["errors"], selection)
                assert codes <= {"NOT_ALLOWED"}, answer["errors"]
