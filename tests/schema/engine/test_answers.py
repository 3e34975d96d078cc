"""Remembered answers: the member's own, never older than their last change, bounded, countable."""

import tracemalloc
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from app.kernel.auth import ANONYMOUS, Caller, MemberCaller, PartnerCaller, StaffCaller
from schema import build_schema
from schema.engine.answers import ENTRY_BYTES, Answers, Question, remembered_fields
from schema.engine.documents import Documents, Operation

SCHEMA = build_schema()._schema
ME = "{ me { nickname } }"


@dataclass(slots=True)
class Watch:
    """The cache's clock, in seconds."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Cache:
    """Answers with their clock and the documents that they are of."""

    watch: Watch = field(default_factory=Watch)
    most_bytes: int = 1 << 20
    seconds: float = 5
    documents: Documents = field(default_factory=lambda: Documents(SCHEMA))
    answers: Answers = field(init=False)

    def __post_init__(self) -> None:
        self.answers = Answers(
            SCHEMA, most_bytes=self.most_bytes, seconds=self.seconds, clock=self.watch
        )

    def operation(self, text: str, name: str | None = None) -> Operation:
        return self.documents.prepare(text, name)

    def ask(
        self,
        caller: Caller,
        text: str = ME,
        variables: dict[str, Any] | None = None,
        locale: Any = "en",
        name: str | None = None,
    ) -> Question | None:
        return self.answers.question(self.operation(text, name), variables, caller, locale)

    def sure(self, caller: Caller, *arguments: Any, **more: Any) -> Question:
        question = self.ask(caller, *arguments, **more)
        assert question is not None
        return question

    def payload(self, question: Question, version: str = "1/7") -> bytes | None:
        found = self.answers.fresh(question, version)
        return None if found is None else found.payload


def member(key: UUID | None = None) -> MemberCaller:
    return MemberCaller(key or uuid4(), uuid4())


def test_an_answer_is_given_again_while_nothing_changed() -> None:
    cache, me = Cache(), member()
    question = cache.sure(me)
    assert cache.payload(question) is None
    cache.answers.keep(question, "1/7", b"{}", flawless=True, requested=9, actual=3)
    # From another of the member's sessions too.
    found = cache.answers.fresh(cache.sure(member(me.id)), "1/7")
    assert found is not None
    assert (found.payload, found.requested, found.actual) == (b"{}", 9, 3)


@pytest.mark.parametrize("version", ["2/15", "0/0", "1/8"])
def test_another_version_forgets_it(version: str) -> None:
    cache, me = Cache(), member()
    cache.answers.keep(cache.sure(me), "1/7", b"{}", flawless=True)
    assert cache.payload(cache.sure(me), version) is None
    assert cache.payload(cache.sure(me)) is None
    assert cache.answers.bytes == len(cache.answers) == 0


def test_it_is_forgotten_by_its_age_since_it_was_asked_for() -> None:
    cache, me = Cache(), member()
    question = cache.sure(me)
    cache.watch.now = 2  # it took two seconds to make
    cache.answers.keep(question, "1/7", b"{}", flawless=True)
    cache.watch.now = 5
    assert cache.payload(cache.sure(me)) == b"{}"
    cache.watch.now = 5.1
    assert cache.payload(cache.sure(me)) is None


def test_callers_languages_operations_and_variables_are_told_apart() -> None:
    cache, me = Cache(), member()
    by_id = "query Q($id: ID!) { member(id: $id) { id } }"
    two = "query A { me { id } } query B { me { id } }"
    questions = [
        cache.sure(me),
        cache.sure(member()),
        cache.sure(me, locale="zh-CN"),
        cache.sure(me, "{ me { id } }"),
        cache.sure(me, two, name="A"),
        cache.sure(me, two, name="B"),
        cache.sure(me, by_id, {"id": "x"}),
        cache.sure(me, by_id, {"id": "y"}),
        cache.sure(me, by_id, {"id": None}),
    ]
    for number, question in enumerate(questions):
        cache.answers.keep(question, "1/7", str(number).encode(), flawless=True)
    found = [cache.payload(question) for question in questions]
    assert found == [str(number).encode() for number in range(len(questions))]


def test_the_order_of_variables_makes_no_difference() -> None:
    cache, me = Cache(), member()
    text = "query Q($a: ID!, $b: ID!) { a: member(id: $a) { id } b: member(id: $b) { id } }"
    cache.answers.keep(cache.sure(me, text, {"a": "1", "b": "2"}), "1/7", b"{}", flawless=True)
    assert cache.payload(cache.sure(me, text, {"b": "2", "a": "1"})) == b"{}"
    assert cache.payload(cache.sure(me, text, {"b": "1", "a": "2"})) is None


@pytest.mark.parametrize(
    "text",
    [
        "{ me { id } serverInfo { time } }",
        "{ drops(first: 1) { nodes { id } } }",
        "query Q($no: Boolean = false) { me { id } serverInfo @include(if: $no) { time } }",
        "{ ...F } fragment F on Query { me { id } ... on Query { serverInfo { time } } }",
        "{ me { id } __schema { queryType { name } } }",
        '{ node(id: "x") { id } }',
        'mutation { checkIn(input: {idempotencyKey: "k"}) { __typename } }',
        "subscription { myUpdates { kind } }",
    ],
)
def test_what_is_no_query_of_remembered_fields_alone_is_not_remembered(text: str) -> None:
    assert Cache().ask(member(), text) is None


def test_what_members_see_of_themselves_is() -> None:
    assert remembered_fields(SCHEMA) == {
        "__typename", "me", "member", "tiers", "ballots", "ballot",
    }  # fmt: skip
    text = "{ ...F ...F __typename } fragment F on Query { mine: me { id } tiers { code } }"
    assert Cache().ask(member(), text) is not None


@pytest.mark.parametrize(
    "caller",
    [ANONYMOUS, PartnerCaller(uuid4(), frozenset())],
)
def test_only_members_answers_are_remembered(caller: Caller, owner: StaffCaller) -> None:
    assert Cache().ask(caller) is None
    assert Cache().ask(owner) is None


@pytest.mark.parametrize(
    "variables", [{"x": "x" * 5_000}, {"x": 2**80}, {"x": "\ud800"}, {"x": object()}]
)
def test_absurd_variables_are_not_remembered(variables: dict[str, Any]) -> None:
    assert Cache().ask(member(), ME, variables) is None


def test_answers_with_errors_are_not_kept() -> None:
    cache, me = Cache(), member()
    cache.answers.keep(cache.sure(me), "1/7", b"{}", flawless=False)
    assert cache.payload(cache.sure(me)) is None


@pytest.mark.parametrize(("most_bytes", "seconds"), [(0, 5), (1 << 20, 0)])
def test_it_is_off_by_either_setting(most_bytes: int, seconds: float) -> None:
    assert Cache(most_bytes=most_bytes, seconds=seconds).ask(member()) is None


def test_nothing_is_remembered_longer_than_changes_are_told() -> None:
    with pytest.raises(ValueError, match="at most"):
        Cache(seconds=301)


def test_a_slow_answer_does_not_take_the_place_of_a_later_one() -> None:
    cache, me = Cache(), member()
    slow = cache.sure(me)
    cache.watch.now = 1
    cache.answers.keep(cache.sure(me), "2/15", b"new", flawless=True)
    cache.answers.keep(slow, "1/7", b"old", flawless=True)
    assert cache.payload(cache.sure(me), "2/15") == b"new"


def test_the_least_lately_asked_for_gives_way() -> None:
    size = ENTRY_BYTES + 100
    cache = Cache(most_bytes=3 * size)
    people = [member() for _ in range(4)]
    for person in people[:3]:
        cache.answers.keep(cache.sure(person), "1/7", b"x" * 100, flawless=True)
    assert cache.payload(cache.sure(people[0])) is not None
    cache.answers.keep(cache.sure(people[3]), "1/7", b"x" * 100, flawless=True)
    kept = [cache.payload(cache.sure(person)) is not None for person in people]
    assert kept == [True, False, True, True]
    assert (len(cache.answers), cache.answers.bytes) == (3, 3 * size)


def test_an_answer_larger_than_the_cache_drives_nothing_out() -> None:
    cache = Cache(most_bytes=2_000)
    small, large = cache.sure(member()), cache.sure(member())
    cache.answers.keep(small, "1/7", b"x", flawless=True)
    cache.answers.keep(large, "1/7", b"x" * 2_000, flawless=True)
    assert cache.payload(large) is None
    assert cache.payload(small) == b"x"


def test_an_entry_takes_no_more_memory_than_is_counted() -> None:
    cache = Cache(most_bytes=1 << 30)
    cache.sure(member())  # whatever is made once
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(2_000):
            payload = orjson.dumps({"data": "x" * 400})
            question = cache.sure(member(), ME, {"n": number})
            cache.answers.keep(question, f"1/{number}", payload, flawless=True)
            del question, payload
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(cache.answers) == 2_000
    assert taken <= cache.answers.bytes


def test_the_figures_are_shown() -> None:
    cache, me = Cache(), member()
    registry = CollectorRegistry()
    registry.register(cache.answers)
    question = cache.sure(me)
    cache.answers.fresh(question, "1/7")
    cache.answers.keep(question, "1/7", b"{}", flawless=True)
    for _ in range(3):
        cache.answers.fresh(question, "1/7")
    shown = generate_latest(registry).decode()
    assert "linli_answer_cache_hits_total 3.0" in shown
    assert "linli_answer_cache_misses_total 1.0" in shown
    assert "linli_answer_cache_entries 1.0" in shown
    assert f"linli_answer_cache_bytes {float(ENTRY_BYTES + 2)}" in shown
