"""Executions side by side, cancelled, failing half-way; plans shared, many and forgotten."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterable
from itertools import product
from typing import Any

import pytest
import strawberry
from graphql import execute
from strawberry.schema.config import StrawberryConfig

from app.kernel.db import Database
from schema import build_schema
from schema.context import Info
from schema.engine import Engine, Operation, documents
from schema.engine.documents import Documents
from schema.engine.running import MOST_VARIANTS
from schema.engine.steps import Step
from schema.fields import loaded
from tests.conftest import Api
from tests.schema.engine.answered_twice import WIDE, sweep, taken
from tests.schema.engine.own_world import STAFF, a_world
from tests.schema.engine.schemas_at_random import context

NAMES = ["a", "b", "c", "d", "e", "f"]
# Variables of conditions for which 2⁶ plans are compiled, and 16 kept.
VARIED = "query ({}) {{ items(count: 2) {{ {} }} }}".format(
    ", ".join(f"${name}: Boolean!" for name in NAMES),
    " ".join(f"{name}: echo(word: {name!r}) @include(if: ${name})" for name in NAMES).replace(
        "'", '"'
    ),
)


class Stage:
    """What the resolvers below wait for, and how it went for them."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun = 0
        self.ended = 0
        self.cancelled = 0

    async def wait(self) -> None:
        self.begun += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.ended += 1


stages: list[Stage] = []


async def _owners(_: Any, keys: Iterable[int]) -> dict[int, int]:
    await stages[-1].wait()
    return {key: key for key in keys}


def _owner(row: int) -> "Owner":
    return Owner(name=f"owner {row}")


@strawberry.type
class Owner:
    name: str


@strawberry.type
class Item:
    number: int
    owner: Owner = loaded(
        _owners, key=lambda it: it.number, make=_owner, description="Loaded.", nullable=False
    )

    @strawberry.field
    async def echo(self, word: str) -> str:
        for _ in range(len(word) + self.number):
            await asyncio.sleep(0)
        return f"{word} {self.number}"

    @strawberry.field
    async def words(self, words: list[str]) -> list[str]:
        await asyncio.sleep(0)
        words.append("own")
        return words

    @strawberry.field
    async def slow(self) -> int:
        await stages[-1].wait()
        return self.number

    @strawberry.field
    async def broken(self) -> int | None:
        await asyncio.sleep(0)
        raise ValueError("broken")

    @strawberry.field
    async def within(self) -> "list[Item]":
        return [Item(number=self.number + 10), Item(number=self.number + 20)]


@strawberry.type
class Query:
    @strawberry.field
    async def items(self, count: int) -> list[Item]:
        await asyncio.sleep(0)
        return [Item(number=number) for number in range(count)]

    @strawberry.field
    async def waits(self, info: Info) -> int:
        await stages[-1].wait()
        return 1


@pytest.fixture
def engine() -> Engine:
    """An engine of the schema above."""
    declared = strawberry.Schema(query=Query, config=StrawberryConfig())
    made = Engine(getattr(declared, "_schema"))  # noqa: B009  # there is no public name
    made.documents = Documents(made.schema, limits=WIDE)
    return made


@pytest.fixture
def stage() -> Stage:
    """What this test's resolvers wait for."""
    stages.append(Stage())
    return stages[-1]


@pytest.fixture
async def alone() -> AsyncIterator[None]:
    """Fails where tasks are left running."""
    before = asyncio.all_tasks()
    yield
    await turns(20)
    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set()


async def turns(count: int) -> None:
    """Let others run."""
    for _ in range(count):
        await asyncio.sleep(0)


WAITING = {
    "a root field": "{ waits }",
    "two root fields": "{ waits other: waits }",
    "a step": "{ items(count: 1) { slow } }",
    "steps of siblings": '{ items(count: 3) { slow again: slow echo(word: "x") } }',
    "a loaded row": "{ items(count: 3) { owner { name } } }",
    "steps below steps": "{ items(count: 2) { within { slow owner { name } } } waits }",
}


@pytest.mark.parametrize("document", WAITING.values(), ids=WAITING.keys())
async def test_cancelling_ends_all_that_was_begun(
    engine: Engine, stage: Stage, alone: None, document: str
) -> None:
    operation = engine.documents.prepare(document)
    running = asyncio.create_task(engine.execute(operation, None, context()))
    await turns(12)
    assert stage.begun > 0
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await turns(5)
    assert stage.cancelled == stage.begun
    stage.go.set()
    answer = await engine.execute(operation, None, context())
    assert not answer.errors


async def test_a_failing_sibling_ends_the_others_and_the_answer_is_right(
    engine: Engine, stage: Stage, alone: None
) -> None:
    document = "{ items(count: 2) { number broken slow owner { name } } }"
    operation = engine.documents.prepare(document)
    before = taken()
    running = asyncio.create_task(engine.execute(operation, None, context()))
    await turns(20)
    # The plan gave up, and what it had begun was ended; graphql-core waits for its own.
    assert taken() == before + 1
    assert stage.cancelled > 0
    stage.go.set()
    answer = await running
    stock: Any = await _stock(engine, operation, {})
    assert answer.data == stock.data
    assert [error.get("path") for error in answer.errors] == [it.path for it in stock.errors]


async def _stock(engine: Engine, operation: Operation, variables: dict[str, Any]) -> Any:
    answer: Any = execute(
        engine.schema, operation.document, context_value=context(), variable_values=variables
    )
    return await answer


async def test_variables_of_executions_side_by_side_are_not_mixed(
    engine: Engine, alone: None
) -> None:
    operation = engine.documents.prepare(
        "query ($word: String!, $count: Int!) { items(count: $count) { number echo(word: $word) "
        'same: echo(word: "same") words(words: ["of", $word]) own: words(words: ["of"]) } }'
    )
    given = [{"word": "x" * (n % 7), "count": n % 4} for n in range(60)]
    answers = await asyncio.gather(
        *(engine.execute(operation, variables, context()) for variables in given)
    )
    for variables, answer in zip(given, answers, strict=True):
        word, count = variables["word"], variables["count"]
        assert answer.data == {
            "items": [
                {
                    "number": number,
                    "echo": f"{word} {number}",
                    "same": f"same {number}",
                    "words": ["of", word, "own"],
                    "own": ["of", "own"],
                }
                for number in range(int(count))
            ]
        }


async def test_plans_go_by_the_conditions_and_more_than_are_kept_work(
    engine: Engine, alone: None
) -> None:
    operation = engine.documents.prepare(VARIED)
    every = [dict(zip(NAMES, chosen, strict=True)) for chosen in product([True, False], repeat=6)]
    assert len(every) > MOST_VARIANTS
    before = taken()
    for _ in range(2):
        answers = await asyncio.gather(
            *(engine.execute(operation, chosen, context()) for chosen in every)
        )
        for chosen, answer in zip(every, answers, strict=True):
            assert not answer.errors
            assert answer.data is not None
            wanted = [name for name in NAMES if chosen[name]]
            assert [list(item) for item in answer.data["items"]] == [wanted, wanted]
    assert len(operation.plans) == MOST_VARIANTS
    assert taken() == before


async def test_documents_and_their_plans_are_forgotten(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "KEPT", 50)
    first = engine.documents.prepare('{ items(count: 1) { echo(word: "first") } }')
    gc.collect()
    before = _alive()
    for number in range(400):
        text = f'{{ items(count: 1) {{ k{number}: echo(word: "{number}") number }} }}'
        answer = await engine.execute(engine.documents.prepare(text), None, context())
        assert answer.data == {"items": [{f"k{number}": f"{number} 0", "number": 0}]}
    gc.collect()
    operations, steps = (now - then for now, then in zip(_alive(), before, strict=True))
    assert operations <= 50
    assert steps <= 2 * 50
    # Whoever holds one that was forgotten can execute it.
    answer = await engine.execute(first, None, context())
    assert answer.data == {"items": [{"echo": "first 0"}]}


def _alive() -> tuple[int, int]:
    found = gc.get_objects()
    operations = sum(type(item) is Operation for item in found)
    return operations, sum(type(item) is Step for item in found)


OWN = """{ members(first: 3) { nodes { id nickname points { balance } community { name }
  coupons(first: 2) { edges { cursor node { id template { name } } } } } }
  drops { edges { node { id title } } } ballots { nodes { id question } } }"""


# graphql-core leaves a root resolver's coroutine behind that is cancelled before its first turn.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
async def test_cancelling_at_any_point_loses_no_connection(
    api: Api, database: Database, alone: None
) -> None:
    await a_world(database)
    engine = Engine(build_schema().core)
    operation = engine.documents.prepare(OWN)
    wanted = await engine.execute(operation, None, api.context(STAFF))
    assert not wanted.errors
    loop, lasted = asyncio.get_running_loop(), 1.0
    for _ in range(3):
        begun = loop.time()
        await engine.execute(operation, None, api.context(STAFF))
        lasted = min(lasted, loop.time() - begun)
    cancelled = count = 0
    # How long one takes differs from run to run, so that some are over before they are cancelled.
    while count < 60 or cancelled <= 20:
        assert count < 1_000, cancelled
        running = asyncio.create_task(engine.execute(operation, None, api.context(STAFF)))
        await turns(count % 60)
        await asyncio.sleep(lasted * (count % 6) / 6)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        cancelled += running.cancelled()
        count += 1
    # More at once than there are connections.
    together = [
        asyncio.create_task(engine.execute(operation, None, api.context(STAFF))) for _ in range(40)
    ]
    await asyncio.sleep(0.005)
    for task in together[::2]:
        task.cancel()
    answers = await asyncio.gather(*together, return_exceptions=True)
    for answer in answers[1::2]:
        assert not isinstance(answer, BaseException)
        assert answer.data == wanted.data
    readers: Any = getattr(database, "_readers")  # noqa: B009  # its own affair elsewhere
    assert readers._free == 20
    assert not readers._waiting
    assert database.engine.pool.status().startswith("Pool size: 20")
    assert (await engine.execute(operation, None, api.context(STAFF))).data == wanted.data
    await sweep()


async def test_conditions_of_another_operation_are_none_of_ones_own(engine: Engine) -> None:
    document = """query A($word: Boolean!) { items(count: 1) { number @include(if: $word) } }
    query B($word: [String!]!) { items(count: 1) { words(words: $word) } }
    query C($word: String!) { items(count: 1) { echo(word: $word) } }"""
    for word in ("a", "b"):
        operation = engine.documents.prepare(document, "B")
        answer = await engine.execute(operation, {"word": [word]}, context())
        assert answer.data == {"items": [{"words": [word, "own"]}]}
        operation = engine.documents.prepare(document, "C")
        answer = await engine.execute(operation, {"word": word}, context())
        assert answer.data == {"items": [{"echo": f"{word} 0"}]}
        # One plan, whatever the values of variables that are no condition.
        assert len(operation.plans) == 1
