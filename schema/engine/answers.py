"""Members' answers, remembered under the version of their facts.

An answer may be given again to the same member while the version that the database shows now is
the one it showed before the answer was made (app/kernel/versions.py): a member sees each change of
their own at once, whatever process made it. What others do and what time brings raises no version;
it may show as late as the age that is allowed. Nothing is shared between callers.

    question = answers.question(operation, variables, ctx.caller, ctx.locale)
    if question is not None:
        version = await version_of(read, member_id)        # first this, or with the first read
        found = answers.fresh(question, version)           # None: make the answer …
        answers.keep(question, version, payload, flawless=not answer.errors)
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLSchema,
    InlineFragmentNode,
    OperationType,
    SelectionSetNode,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

from app.kernel.auth import Caller, MemberCaller
from app.kernel.errors import Locale
from app.kernel.versions import LONGEST_MEMORY
from schema.engine.documents import Operation
from schema.fields import REMEMBERED

# Longer variables are not worth their place.
LONGEST_VARIABLES = 4 * 1024
# What an entry takes besides its payload and variables: key, id, records, its place in the order.
ENTRY_BYTES = 600
# Operations whose nature is known; they are few where documents are kept.
KNOWN_OPERATIONS = 4_096

Key = tuple[UUID, Locale, str, bytes]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked by whom, and since when (by the cache's clock)."""

    key: Key
    asked_at: float


@dataclass(frozen=True, slots=True)
class Remembered:
    """An answer as it was given: its bytes, and its cost as requested and as found."""

    payload: bytes
    version: str
    asked_at: float
    requested: float
    actual: float


class Answers(Collector):
    """The answers one process remembers, the least lately asked for forgotten first."""

    def __init__(
        self,
        schema: GraphQLSchema,
        *,
        most_bytes: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember up to so many bytes for so many seconds; nothing if either is 0.

        Raises ValueError beyond the age for which changes are kept to be told.
        """
        if not 0 <= seconds <= LONGEST_MEMORY.total_seconds():
            raise ValueError(f"answers may be remembered for at most {LONGEST_MEMORY}")
        self._fields = remembered_fields(schema)
        self._most = most_bytes
        self._seconds = seconds
        self._clock = clock
        self._entries: OrderedDict[Key, Remembered] = OrderedDict()
        self._suits: dict[str, bool] = {}
        self.bytes = 0
        self.hits = 0
        self.misses = 0

    def question(
        self,
        operation: Operation,
        variables: Mapping[str, Any] | None,
        caller: Caller,
        locale: Locale,
    ) -> Question | None:
        """What to ask and to keep the answer by, before the version is read.

        None if answers to it are never remembered: of anyone but members, of anything but queries
        of remembered root fields, with absurd variables, or with the cache switched off.
        """
        if not (self._most and self._seconds and isinstance(caller, MemberCaller)):
            return None
        if not self._suitable(operation):
            return None
        try:
            given = orjson.dumps(variables, option=orjson.OPT_SORT_KEYS) if variables else b""
        except TypeError:
            return None
        if len(given) > LONGEST_VARIABLES:
            return None
        return Question((caller.id, locale, operation.key, _compact(given)), self._clock())

    def holds(self, question: Question) -> bool:
        """Whether there is an answer that may be fresh; counts a miss where there is none."""
        found = self._entries.get(question.key)
        if found is not None and self._clock() - found.asked_at <= self._seconds:
            return True
        self.misses += 1
        return False

    def fresh(self, question: Question, version: str) -> Remembered | None:
        """The remembered answer, if it was made at this version and is not too old."""
        found = self._entries.get(question.key)
        if found is not None:
            if found.version == version and self._clock() - found.asked_at <= self._seconds:
                self._entries.move_to_end(question.key)
                self.hits += 1
                return found
            self._drop(question.key)
        self.misses += 1
        return None

    def keep(
        self,
        question: Question,
        version: str,
        payload: bytes,
        *,
        flawless: bool,
        requested: float = 0,
        actual: float = 0,
    ) -> None:
        """Remember an answer made after `version` was read; one with errors is not `flawless`."""
        size = _size(question.key, payload)
        if not flawless or size > self._most:
            return
        earlier = self._entries.get(question.key)
        if earlier is not None:
            if earlier.asked_at > question.asked_at:
                return
            self._drop(question.key)
        self._entries[question.key] = Remembered(
            _compact(payload), version, question.asked_at, requested, actual
        )
        self.bytes += size
        while self.bytes > self._most:
            self._drop(next(iter(self._entries)))

    def __len__(self) -> int:
        """How many answers are remembered."""
        return len(self._entries)

    def collect(self) -> Iterator[Metric]:
        """The cache's figures, for a Prometheus registry."""
        name = "linli_answer_cache"
        yield CounterMetricFamily(f"{name}_hits", "Answers given from memory", self.hits)
        yield CounterMetricFamily(
            f"{name}_misses", "Answers that could have been remembered and were made", self.misses
        )
        yield GaugeMetricFamily(f"{name}_bytes", "Bytes of remembered answers", self.bytes)
        yield GaugeMetricFamily(f"{name}_entries", "Remembered answers", len(self))

    def _drop(self, key: Key) -> None:
        self.bytes -= _size(key, self._entries.pop(key).payload)

    def _suitable(self, operation: Operation) -> bool:
        known = self._suits.get(operation.key)
        if known is None:
            if len(self._suits) >= KNOWN_OPERATIONS:
                self._suits.clear()
            known = self._suits[operation.key] = operation.kind is OperationType.QUERY and (
                _root_names(operation) <= self._fields
            )
        return known


def remembered_fields(schema: GraphQLSchema) -> frozenset[str]:
    """The names of the root query fields that are marked as remembered."""
    names = {"__typename"}
    for name, field in schema.query_type.fields.items() if schema.query_type else ():
        definition = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
        if isinstance(definition, StrawberryField) and definition.metadata.get(REMEMBERED):
            names.add(name)
    return frozenset(names)


def _root_names(operation: Operation) -> set[str]:
    """The root fields that the operation may select, whatever its variables skip."""
    names: set[str] = set()
    spread: set[str] = set()
    open_sets: list[SelectionSetNode] = [operation.definition.selection_set]
    while open_sets:
        for item in open_sets.pop().selections:
            if isinstance(item, FieldNode):
                names.add(item.name.value)
            elif isinstance(item, InlineFragmentNode):
                open_sets.append(item.selection_set)
            elif isinstance(item, FragmentSpreadNode) and item.name.value not in spread:
                spread.add(item.name.value)
                open_sets.append(operation.fragment_definitions[item.name.value].selection_set)
    return names


def _compact(made: bytes) -> bytes:
    """A copy without the spare room that orjson leaves behind, often several times the length."""
    return bytes(memoryview(made))


def _size(key: Key, payload: bytes) -> int:
    return ENTRY_BYTES + len(key[3]) + len(payload)
