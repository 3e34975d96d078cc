"""Signing out over a real server: the very next request, and what was remembered of the last."""

import asyncio
from typing import Any

import httpx2

from app.kernel.auth import revoke_sessions_of
from tests.make.members import member
from tests.schema.conftest import Server

ME = "{ me { nickname } }"
OUT = "mutation { logout(input: {everywhere: true}) { __typename } }"


async def ask(client: httpx2.AsyncClient, server: Server, token: str, query: str) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {token}"}
    answer = await client.post(f"{server.url}/graphql", json={"query": query}, headers=headers)
    return answer.json()


async def test_a_log_out_holds_for_the_next_request(server: Server) -> None:
    async with server.parts.resources.database.begin() as tx:
        person = (await member(tx)).id
    first, second = await server.token(person), await server.token(person)
    async with httpx2.AsyncClient() as client:
        for token in (first, second):
            assert (await ask(client, server, token, ME))["data"]["me"]["nickname"] == "李阿姨"
        assert "errors" not in await ask(client, server, first, OUT)
        for token in (first, second):
            [error] = (await ask(client, server, token, ME))["errors"]
            assert error["extensions"]["code"] == "NOT_SIGNED_IN"


async def test_what_another_process_revoked_ends_here_by_itself(server: Server) -> None:
    database = server.parts.resources.database
    async with database.begin() as tx:
        person = (await member(tx)).id
    token = await server.token(person)
    async with httpx2.AsyncClient() as client:
        assert "errors" not in await ask(client, server, token, ME)
        async with database.begin() as tx:
            await revoke_sessions_of(tx, subject_id=person)
        async with asyncio.timeout(60):
            while "errors" not in await ask(client, server, token, ME):
                await asyncio.sleep(0.2)
