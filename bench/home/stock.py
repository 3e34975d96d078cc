"""Linli's own types and resolvers as one would serve them by the book: Strawberry on FastAPI.

No extension, no cache and no plan of ours: a plain schema under `GraphQLRouter`, which parses,
validates and executes every request by graphql-core. Tokens and sessions are checked as Linli does.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import strawberry
from fastapi import FastAPI, Request
from strawberry.fastapi import BaseContext, GraphQLRouter
from strawberry.schema.config import StrawberryConfig

from app.kernel.config import load_settings
from app.main import connect
from schema.build import Mutation, Query, Subscription
from schema.context import Ctx
from schema.scalars import SCALARS

_parts = connect(load_settings())


class _Context(Ctx, BaseContext):
    """Ours; the router takes its own kind only."""


async def _context(request: Request) -> Ctx:
    resources = _parts.resources
    caller = await resources.callers.of_header(request.headers.get("authorization"))
    return _Context(resources, caller)


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncGenerator[None]:
    yield
    await _parts.resources.database.close()
    await _parts.redis.aclose()


schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    config=StrawberryConfig(scalar_map=SCALARS),
)
app = FastAPI(lifespan=_lifespan, openapi_url=None)
app.include_router(
    GraphQLRouter(schema, context_getter=_context, graphql_ide=None), prefix="/graphql"
)
