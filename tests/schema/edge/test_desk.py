"""What is asked: its cost, its trust, and members' remembered answers, as the wire shows them."""

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import text

from app.kernel.auth import MemberCaller, open_session
from app.kernel.config import BadSettings
from schema import Resources
from schema.engine import buckets, throttle
from tests.conftest import Api
from tests.make.members import member
from tests.schema.edge.asking import JSON, RESPONSE, TYPENAME, Answered, Asker, asker_with

TRUSTED = "query Trusted { __typename }"
DIGEST = hashlib.sha256(TRUSTED.encode()).hexdigest()
APOLLO = {"persistedQuery": {"version": 1, "sha256Hash": DIGEST}}


@pytest.fixture(scope="module")
def restricted(storeless: Resources, tmp_path_factory: pytest.TempPathFactory) -> Asker:
    """Answers only one document."""
    manifest = tmp_path_factory.mktemp("trusted") / "trusted.json"
    manifest.write_text(json.dumps({DIGEST: TRUSTED}))
    return asker_with(storeless, trusted_documents=manifest)


@pytest.fixture
def standing_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buckets to which no time restores anything, however long a test takes."""
    for module in (buckets, throttle):
        monkeypatch.setattr(module, "monotonic", lambda: 1.0)


def encoded(**given: Any) -> bytes:
    return json.dumps(given).encode()


async def test_answers_say_what_they_cost(asker: Asker) -> None:
    cost = (await asker.ask("{ serverInfo { version } }")).json["extensions"]["cost"]
    assert (cost["requested"], cost["actual"]) == (1, 1)
    assert set(cost["throttle"]) == {"maximum", "available", "restoreRate"}


async def test_what_is_work_and_few_objects_costs_what_it_is(asker: Asker) -> None:
    price = "priceBasket(basket: {lines: []}) { payableFen }"
    cost = (await asker.ask(f"{{ {price} b: {price} }}")).json["extensions"]["cost"]
    assert cost["requested"] == 2 * 250


async def test_a_document_that_fails_gets_nothing_back(asker: Asker) -> None:
    # The error takes everything along, and what it took along was worked for.
    failing = await asker.ask("{ me { coupons(first: 50) { nodes { id } } } }")
    cost = failing.json["extensions"]["cost"]
    assert failing.json["errors"]
    assert failing.json["data"] == {"me": None}
    assert cost["actual"] == cost["requested"] > 50
    refused = await asker.ask(
        "query ($n: Int!) { benefits(first: $n) { nodes { code } } }", {"n": "x"}
    )
    cost = refused.json["extensions"]["cost"]
    assert cost["actual"] == 1, "nothing was worked for a request that was not begun"


@pytest.mark.usefixtures("standing_still")
@pytest.mark.parametrize("media", [JSON, RESPONSE])
async def test_who_asks_for_more_than_is_restored_is_told_when_to_come_again(
    storeless: Resources, media: str
) -> None:
    asker = asker_with(storeless, rate_limit_address_maximum=20, rate_limit_address_restore=1)
    answers = [await asker(TYPENAME, accept=media) for _ in range(40)]
    assert answers[0].status == 200
    last = answers[-1]
    assert (last.status, last.code, last.media) == (429, "THROTTLED", media)
    assert int(last.headers["retry-after"]) >= 1
    assert "data" not in last.json
    assert last.json["extensions"]["cost"]["throttle"]["available"] == 0
    streamed = await asker(TYPENAME, accept="text/event-stream")
    assert (streamed.status, streamed.media) == (429, JSON)


@pytest.mark.parametrize(("media", "status"), [(JSON, 200), (RESPONSE, 400)])
async def test_what_no_bucket_holds_is_a_mistake(
    storeless: Resources, media: str, status: int
) -> None:
    asker = asker_with(storeless, rate_limit_address_maximum=20, rate_limit_address_restore=1)
    answer = await asker.ask("{ __schema { queryType { name } } }", accept=media)
    assert (answer.status, answer.code) == (status, "COST_EXCEEDED")
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize(
    "given",
    [
        {"documentId": f"sha256:{DIGEST}"},
        {"extensions": APOLLO},
        {"documentId": f"sha256:{DIGEST}", "operationName": "Trusted", "query": None},
        {"query": TRUSTED},
        {"query": TRUSTED, "extensions": APOLLO},
    ],
)
async def test_a_trusted_document_is_answered_by_name_or_text(
    restricted: Asker, given: dict[str, Any]
) -> None:
    assert (await restricted(encoded(**given))).data == {"__typename": "Query"}
    flat = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in given.items()
        if value is not None
    }
    by_get = await restricted(method="GET", query_string=urlencode(flat), x_linli_client="1")
    assert by_get.data == {"__typename": "Query"}


@pytest.mark.parametrize(("media", "status"), [(JSON, 200), (RESPONSE, 400)])
@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"query": "{ __typename }"}, "DOCUMENT_NOT_TRUSTED"),
        ({"documentId": "sha256:" + "0" * 64}, "PERSISTED_QUERY_NOT_FOUND"),
        ({"documentId": "nonsense"}, "PERSISTED_QUERY_NOT_FOUND"),
        ({"query": "{ __typename }", "extensions": APOLLO}, "PERSISTED_QUERY_MISMATCH"),
        ({"extensions": {"persistedQuery": {"version": 1}}}, "BAD_REQUEST"),
        ({"extensions": {"persistedQuery": 5}}, "BAD_REQUEST"),
    ],
)
async def test_other_documents_are_refused(
    restricted: Asker, given: dict[str, Any], code: str, media: str, status: int
) -> None:
    answer = await restricted(encoded(**given), accept=media)
    assert (answer.status, answer.code) == (status, code)
    assert len(answer.json["errors"]) == 1


async def test_without_a_manifest_no_document_has_a_name(asker: Asker) -> None:
    answer = await asker(encoded(extensions=APOLLO))
    assert answer.code == "PERSISTED_QUERY_NOT_SUPPORTED"
    with_text = await asker(encoded(query=TRUSTED, extensions=APOLLO))
    assert with_text.data == {"__typename": "Query"}


async def test_a_manifest_that_is_none_stops_the_start(
    storeless: Resources, tmp_path: Path
) -> None:
    with pytest.raises(BadSettings, match="LINLI_TRUSTED_DOCUMENTS"):
        asker_with(storeless, trusted_documents=tmp_path / "missing.json")


async def test_a_members_answer_is_given_again_until_something_changes(api: Api) -> None:
    asker = asker_with(api.resources)
    async with api.resources.database.begin() as tx:
        row = await member(tx)
        pair = await open_session(tx, kind="member", subject_id=row.id)
    token = api.resources.tokens.sign(
        MemberCaller(row.id, pair.session_id), api.resources.database.clock()
    )
    answers = asker.edge.desk._answers

    async def home() -> Answered:
        return await asker.ask("{ me { nickname } }", authorization=f"Bearer {token}")

    first, second = await home(), await home()
    assert (answers.hits, answers.misses) == (1, 1)
    assert first.data == second.data
    assert first.json["extensions"]["cost"]["actual"] == second.json["extensions"]["cost"]["actual"]
    async with api.resources.database.engine.begin() as connection:
        await connection.execute(text("UPDATE member SET nickname = 'Another'"))
    assert (await home()).data == {"me": {"nickname": "Another"}}
    assert (answers.hits, answers.misses) == (1, 2)


@pytest.mark.usefixtures("standing_still")
async def test_mistakes_are_charged_for(storeless: Resources) -> None:
    asker = asker_with(storeless, rate_limit_address_maximum=100, rate_limit_address_restore=1)
    answers = [await asker.ask(f"{{ nope{number} }}") for number in range(60)]
    assert answers[0].code == "GRAPHQL_VALIDATION_FAILED"
    assert (answers[-1].status, answers[-1].code) == (429, "THROTTLED")


async def test_page_sizes_in_variables_count_once_they_are_known(storeless: Resources) -> None:
    asker = asker_with(storeless)
    document = """query Everyone($first: Int!) { members(first: $first) { edges { node {
      coupons(first: $first) { edges { node { id } } }
      points { entries(first: $first) { edges { node { amount } } } }
    } } } }"""
    few = await asker(encoded(query=document, variables={"first": 2}), accept=RESPONSE)
    many = await asker(encoded(query=document, variables={"first": 100}), accept=RESPONSE)
    assert few.code != "COST_EXCEEDED"
    assert (many.status, many.code) == (400, "COST_EXCEEDED")
    assert many.json["errors"][0]["extensions"]["limit"] == 25_000
