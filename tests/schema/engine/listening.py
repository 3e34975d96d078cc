"""Subscribers without sockets: they note what they are sent."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.kernel.auth import Caller
from app.kernel.db import Database
from app.kernel.errors import Locale
from app.kernel.outbox import LiveEvent
from schema.engine import Answer, Engine
from schema.engine.fanout import Fanout, Payload, SubscriptionFailed
from tests.conftest import Api

PATIENCE = 60


@dataclass(eq=False)
class Listener:
    """A sink that keeps everything."""

    payloads: list[Payload] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    finished: bool = False
    leave: Callable[[], None] = lambda: None

    def offer(self, made: Payload, *, replaces: bool) -> None:
        assert not self.finished, "nothing comes after the end"
        assert not self.failed, "nothing comes after the end"
        self.payloads.append(made)

    def fail(self, error: Exception) -> None:
        assert isinstance(error, SubscriptionFailed)
        self.failed += [item.get("extensions", {})["code"] for item in error.errors]

    def finish(self) -> None:
        self.finished = True

    async def room(self) -> None:
        await asyncio.sleep(0)

    @property
    def data(self) -> list[Any]:
        """The data of every answer."""
        answers = [orjson.loads(payload.body) for payload in self.payloads]
        assert not [answer for answer in answers if "errors" in answer], answers
        return [answer["data"] for answer in answers]

    async def until(self, enough: Callable[["Listener"], bool]) -> None:
        """Wait until what was sent is enough."""
        async with asyncio.timeout(PATIENCE):
            while not enough(self):
                await asyncio.sleep(0.005)

    async def has(self, count: int) -> list[Any]:
        """Wait for so many answers."""
        await self.until(lambda listener: len(listener.payloads) >= count)
        return self.data


@dataclass
class Audience:
    """Joins listeners to a fan-out, and takes them out in the end."""

    api: Api
    fanout: Fanout
    engine: Engine
    listeners: list[Listener] = field(default_factory=list)

    async def join(
        self,
        document: str,
        variables: dict[str, Any] | None,
        caller: Caller,
        locale: Locale = "en",
    ) -> Listener:
        listener = Listener()
        operation = self.engine.documents.prepare(document)
        ctx = self.api.context(caller, locale)
        leave = await self.fanout.join(operation, variables, ctx, listener)
        assert not isinstance(leave, Answer), leave
        listener.leave = leave
        self.listeners.append(listener)
        return listener


@asynccontextmanager
async def audience(api: Api) -> AsyncGenerator[Audience]:
    """A fan-out whose listeners all leave in the end, and then leave nothing behind."""
    from schema import build_schema

    engine = Engine(build_schema().core)
    fanout = Fanout(engine, api.resources)
    gathered = Audience(api, fanout, engine)
    try:
        yield gathered
    finally:
        for listener in gathered.listeners:
            listener.leave()
        assert fanout.active == 0
        assert fanout.groups == 0


async def tell(database: Database, topic: str, *numbers: int, kind: str = "t") -> list[int]:
    """Commit facts to the live log, as the relay does; answers their cursors."""
    async with database.begin() as tx:
        rows = [
            LiveEvent(topic=topic, kind=kind, payload={"n": number}, at=tx.now)
            for number in numbers
        ]
        for row in rows:
            tx.session.add(row)
            await tx.session.flush()
        return [row.seq for row in rows]
