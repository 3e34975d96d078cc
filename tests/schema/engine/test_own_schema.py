"""The engine against graphql-core over our own schema: generated queries on real rows."""

from inspect import isawaitable
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from graphql import OperationType, execute

from app.kernel.auth import ANONYMOUS, Caller, MemberCaller, PartnerCaller, Scope
from app.kernel.db import Database
from schema import build_schema
from schema.engine import Engine, RequestRefused
from schema.engine.documents import Documents
from tests.conftest import Api
from tests.schema.engine.answered_twice import (
    WIDE,
    Tally,
    difference,
    show_errors_as_they_are,
    sweep,
    taken,
)
from tests.schema.engine.own_world import STAFF, Known, a_world
from tests.schema.engine.queries_at_random import Document, Writer

DOCUMENTS = 50
TIMES = 3
PARTNER = PartnerCaller(uuid4(), frozenset(Scope))
# What each is shown; in every fourth document they ask for all there is.
SHOWN = {
    "member": {"me", "drops", "drop", "ballots", "ballot", "tiers", "node", "serverInfo"},
    "staff": {"member", "members", "segments", "churnAlerts", "campaigns", "drops", "ballots"}
    | {"node", "nodes"},
    "partner": {
        "tiers",
        "member",
        "serverInfo",
        "drops",
        "ballots",
        "nodes",
        "node",
        "drop",
        "ballot",
    },
    "anonymous": {"tiers", "serverInfo", "drops", "ballots"},
}
SCALARS: dict[str, Any] = {
    "Fen": lambda rng: rng.randrange(1000),
    "Points": lambda rng: rng.randrange(1000),
    "Date": lambda _: "2026-03-18",
    "DateTime": lambda _: "2026-03-18T12:00:00Z",
    "JSON": lambda _: {},
}


def wide_engine() -> Engine:
    """An engine of our schema that prepares documents beyond the limits."""
    engine = Engine(build_schema().core)
    engine.documents = Documents(build_schema().core, limits=WIDE)
    return engine


def document_at_random(
    engine: Engine, rng: Random, known: Known, roots: set[str] | None
) -> Document | None:
    """A valid query of these root fields, or of any."""
    seed = rng.getrandbits(40)
    for is_careful in (False, True):
        writer = Writer(
            engine.schema,
            Random(seed),
            is_careful=is_careful,
            scalars=SCALARS,
            hints=known.candidates,
            roots=roots,
            unsound=0.005,
            most=60,
        )
        document = writer.document(OperationType.QUERY)
        try:
            engine.documents.prepare(document.text)
        except RequestRefused:
            continue
        return document
    return None


# Where a field fails graphql-core leaves the coroutines of its siblings to the garbage collector.
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("who", ["member", "staff", "partner", "anonymous"])
async def test_queries_are_answered_as_graphql_core_does(
    api: Api, database: Database, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    show_errors_as_they_are(monkeypatch)
    person, known = await a_world(database)
    callers: dict[str, Caller] = {
        "member": MemberCaller(person, uuid4()),
        "staff": STAFF,
        "partner": PARTNER,
        "anonymous": ANONYMOUS,
    }
    engine, tally = wide_engine(), Tally()
    for number in range(DOCUMENTS):
        rng = Random(f"{who}.{number}")
        roots = SHOWN[who] if number % 4 else None
        document = document_at_random(engine, rng, known, roots)
        if document is not None:
            for _ in range(TIMES):
                variables = document.variables(rng)
                await one_case(api, engine, callers[who], document.text, variables, known, tally)
    await sweep()
    assert not tally.failures, "\n\n".join(tally.failures[:5])
    assert tally.cases > DOCUMENTS * TIMES * 0.8
    assert tally.clean > tally.cases * 0.1
    # Nothing that our resolvers answer is beyond the plans.
    assert tally.planned == tally.clean


async def one_case(
    api: Api,
    engine: Engine,
    caller: Caller,
    text: str,
    variables: dict[str, Any],
    known: Known,
    tally: Tally,
) -> None:
    """Answer one request in both ways."""
    operation = engine.documents.prepare(text)
    before = taken()
    answer = await engine.execute(operation, variables, api.context(caller))
    fell = taken() > before
    stock: Any = execute(
        engine.schema,
        operation.document,
        context_value=api.context(caller),
        variable_values=variables,
    )
    if isawaitable(stock):
        stock = await stock
    tally.cases += 1
    tally.clean += not answer.errors
    tally.planned += not answer.errors and not fell
    known.learn(answer.data)
    found = difference(answer, stock)
    if found:
        tally.failures.append(f"{text}\n{variables}\n{found}")
