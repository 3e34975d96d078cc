"""One operation executed by the engine and by graphql-core, and what differs between the two."""

import asyncio
import gc
import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from inspect import isawaitable
from typing import Any

import orjson
import pytest
from graphql import ExecutionResult, OperationType, execute

from schema.engine import Answer, Engine, Operation, answering
from schema.engine.documents import Documents
from schema.engine.limits import Limits
from schema.engine.running import fallbacks
from tests.schema.engine.schemas_at_random import Made, context, event_of
from tests.schema.engine.values_at_random import Mode, World, current

_ADDRESS = re.compile(r"0x[0-9a-f]{6,}", re.IGNORECASE)
# What the limits refuse is no matter of the engine's answers.
WIDE = Limits(aliases=1_000, directives=1_000, cost=10**9, depth=40, fields=5_000, tokens=20_000)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: a text and its variables."""

    text: str
    variables: dict[str, Any]


@dataclass
class Tally:
    """How many cases there were, and of what kind."""

    cases: int = 0
    # Without any error, and of these those that no plan gave up.
    clean: int = 0
    planned: int = 0
    with_errors: int = 0
    refused: int = 0
    fallen_back: int = 0
    # Without any error, and in a world where nothing but sound values are.
    sound_unplanned: int = 0
    failures: list[str] = field(default_factory=list)


def show_errors_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave errors unmasked, and all of them, so that their messages can be compared."""
    shown: Any = lambda errors, _: [it.formatted for it in errors]  # noqa: E731
    monkeypatch.setattr(answering, "presented_all", shown)


async def sweep() -> None:
    """Let go of what graphql-core leaves behind it, while its warnings are still ours to ignore."""
    for _ in range(50):
        await asyncio.sleep(0)
    gc.collect()


def wide_engine(made: Made) -> Engine:
    """An engine that prepares documents beyond the limits."""
    engine = Engine(made.core)
    engine.documents = Documents(made.core, limits=WIDE)
    return engine


def taken() -> float:
    """How often a plan has given up so far."""
    return next(iter(fallbacks.collect())).samples[0].value


async def compare(
    engine: Engine, made: Made, asked: Asked, world: World, tally: Tally
) -> str | None:
    """What differs between the two answers, or None."""
    operation = engine.documents.prepare(asked.text)
    ours, theirs = (_event(made, operation, world) for _ in range(2))
    if isinstance(ours, _NoEvent):
        return None
    stock_world, engine_world = (World(world.seed, world.mode) for _ in range(2))
    before = taken()
    answer = await _by_engine(engine, operation, asked, engine_world, ours)
    fell = taken() - before
    current.set(stock_world)
    stock: Any = execute(
        made.core,
        operation.document,
        root_value=theirs,
        context_value=context(),
        variable_values=asked.variables,
        max_coercion_errors=answering.MOST_COERCION_ERRORS,
    )
    if isawaitable(stock):
        stock = await stock
    _count(tally, answer, fell + _uncompiled(operation), world.mode)
    return difference(answer, stock) or _deeds(
        operation, answer, engine_world, stock_world, fell=fell > 0
    )


class _NoEvent:
    """Stands for what a stream cannot send."""


def _event(made: Made, operation: Operation, world: World) -> Any:
    if operation.kind is not OperationType.SUBSCRIPTION:
        return None
    try:
        event = event_of(made, _root_field(operation), world.seed, world.mode)
    except Exception:  # a stream that fails has no event
        return _NoEvent()
    return _NoEvent() if isawaitable(event) else event


async def _by_engine(
    engine: Engine, operation: Operation, asked: Asked, world: World, event: Any
) -> Answer:
    current.set(world)
    if operation.kind is OperationType.SUBSCRIPTION:
        return await engine.complete(operation, asked.variables, context(), event)
    return await engine.execute(operation, asked.variables, context())


def _root_field(operation: Operation) -> str:
    (chosen,) = operation.definition.selection_set.selections
    found: Any = chosen
    return found.name.value


def _count(tally: Tally, answer: Answer, fell: float, mode: Mode) -> None:
    tally.cases += 1
    tally.refused += not answer.has_data
    tally.with_errors += bool(answer.errors)
    tally.fallen_back += fell > 0
    if not answer.errors:
        tally.clean += 1
        tally.planned += not fell
        tally.sound_unplanned += fell > 0 and mode is Mode.SOUND


def _uncompiled(operation: Operation) -> int:
    """How many root fields have no plan; a document whose conditions are null has none at all."""
    return sum(
        plan is None
        for plans in operation.plans.values()
        if plans.whole is None
        for key, plan in plans.fields.items()
        if not key.startswith("__")
    )


def _deeds(
    operation: Operation, answer: Answer, engine: World, stock: World, *, fell: bool
) -> str | None:
    """Root resolvers of mutations run once each, in their order; those of queries may run anew."""
    ours, theirs = engine.done, stock.done
    if operation.kind is OperationType.QUERY:
        if answer.data is None:
            return None  # a sibling that fails first keeps others from running at all
        ours = sorted(set(ours) if fell else ours)
        theirs = sorted(set(theirs) if fell else theirs)
    return None if ours == theirs else f"ran {ours} and not {theirs}"


def difference(answer: Answer, stock: ExecutionResult) -> str | None:
    """What the engine answered otherwise than graphql-core, or None."""
    ours, theirs = _text(answer.data), _text(stock.data)
    if ours != theirs:
        return f"data {ours}\n  not {theirs}\n  errors {answer.errors} and {stock.errors}"
    said = [_error(it) for it in answer.errors]
    expected = [_error(it.formatted) for it in stock.errors or []]
    if sorted(said) == sorted(expected):
        return None
    if stock.data is None and answer.has_data and said and expected:
        # Of several root fields that may not be null the first that fails is told, and siblings
        # are not waited for: which it is goes by time.
        fatal = {json.loads(it[1])[0] for it in (*said, *expected) if it[1] != "null"}
        if len(fatal) > 1:
            return None
    return f"errors {said}\n  not {expected}"


def _text(data: Any) -> str:
    return _ADDRESS.sub("0x", json.dumps(data, ensure_ascii=False, default=_shown))


def _shown(value: Any) -> str:
    # The engine leaves instants to its encoder, whose way of writing them is checked here too.
    if isinstance(value, datetime):
        return orjson.loads(orjson.dumps(value, option=orjson.OPT_UTC_Z))
    return repr(value)


def _error(error: Any) -> tuple[str, str, str]:
    message = _ADDRESS.sub("0x", error["message"])
    return message, json.dumps(error.get("path")), json.dumps(error.get("locations"))
