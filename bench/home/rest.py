"""REST by hand over the same tables: `GET /home` of seven statements, `GET /floor` of one.

The same endpoint is given twice, as FastAPI's (`fastapi_app`) and as Starlette's (`plain_app`).
Each checks the same token in the same way as Linli does, and that its session still lives.
"""

import os
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import asyncpg
import orjson
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.responses import Response
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from app.kernel.auth import BadToken, MemberCaller, TokenKeys
from app.kernel.config import parse_keys
from bench.home import statements

_KEYS = TokenKeys(parse_keys(os.environ["BENCH_TOKEN_KEYS"]))
_UNAUTHORIZED = 401
_pool: asyncpg.Pool | None = None


async def _keep(connection: asyncpg.Connection) -> None:
    """These endpoints leave nothing behind on a connection, so nothing needs a round trip."""


async def _read_json(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec(
        "jsonb", encoder=orjson.dumps, decoder=orjson.loads, schema="pg_catalog"
    )


@asynccontextmanager
async def _lifespan(_: Any) -> AsyncGenerator[None]:
    global _pool
    size = int(os.environ["BENCH_POOL"])
    async with asyncpg.create_pool(
        os.environ["BENCH_DATABASE_URL"],
        min_size=size,
        max_size=size,
        init=_read_json,
        reset=_keep,
    ) as _pool:
        yield


def _pooled() -> asyncpg.Pool:
    if _pool is None:
        raise RuntimeError("the application has not started")
    return _pool


def _caller(header: str, now: datetime) -> MemberCaller:
    try:
        caller = _KEYS.verify(header.removeprefix("Bearer "), now)
    except BadToken:
        raise HTTPException(_UNAUTHORIZED) from None
    if not isinstance(caller, MemberCaller):
        raise HTTPException(_UNAUTHORIZED)
    return caller


async def _home(header: str) -> bytes:
    now = datetime.now(UTC)
    caller = _caller(header, now)
    async with _pooled().acquire() as sql:
        if not await sql.fetchval(statements.SESSION, caller.session_id, now):
            raise HTTPException(_UNAUTHORIZED)
        member = await sql.fetchrow(statements.MEMBER, caller.id)
        points = await sql.fetchrow(statements.POINTS, caller.id, now)
        entries = await sql.fetch(statements.ENTRIES, caller.id)
        coupons = await sql.fetch(statements.COUPONS, caller.id)
        badges = await sql.fetch(statements.BADGES, caller.id, now)
        ballots = await sql.fetch(statements.BALLOTS, caller.id)
        options = await sql.fetch(statements.OPTIONS, [row["id"] for row in ballots])
    me = {
        "id": member["id"],
        "nickname": member["nickname"],
        "tier": _tier(member),
        "points": {**points, "entries": [dict(row) for row in entries]},
        "coupons": [_coupon(row) for row in coupons],
        "badges": [
            {"code": row["code"], "name": row["name"], "issuedAt": row["issued_at"]}
            for row in badges
        ],
    }
    return orjson.dumps({"me": me, "ballots": _ballots(ballots, options)}, option=orjson.OPT_UTC_Z)


def _tier(row: Any) -> dict[str, Any]:
    benefits = [
        {
            "code": benefit["code"],
            "name": benefit["zh"],
            "quota": benefit["quota"],
            "window": benefit["window"],
        }
        for benefit in row["benefits"]
    ]
    return {"code": row["code"], "name": row["name"], "rank": row["rank"], "benefits": benefits}


def _coupon(row: Any) -> dict[str, Any]:
    template = {
        "id": row["template_id"],
        "name": row["name"],
        "kind": row["kind"],
        "value": row["value"],
        "thresholdFen": row["threshold_fen"],
    }
    return {
        "id": row["id"],
        "code": row["code"],
        "expiresAt": row["expires_at"],
        "template": template,
    }


def _ballots(ballots: list[Any], options: list[Any]) -> list[dict[str, Any]]:
    choices: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in options:
        choices[row["ballot_id"]].append({"id": row["id"], "label": row["label"]})
    return [
        {
            "id": row["id"],
            "question": row["question"],
            "closesAt": row["closes_at"],
            "options": choices[row["id"]],
        }
        for row in ballots
    ]


async def _floor(header: str) -> bytes:
    now = datetime.now(UTC)
    caller = _caller(header, now)
    async with _pooled().acquire() as sql:
        whole = await sql.fetchval(statements.WHOLE, caller.id, now, caller.session_id)
    if whole is None:
        raise HTTPException(_UNAUTHORIZED)
    return whole.encode()


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


fastapi_app = FastAPI(lifespan=_lifespan, openapi_url=None)


async def _bearer(authorization: Annotated[str, Header()]) -> str:
    return authorization


@fastapi_app.get("/home")
async def home(header: Annotated[str, Depends(_bearer)]) -> Response:
    """Seven statements, one after the other on one connection."""
    return _json(await _home(header))


async def _plain_home(request: Request) -> Response:
    return _json(await _home(request.headers["authorization"]))


async def _plain_floor(request: Request) -> Response:
    return _json(await _floor(request.headers["authorization"]))


plain_app = Starlette(
    routes=[Route("/home", _plain_home), Route("/floor", _plain_floor)], lifespan=_lifespan
)
