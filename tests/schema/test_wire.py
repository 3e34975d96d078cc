"""GraphQL over HTTP, as clients speak it."""

import httpx2
import pytest

from tests.make.members import community, member
from tests.schema.conftest import Server

WECHAT = """mutation { loginWithWechat(input: {code: "dev-amy"}) {
  __typename ... on MemberSession { session { accessToken } member { id nickname } }
  ... on UserError { code message } } }"""


async def post(server: Server, document: str, **headers: str) -> httpx2.Response:
    async with httpx2.AsyncClient() as client:
        return await client.post(f"{server.url}/graphql", json={"query": document}, headers=headers)


async def test_a_member_signs_in_through_the_fake_wechat(server: Server) -> None:
    async with server.parts.resources.database.begin() as tx:
        await community(tx)
    first = (await post(server, WECHAT)).json()["data"]["loginWithWechat"]
    again = (await post(server, WECHAT)).json()["data"]["loginWithWechat"]
    assert first["__typename"] == "MemberSession"
    assert first["member"] == again["member"]
    token = first["session"]["accessToken"]
    me = await post(server, "{ me { id } }", Authorization=f"Bearer {token}")
    assert me.json()["data"]["me"]["id"] == first["member"]["id"]
    bad = (await post(server, WECHAT.replace("dev-amy", "nonsense"))).json()
    assert bad["data"]["loginWithWechat"]["code"] == "WECHAT_REFUSED"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ tiers { nope } }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ members(first: true) { nodes { id } } }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ node { id } }", "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_mistakes_in_documents_are_shown_with_a_code(
    server: Server, document: str, code: str
) -> None:
    body = (await post(server, document)).json()
    assert body["errors"][0]["extensions"]["code"] == code


async def test_a_signed_out_token_is_nobodys(server: Server) -> None:
    async with server.parts.resources.database.begin() as tx:
        row = await member(tx)
    token = await server.token(row.id)
    bearer = f"Bearer {token}"
    out = await post(
        server,
        "mutation { logout(input: {}) { ... on LogoutSuccess { ended } } }",
        Authorization=bearer,
    )
    assert out.json()["data"]["logout"] == {"ended": True}
    me = (await post(server, "{ me { id } }", Authorization=bearer)).json()
    assert me["errors"][0]["extensions"]["code"] == "NOT_SIGNED_IN"


@pytest.mark.parametrize(
    ("text", "status"), [(r"\u0000", 400), (r"a\\\u0000", 400), (r"C:\\u0000", 200)]
)
async def test_nul_in_variables_is_refused_by_name(server: Server, text: str, status: int) -> None:
    document = "query ($text: ID!) { node(id: $text) { id } }"
    body = f'{{"query": "{document}", "variables": {{"text": "{text}"}}}}'
    async with httpx2.AsyncClient() as client:
        answer = await client.post(
            f"{server.url}/graphql", content=body, headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == status, answer.text
    assert ("NUL" in answer.text) is (status == 400)


async def test_a_subscription_over_post_is_told_where_to_go(server: Server) -> None:
    answer = await post(server, "subscription { myUpdates { kind } }")
    assert answer.status_code == 200
    assert "text/event-stream" in answer.json()["errors"][0]["message"]


async def test_health_readiness_and_metrics(server: Server) -> None:
    async with httpx2.AsyncClient() as client:
        assert (await client.get(f"{server.url}/healthz")).text == "ok"
        ready = (await client.get(f"{server.url}/readyz")).json()
        assert ready == {"ready": True, "database": "ok", "migrations": "ok", "redis": "ok"}
        metrics = (await client.get(f"{server.url}/metrics")).text
        assert "graphql_subscriptions_active 0.0" in metrics
        page = await client.get(f"{server.url}/graphql", headers={"Accept": "text/html"})
        assert "/graphiql/page.js" in page.text
        assert (await client.get(f"{server.url}/graphiql/graphiql.min.js")).status_code == 200
