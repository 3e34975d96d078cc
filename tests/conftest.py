"""Fixtures: an embedded PostgreSQL and Valkey a test process, emptied after each test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from alembic import command
from asyncpg.exceptions import DeadlockDetectedError
from graphql import OperationType
from hypothesis import HealthCheck
from hypothesis import settings as searching
from redis.asyncio import Redis

from app.kernel.auth import (
    ANONYMOUS,
    Caller,
    MemberCaller,
    PartnerCaller,
    Role,
    Scope,
    StaffCaller,
    TokenKeys,
)
from app.kernel.config import Settings
from app.kernel.crypto import Vault
from app.kernel.db import Database
from app.kernel.embedded import PostgresServer, ValkeyServer, start_postgres, start_valkey
from app.kernel.live import Live
from app.metadata import all_tables
from app.wechat import WeChat
from cli.migrating import alembic_config
from schema import Ctx, Resources, build_schema
from schema.engine import Answer, Engine, RequestRefused, refusal_of

# How long an example takes says nothing of it: a busy machine stands still for seconds.
searching.register_profile(
    "whatever the machine does", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
searching.load_profile("whatever the machine does")

# How often the tables are tried to be emptied after a test.
EMPTYINGS = 3
NOON = datetime(2026, 3, 18, 4, 0, tzinfo=UTC)  # a Wednesday, 12:00 in Shanghai


@dataclass(slots=True)
class TestClock:
    """A clock that tests move."""

    __test__ = False
    now: datetime = NOON

    def __call__(self) -> datetime:
        """The instant it stands at."""
        return self.now

    def advance(self, **span: float) -> datetime:
        """Move forward by a timedelta's keywords."""
        self.now += timedelta(**span)
        return self.now


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are told by their place: of what is compressed they hold the second it was made in,
    and all processes of a run must come to the same names.
    """
    return argname if isinstance(val, bytes) else None


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A cluster of this test process; it keeps nothing through a power cut, to be quick."""
    server = start_postgres(tmp_path_factory.mktemp("stores"), durable=False)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A Valkey of this test process."""
    server = start_valkey(tmp_path_factory.mktemp("valkey"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
async def schema_ready(postgres: PostgresServer) -> str:
    """The URL of a database that the migrations have brought to this version's schema."""
    await asyncio.to_thread(command.upgrade, alembic_config(postgres.url), "head")
    return postgres.url


@pytest.fixture
def clock() -> TestClock:
    """Time as the test tells it."""
    return TestClock()


@pytest.fixture(scope="session")
async def session_database(schema_ready: str) -> AsyncIterator[Database]:
    """One pool a test process."""
    # Races of a hundred wait for each other on slow machines, and are no less right for it.
    database = Database(schema_ready, pool_size=20, pool_seconds=120)
    yield database
    await database.close()


@pytest.fixture
async def database(session_database: Database, clock: TestClock) -> AsyncIterator[Database]:
    """The database, at the test's clock, emptied afterwards."""
    session_database.clock = clock
    yield session_database
    for left in reversed(range(EMPTYINGS)):
        try:
            await _empty(session_database)
            break
        except DeadlockDetectedError:
            # A transaction of a process or task that the test killed may be ending just now.
            if not left:
                raise


async def _empty(database: Database) -> None:
    async with database.engine.begin() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.execute(_emptying())


@cache
def _emptying() -> str:
    """All tables in one statement of the driver's: a hundred of SQLAlchemy's cost 50 ms a test."""
    deletes = [f'DELETE FROM "{table.name}"' for table in reversed(all_tables().sorted_tables)]
    return ";".join(["SET LOCAL session_replication_role = replica", *deletes])


@pytest.fixture
async def redis(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    """A client of the test process's Valkey, emptied afterwards."""
    client = Redis.from_url(valkey.url)
    yield client
    await client.flushall()
    await client.aclose()


@pytest.fixture(scope="session")
def settings(
    postgres: PostgresServer, valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """Settings of the test stores, whatever the environment says."""
    return Settings(
        _env_file=None,
        env="test",
        data_dir=tmp_path_factory.mktemp("data"),
        database_url=postgres.url,
        redis_url=valkey.url,
    )


@dataclass(slots=True)
class Api:
    """The schema in this process: `await api(document, {"id": …}, caller=member(id))`."""

    resources: Resources
    # Off where others write meanwhile, so that two runs may differ.
    compares: bool = True

    def context(
        self, caller: Caller = ANONYMOUS, locale: str = "en", address: str | None = None
    ) -> Ctx:
        """A request's context for a caller."""
        return Ctx(resources=self.resources, caller=caller, locale=locale, address=address)  # pyright: ignore[reportArgumentType]

    async def __call__(
        self,
        document: str,
        variables: dict[str, Any] | None = None,
        *,
        caller: Caller = ANONYMOUS,
        locale: str = "en",
        address: str | None = None,
    ) -> dict[str, Any]:
        """Run a query or mutation; answers {"data": …, "errors": […]} as JSON values.

        A query runs twice, by the engine and as stock Strawberry would: both must answer alike.
        """
        context = self.context(caller, locale, address)
        try:
            operation = _engine().documents.prepare(document)
        except RequestRefused as refusal:
            return {"data": None, "errors": refusal_of(refusal.errors, context.locale).errors}
        answer = await _engine().execute(operation, variables, context)
        if self.compares and operation.kind is OperationType.QUERY:
            await self._require_stock_alike(answer, document, variables, context)
        errors: Any = answer.errors
        data = orjson.loads(answer.encode()).get("data")
        return {"data": data, **({"errors": errors} if errors else {})}

    async def _require_stock_alike(
        self, answer: Answer, document: str, variables: dict[str, Any] | None, context: Ctx
    ) -> None:
        given = orjson.loads(answer.encode())
        if any(error.get("extensions", {}).get("code") == "INTERNAL" for error in answer.errors):
            return  # an unexpected error has an id of its own, and is logged once for each run
        stock = await build_schema().execute(
            document, variable_values=variables, context_value=context
        )
        assert given.get("data") == stock.data
        assert [(error["message"], error.get("path")) for error in answer.errors] == [
            (error.message, error.path) for error in stock.errors or []
        ]

    async def subscribe(
        self,
        document: str,
        variables: dict[str, Any] | None = None,
        *,
        caller: Caller = ANONYMOUS,
    ) -> Any:
        """The async iterator of a subscription's results."""
        answer: Any = await build_schema().subscribe(
            document, variable_values=variables, context_value=self.context(caller)
        )
        return answer if hasattr(answer, "__anext__") else _once(answer)


@cache
def _engine() -> Engine:
    return Engine(build_schema().core)


async def _once(refusal: Any) -> AsyncIterator[Any]:
    yield refusal


@pytest.fixture
async def live(database: Database, redis: Redis) -> AsyncIterator[Live]:
    """The live hub of this process, started."""
    hub = Live(database, redis)
    await hub.start()
    yield hub
    await hub.stop()


@pytest.fixture
async def api(database: Database, live: Live, settings: Settings) -> AsyncIterator[Api]:
    """The GraphQL schema over the test's database."""
    wechat = WeChat(settings)
    resources = Resources(
        settings=settings,
        database=database,
        live=live,
        vault=Vault.from_settings(settings),
        tokens=TokenKeys.from_settings(settings),
        wechat=wechat,
    )
    yield Api(resources)
    await resources.claims.drain()
    await wechat.close()


@pytest.fixture
def vault(settings: Settings) -> Vault:
    """The keys of personal fields."""
    return Vault.from_settings(settings)


@pytest.fixture
def as_member() -> Callable[[Any], MemberCaller]:
    """A caller for a member id."""
    return lambda member_id: MemberCaller(member_id, uuid4())


@pytest.fixture
def owner() -> StaffCaller:
    """A staff caller who may do everything."""
    return StaffCaller(uuid4(), uuid4(), Role.OWNER)


@pytest.fixture
def partner() -> PartnerCaller:
    """A partner's caller with every scope."""
    return PartnerCaller(uuid4(), frozenset(Scope))


@pytest.fixture
def relay(database: Database, redis: Redis) -> Callable[[], Awaitable[int]]:
    """Move what waits in the outbox to the live topics, once; answers how many facts moved."""
    from tests.make.relaying import relay_once

    return lambda: relay_once(database, redis)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever lies in tests/flows runs the whole product, and is marked so."""
    for item in items:
        if "flows" in Path(str(item.fspath)).parts:
            item.add_marker(pytest.mark.flow)
