"""Cursors that no server of ours gave out, and texts that cannot be stored."""

import base64
import json
from uuid import uuid4

import pytest

from app.kernel.auth import MemberCaller, StaffCaller
from tests.conftest import Api
from tests.make.members import member


def forged(*values: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


@pytest.mark.parametrize("field", ["members", "drops", "ballots"])
@pytest.mark.parametrize(
    "instant", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2026-01-01T00:00:00", 5]
)
async def test_a_cursor_of_an_impossible_instant_is_refused(
    api: Api, owner: StaffCaller, field: str, instant: object
) -> None:
    document = f"query ($after: String) {{ {field}(after: $after) {{ nodes {{ id }} }} }}"
    after = forged(instant, str(uuid4()))
    answer = await api(document, {"after": after}, caller=owner)
    assert answer["errors"][0]["extensions"]["code"] == "INVALID_INPUT"


@pytest.mark.parametrize("number", [2**63, -1, 2**70, "nine"])
async def test_a_cursor_of_an_impossible_number_is_refused(api: Api, number: object) -> None:
    async with api.resources.database.begin() as tx:
        person = MemberCaller((await member(tx)).id, uuid4())
    document = """query ($after: String) {
      me { points { entries(after: $after) { nodes { amount } } } } }"""
    answer = await api(document, {"after": forged(number)}, caller=person)
    assert answer["errors"][0]["extensions"]["code"] == "INVALID_INPUT"


@pytest.mark.parametrize("text", ["no such benefit\0", 5, None, ["a"]])
async def test_a_cursor_of_an_impossible_text_is_refused(
    api: Api, owner: StaffCaller, text: object
) -> None:
    document = "query ($after: String) { benefits(after: $after) { nodes { code } } }"
    answer = await api(document, {"after": forged(text)}, caller=owner)
    assert answer["errors"][0]["extensions"]["code"] == "INVALID_INPUT"
