"""What a request may hold: texts that can be stored, numbers, lists and nesting in reason."""

from typing import Any

import pytest
from graphql import GraphQLError, build_schema, parse, validate
from hypothesis import given
from hypothesis import strategies as st

from schema.engine.inputs import BadVariable, SoundLiterals, check_variables
from schema.scalars import SCALARS
from tests.conftest import Api

TINY = build_schema("type Query { say(text: String, all: [Int!]): Int }")


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"x": value}
    return value


@pytest.mark.parametrize(
    ("variables", "path", "said"),
    [
        ({"name": "a\0b"}, "$name", "NUL"),
        ({"name": "\ud83d"}, "$name", "surrogate"),
        ({"name": "邻" * 10_001}, "$name", "10000"),
        ({"input": {"orders": [{}, {"no": "\0"}]}}, "$input.orders[1].no", "NUL"),
        ({"ids": [1] * 251}, "$ids", "250"),
        ({"rows": [{}] * 2_001}, "$rows", "2000"),
        ({"n": 2**53 + 1}, "$n", "2^53"),
        ({"n": -(10**400)}, "$n", "2^53"),
        ({"n": float("nan")}, "$n", "2^53"),
        ({"deep": nested(21)}, "$deep" + ".x" * 20, "20 levels"),
        ({"input": {"k" * 201: 1}}, "$input", "nowhere"),
    ],
)
def test_what_nothing_of_ours_takes_is_named(
    variables: dict[str, Any], path: str, said: str
) -> None:
    with pytest.raises(BadVariable) as refused:
        check_variables(variables)
    assert refused.value.extensions == {"code": "BAD_USER_INPUT", "variable": path}
    assert said in refused.value.message


@given(
    st.dictionaries(
        st.text("abc", min_size=1, max_size=5),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**53), 2**53)
            | st.floats(-1e9, 1e9)
            | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
            lambda inner: (
                st.lists(inner, max_size=4) | st.dictionaries(st.text("xyz"), inner, max_size=4)
            ),
            max_leaves=10,
        ),
        max_size=4,
    )
)
def test_whatever_can_be_stored_passes(variables: dict[str, Any]) -> None:
    check_variables(variables)


def test_the_limits_themselves_pass() -> None:
    check_variables(
        {"a": "邻" * 10_000, "b": [1] * 250, "c": [{}] * 2_000, "d": 2**53, "e": nested(20)}
    )


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (r'{ say(text: "a\u0000") }', "NUL"),
        (f'{{ say(text: "{"a" * 10_001}") }}', "10000"),
        (f"{{ say(all: [{'1 ' * 251}]) }}", "250"),
    ],
)
def test_literals_are_held_to_the_same(document: str, said: str) -> None:
    [error] = validate(TINY, parse(document), [SoundLiterals])
    assert said in error.message
    assert not validate(TINY, parse('{ say(text: "苹果", all: [1, 2]) }'), [SoundLiterals])


def parsed(name: str, text: object) -> object:
    parse_value = next(item for item in SCALARS.values() if item.name == name).parse_value
    assert parse_value is not None
    return parse_value(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-18T12:00:00",
        "1999-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "9999-12-31T23:59:59-01:00",
        "2026-W12-3T12:00:00Z",
        "20260318T120000Z",
        "2026-02-30T12:00:00Z",
        "2026-03-18T24:30:00Z",
        "2026-03-18T12:00:00+25:00",
        "2026-03-18 12:00:00Z",
        "٢٠٢٦-03-18T12:00:00Z",
        "2026-03-18T12:00:00Z\n",
        1_767_225_600,
        None,
    ],
)
def test_an_instant_has_an_offset_and_a_year_in_reason(text: object) -> None:
    with pytest.raises(GraphQLError, match="DateTime takes"):
        parsed("DateTime", text)


def test_instants_are_read_to_the_same_instant() -> None:
    one = parsed("DateTime", "2026-03-18T12:00:00.25+08:00")
    assert one == parsed("DateTime", "2026-03-18t04:00:00.25z")
    assert parsed("DateTime", "2026-03-18T12:00+08:00") == parsed("DateTime", "2026-03-18T04:00Z")


@pytest.mark.parametrize("text", ["2026-02-30", "1899-12-31", "2200-01-01", "20260318", "x", 5])
def test_a_day_is_a_day_of_the_calendar(text: object) -> None:
    with pytest.raises(GraphQLError, match="Date takes"):
        parsed("Date", text)


async def test_a_year_out_of_reason_is_the_clients_mistake(api: Api) -> None:
    document = """mutation($input: CreateDropInput!) { createDrop(input: $input) {
      __typename } }"""
    given = {"batchId": "x", "title": "x", "stock": 1, "closesAt": "2026-03-18T12:00:00Z"}
    answer = await api(document, {"input": given | {"opensAt": "0001-01-01T00:00:00Z"}})
    assert "DateTime takes" in answer["errors"][0]["message"]
