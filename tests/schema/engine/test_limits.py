"""The limits of documents: what is counted, what attacks come to, and what honest clients send."""

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from graphql import GraphQLError, OperationDefinitionNode, get_introspection_query, parse
from graphql import build_schema as schema_of

from schema import build_schema
from schema.engine.limits import LIMITS, Figures, Limits, Measured, measure, parsed, too_dear
from tests.make.examples import FOLDER

SDL = """
interface Thing { id: ID! owner: Owner }
type Owner { id: ID! things(first: Int! = 20): ThingConnection! tags: [Tag!]! usual: [Tag!]! }
type Tag { id: ID! }
type Book implements Thing { id: ID! owner: Owner pages(first: Int, last: Int): PageConnection }
type Lamp implements Thing { id: ID! owner: Owner tags: [Tag!]! }
type Page { id: ID! words: [[Tag]] }
type PageConnection { edges: [PageEdge!]! nodes: [Page!]! pageInfo: PageInfo! }
type PageEdge { node: Page! cursor: String! }
type PageInfo { endCursor: String }
type ThingConnection { edges: [ThingEdge!]! nodes: [Thing!]! pageInfo: PageInfo! }
type ThingEdge { node: Thing! cursor: String! }
union Any = Book | Lamp | Tag
type Query { owner: Owner any: Any thing: Thing list(first: Int): [Tag] name: String }
type Mutation { login(input: Int): Owner redeem(input: Int): Any ping: String }
"""


@pytest.fixture(scope="module")
def schema() -> Any:
    made = schema_of(SDL)
    assert made.mutation_type is not None
    for name in ("login", "redeem"):
        made.mutation_type.fields[name].extensions["strawberry-definition"] = SimpleNamespace(
            metadata={"sensitive": True}
        )
    owner: Any = made.get_type("Owner")
    owner.fields["usual"].extensions["strawberry-definition"] = SimpleNamespace(
        metadata={"size": 3}
    )
    return made


def measured(schema: Any, text: str, limits: Limits = LIMITS) -> Measured:
    return measure(schema, parsed(text, limits), limits)


def codes(schema: Any, text: str, limits: Limits = LIMITS) -> list[str]:
    try:
        found = measured(schema, text, limits).errors
    except GraphQLError as error:
        found = [error]
    return [str((error.extensions or {})["code"]) for error in found]


def figures(schema: Any, text: str) -> Figures:
    found = measured(schema, text)
    assert found.errors == []
    return next(iter(found.operations.values()))


def fragments(kind: str, links: int, spreads: int, body: str) -> str:
    """A bomb: each fragment spreads the next several times."""
    chain = [f"fragment a{at} on {kind} {{ {f'...a{at + 1} ' * spreads} }}" for at in range(links)]
    return " ".join([*chain, f"fragment a{links} on {kind} {{ {body} }}"])


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("{ name }", 1),
        ("{ owner { id } }", 1),
        ("{ owner { tags { id } } }", 1 + 10),
        ("{ owner { usual { id } } }", 1 + 3),
        ("{ owner { things { nodes { id } } } }", 1 + 1 + 20),
        ("{ owner { things(first: 5) { edges { node { id } } } } }", 1 + 1 + 5 * 2),
        (
            "{ owner { things(first: 5) { pageInfo { endCursor } edges { cursor } } } }",
            1 + 1 + 1 + 5,
        ),
        (
            "{ owner { things(first: 5) { nodes { owner { things(first: 7) { nodes { id } } } } } }"
            " }",
            1 + 1 + 5 * (1 + 1 + 1 + 7),
        ),
        ("{ list(first: 4) { id } }", 4),
        ("{ list { id } }", 10),
        ("{ list(first: -4) { id } }", 1),
        ("{ thing { ... on Book { pages(last: 3) { nodes { id } } } } }", 1 + 1 + 3),
        ("{ thing { ... on Book { pages { nodes { words { id } } } } } }", 2 + 10 * (1 + 100)),
        ("{ thing { ... on Book { owner { id } } ... on Lamp { tags { id } } } }", 1 + 10),
        (
            "{ any { ... on Book { owner { id } } ... on Lamp { tags { id } } ... on Tag { id } }"
            " }",
            1 + 10,
        ),
        ("{ thing { owner { id } ... on Book { owner { tags { id } } } } }", 1 + 1 + 11),
        ("{ owner @skip(if: true) { id } }", 1),
        ("mutation { login { id } }", 10),
        ("mutation { login { tags { id } } ping __typename }", 10 + 10 + 10),
        ("{ __schema { types { fields { name } } } }", 1000),
        ("{ __typename }", 1),
    ],
)
def test_the_cost_is_that_of_the_objects_asked_for(schema: Any, text: str, cost: int) -> None:
    assert figures(schema, text).cost() == cost


@pytest.mark.parametrize(
    ("variables", "cost"),
    [
        ({"n": 5}, 2 + 5),
        ({"n": 5.0}, 2 + 5),
        ({}, 2 + 8),
        (None, 2 + 8),
        ({"n": None}, 2 + 20),
        ({"n": "5"}, 2 + 20),
        ({"n": True}, 2 + 20),
        ({"n": float("nan")}, 2 + 20),
        ({"n": float("inf")}, 2 + 20),
        ({"n": [1]}, 2 + 20),
        ({"n": -7}, 2),
        ({"n": 10**400}, 1_000_000_000),
        ({"n": 2**63}, 1_000_000_000),
        ({"other": 3}, 2 + 8),
    ],
)
def test_a_page_size_may_be_a_variable(
    schema: Any, variables: dict[str, Any] | None, cost: int
) -> None:
    text = "query ($n: Int! = 8) { owner { things(first: $n) { nodes { id } } } }"
    assert figures(schema, text).cost(variables) == cost


def test_one_fragment_has_each_operations_own_default(schema: Any) -> None:
    text = """
        query A($n: Int! = 3) { owner { ...few } }
        query B($n: Int! = 4) { owner { ...few } }
        fragment few on Owner { things(first: $n) { nodes { id } } }
    """
    document = parsed(text)
    found = measure(schema, document)
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    assert [found.of(item).cost({}) for item in operations] == [2 + 3, 2 + 4]


def test_nested_variables_multiply_and_stop_at_absurd_sums(schema: Any) -> None:
    nested = "nodes { owner { things(first: $n) { %s } } }"
    text = nested % (nested % "nodes { id }")
    found = figures(schema, f"query ($n: Int!) {{ owner {{ things(first: $n) {{ {text} }} }} }}")
    assert found.cost({"n": 2**62}) == 1_000_000_000
    inner = 1 + 1 + 1 + 100
    assert found.cost({"n": 100}) == 2 + 100 * (1 + 2 + 100 * inner)


@pytest.mark.parametrize("digits", [10, 5_000, 50_000])
def test_a_page_size_of_many_digits_is_refused_at_once(schema: Any, digits: int) -> None:
    text = "{ owner { things(first: %s) { nodes { id } } } }" % ("9" * digits)
    found = measured(schema, text).errors
    assert [error.extensions["code"] for error in found if error.extensions] == ["COST_EXCEEDED"]
    assert found[0].extensions == {
        "code": "COST_EXCEEDED",
        "limit": 25_000,
        "found": 1_000_000_000,
    }


def test_a_cost_by_variables_is_refused_with_both_numbers() -> None:
    assert too_dear(25_000) is None
    error = too_dear(25_001)
    assert error is not None
    assert error.message == "The document asks for 25,001 objects; at most 25,000 are allowed."
    assert error.extensions == {"code": "COST_EXCEEDED", "limit": 25_000, "found": 25_001}


def deep(levels: int) -> str:
    """Owners within owners, `levels` fields deep, costing little."""
    text = "id"
    for at in range(levels - 1):
        text = f"owner {{ {text} }}" if at % 2 else f"thing: any {{ ... on Book {{ {text} }} }}"
    return f"{{ {text} }}"


# At each limit, and one over it.
AT_THE_LIMIT = {
    "TOO_DEEP": (lambda over: deep(12 + over), ()),
    "TOO_MANY_FIELDS": (lambda over: "{ owner { " + "id " * (399 + over) + "} }", ()),
    "TOO_MANY_ALIASES": (
        lambda over: "{ owner { " + " ".join(f"a{at}: id" for at in range(30 + over)) + " } }",
        (),
    ),
    "TOO_MANY_ROOT_FIELDS": (lambda over: "{ " + "name " * (20 + over) + "}", ()),
    "TOO_MANY_OPERATIONS": (
        lambda over: " ".join(f"query a{at} {{ name }}" for at in range(5 + over)),
        (),
    ),
    "TOO_MANY_VARIABLES": (
        lambda over: f"query ({' '.join(f'$a{at}: Int' for at in range(50 + over))}) {{ name }}",
        (),
    ),
    "TOO_MANY_DIRECTIVES": (
        lambda over: (
            "{ "
            + "name @skip(if: false) @include(if: true) " * 12
            + "...f @skip(if: true) } fragment f on Query @skip(if: true) { "
            + "... @include(if: true) { name } " * 24
            + "name @skip(if: true) " * over
            + "}"
        ),
        ("TOO_MANY_ROOT_FIELDS",),
    ),
    "TOO_MANY_SENSITIVE_FIELDS": (
        lambda over: (
            "mutation { a: login { id } ...f "
            + "... { b: redeem { ... on Tag { id } } } " * over
            + "} fragment f on Mutation { redeem { ... on Tag { id } } }"
        ),
        (),
    ),
    "COST_EXCEEDED": (
        lambda over: f"{{ owner {{ things(first: {24_998 + over}) {{ nodes {{ id }} }} }} }}",
        (),
    ),
    "TOO_MANY_TOKENS": (lambda over: "{ name(a: [" + "1 " * (1_991 + over) + "]) }", ()),
    "DOCUMENT_TOO_LONG": (lambda over: "{ name }" + " " * (99_992 + over), ()),
}


@pytest.mark.parametrize("code", AT_THE_LIMIT)
def test_each_limit_lets_its_number_pass_and_not_one_more(schema: Any, code: str) -> None:
    text, besides = AT_THE_LIMIT[code]
    assert set(codes(schema, text(0))) == set(besides)
    assert set(codes(schema, text(1))) == {code, *besides}


def test_limits_can_be_others(schema: Any) -> None:
    assert codes(schema, "{ owner { id } }", Limits(depth=1, fields=1)) == [
        "TOO_DEEP",
        "TOO_MANY_FIELDS",
    ]


def test_fragments_count_as_often_as_they_are_spread(schema: Any) -> None:
    found = figures(
        schema,
        "{ owner { ...f ...f } ...g } fragment f on Owner { a: id tags { id } }"
        " fragment g on Query { owner { ...f } }",
    )
    assert (found.depth, found.fields, found.aliases, found.root_fields) == (3, 11, 3, 2)
    assert found.cost() == 2 + 3 * 10


# The two bombs that stock limiters walk to the end of, and their kin.
BOMBS = {
    "732 bytes": "{ ...a0 } " + fragments("Query", 22, 2, "name"),
    "1.1 KB": "{ owner { ...a0 } } " + fragments("Owner", 30, 2, "id tags { id }"),
    "wide": "{ ...a0 } " + fragments("Query", 12, 40, "owner { id }"),
    "nested": "{ owner { ...a0 } } "
    + " ".join(
        f"fragment a{at} on Owner {{ things(first: 9) {{ nodes {{ owner {{ ...a{at + 1} "
        f"...a{at + 1} }} }} }} }}"
        for at in range(40)
    )
    + " fragment a40 on Owner { id }",
    "by variable": "query ($n: Int!) { owner { ...a0 } } "
    + " ".join(
        f"fragment a{at} on Owner {{ things(first: $n) {{ nodes {{ owner {{ ...a{at + 1} "
        f"...a{at + 1} }} }} }} }}"
        for at in range(40)
    )
    + " fragment a40 on Owner { id }",
    "by type": "{ thing { ...a0 } } "
    + " ".join(
        f"fragment a{at} on Thing {{ ... on Book {{ ...a{at + 1} ...a{at + 1} }} "
        f"... on Lamp {{ ...a{at + 1} ...a{at + 1} }} }}"
        for at in range(30)
    )
    + " fragment a30 on Thing { id }",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_of_fragments_is_refused(schema: Any, name: str) -> None:
    # The test ends: what is exponential in 22 to 40 links would not.
    assert "TOO_MANY_FIELDS" in codes(schema, BOMBS[name])


def test_each_fragment_is_looked_at_once(schema: Any) -> None:
    """Work grows with the text: counted in Python's own calls, not in seconds."""

    def calls(links: int) -> int:
        document = parse("{ ...a0 } " + fragments("Query", links, 2, "name"))
        count = 0

        def note(_frame: Any, event: str, _arg: Any) -> None:
            nonlocal count
            count += event == "call"

        before = sys.getprofile()
        sys.setprofile(note)
        try:
            measure(schema, document)
        finally:
            sys.setprofile(before)
        return count

    short, long = calls(20), calls(80)
    assert short < long < 5 * short


def test_empty_bombs_have_no_fields_and_end(schema: Any) -> None:
    text = "{ ...a0 } " + fragments("Query", 40, 2, "... { }")
    found = figures(schema, text)
    assert found.fields == 0
    assert found.actual({}) == 1


@pytest.mark.parametrize(
    "text",
    [
        "{ ...f } fragment f on Query { name ...f }",
        "{ name } fragment f on Query { owner { ...g } } fragment g on Owner { things { nodes "
        "{ owner { ...h } } } } fragment h on Owner { ...g }",
    ],
)
def test_cycles_are_refused(schema: Any, text: str) -> None:
    assert codes(schema, text) == ["GRAPHQL_VALIDATION_FAILED"]


def test_ten_thousand_aliases_never_get_past_the_parser(schema: Any) -> None:
    text = "{ " + " ".join(f"a{at}: name" for at in range(10_000)) + " }"
    assert codes(schema, text) == ["DOCUMENT_TOO_LONG"]
    shorter = "{ " + " ".join(f"a{at}:name" for at in range(5_000)) + " }"
    assert codes(schema, shorter) == ["TOO_MANY_TOKENS"]
    shortest = "{ " + " ".join(f"a{at}:name" for at in range(600)) + " }"
    assert set(codes(schema, shortest)) == {
        "TOO_MANY_ALIASES",
        "TOO_MANY_FIELDS",
        "TOO_MANY_ROOT_FIELDS",
    }


def nests() -> Iterator[tuple[str, str]]:
    """The deepest texts of each kind that 2,000 tokens allow, and those of 200 levels."""
    for levels in (190, 660):
        yield f"fields {levels}", "{" + "owner{" * levels + "id" + "}" * levels + "}"
        yield f"inline {levels}", "{" + "...{" * levels + "name" + "}" * levels + "}"
        yield f"list {levels}", "{name(a:" + "[" * levels + "]" * levels + ")}"
        yield f"object {levels}", "{name(a:" + "{b:" * levels + "1" + "}" * levels + ")}"
        yield f"type {levels}", "query($a:" + "[" * levels + "Int" + "]" * levels + "){name}"
    chained = " ".join(f"fragment f{at} on Query{{...f{at + 1}}}" for at in range(220))
    yield "chain", "{...f0} " + chained + " fragment f220 on Query{name}"
    inner = "owner{" * 60
    chained = " ".join(
        f"fragment f{at} on Owner{{{inner}...f{at + 1}{'}' * 60}}}" for at in range(9)
    )
    yield "chain of nests", "{owner{...f0}} " + chained + " fragment f9 on Owner{id}"


@pytest.mark.parametrize(("name", "text"), list(nests()))
def test_no_nesting_overflows_the_stack(schema: Any, name: str, text: str) -> None:
    """As deep as the tokens allow, with most of the interpreter's stack already in use."""

    def from_below(frames: int) -> list[str]:
        return from_below(frames - 1) if frames else codes(schema, text)

    found = from_below(120)
    if name in ("list 190", "object 190", "type 190"):
        assert found == []
    else:
        assert found[0] in {"TOO_DEEP", "GRAPHQL_PARSE_FAILED"}


def test_what_the_schema_does_not_know_is_measured_too(schema: Any) -> None:
    text = (
        "{ gone { more { id } ... on Gone { id } ...missing } ...f } fragment f on Gone { a { b } }"
    )
    assert figures(schema, text).cost() == 3
    assert codes(schema, "subscription { a { b } }") == []


def test_introspection_of_standard_clients_passes() -> None:
    schema = build_schema()._schema
    text = get_introspection_query(
        specified_by_url=True,
        directive_is_repeatable=True,
        schema_description=True,
        input_value_deprecation=True,
    )
    assert codes(schema, text) == []
    # What only looks like it does not.
    nested = "fields { type { " * 10 + "name" + " } }" * 10
    assert "TOO_DEEP" in codes(schema, f"{{ __schema {{ types {{ {nested} }} }} }}")
    assert "TOO_DEEP" in codes(schema, "{ me { " + "node: community { " * 12 + "id" + " }" * 14)


@pytest.mark.parametrize("name", sorted(file.name for file in FOLDER.glob("*.graphql")))
def test_every_example_passes(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert codes(build_schema()._schema, text) == []


def test_log_ins_claims_and_redemptions_are_sensitive() -> None:
    mutation = build_schema()._schema.mutation_type
    assert mutation is not None
    marked = {
        name
        for name, field in mutation.fields.items()
        if field.extensions["strawberry-definition"].metadata.get("sensitive")
    }
    assert marked == {
        "loginWithWechat",
        "loginWithPhone",
        "requestPhoneCode",
        "staffLogin",
        "claimDrop",
        "redeemCoupon",
        # What guessing or racing would repeat: codes, proofs of who one is, and scarce goods.
        "acceptInvitation",
        "claimPack",
        "closeMyAccount",
        "connectPhone",
        "connectWechat",
        "holdGift",
        "redeemCode",
        "releaseCoupon",
        "reserveCoupon",
    }
