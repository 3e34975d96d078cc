"""What resolvers find in `info.context`: the caller, the database, and batched reads."""

from collections.abc import AsyncGenerator, Hashable, Iterable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

import strawberry

from app import drops, staff
from app.kernel.auth import ANONYMOUS, Caller, PartnerCaller, StaffCaller, TokenKeys
from app.kernel.config import Settings
from app.kernel.crypto import Vault
from app.kernel.db import Database, Tx
from app.kernel.errors import Locale
from app.kernel.live import Live
from app.kernel.table import Json
from app.wechat import WeChat
from schema.batching import Batches, Query
from schema.edge.callers import Callers

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Action:
    """The mutation under way, for the audit log."""

    name: str
    given: Json


current_action: ContextVar[Action | None] = ContextVar("current_action", default=None)


@dataclass(frozen=True, slots=True)
class Resources:
    """What one process shares among all requests."""

    settings: Settings
    database: Database
    live: Live
    vault: Vault
    tokens: TokenKeys
    wechat: WeChat
    callers: Callers = field(init=False)
    # What waits to be claimed from drops, of all requests.
    claims: drops.Claims = field(init=False)

    def __post_init__(self) -> None:
        """Each process knows its callers by itself, and gathers its own claims."""
        object.__setattr__(self, "claims", drops.Claims(self.database))
        object.__setattr__(self, "callers", Callers(self.database, self.tokens))


@dataclass(slots=True)
class Ctx:
    """One request's (or one socket's) context.

    It holds no session: sibling resolvers run at once, so each batch reads in a transaction of its
    own. Loaders batch and do not remember, so a socket that lives for hours never shows old rows.
    """

    resources: Resources
    caller: Caller = ANONYMOUS
    locale: Locale = "zh-CN"
    request_id: str | None = None
    address: str | None = None
    # Filled in by the socket protocol from connection_init.
    connection_params: Json | None = None
    _batches: Batches | None = None

    @property
    def settings(self) -> Settings:
        """This installation's settings."""
        return self.resources.settings

    @property
    def database(self) -> Database:
        """For reads that are no batch; changes go through `begin`."""
        return self.resources.database

    @property
    def live(self) -> Live:
        """The live topics."""
        return self.resources.live

    @property
    def vault(self) -> Vault:
        """Personal fields' keys."""
        return self.resources.vault

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[Tx]:
        """A transaction of this caller: what staff and partners change is audited in it."""
        async with self.database.begin() as tx:
            yield tx
            action, caller = current_action.get(), self.caller
            if action is not None and isinstance(caller, StaffCaller | PartnerCaller):
                kind = "staff" if isinstance(caller, StaffCaller) else "partner"
                await staff.audit(
                    tx,
                    actor_kind=kind,
                    actor_id=caller.id,
                    action=action.name,
                    given=action.given,
                    address=self.address,
                    request_id=self.request_id,
                )

    @property
    def batches(self) -> Batches:
        """The reads that siblings share."""
        if self._batches is None:
            self._batches = Batches(self.database)
        return self._batches

    def share(self, batches: Batches) -> None:
        """Read together with others who hold the same batches; before the first read."""
        self._batches = batches

    async def one(self, query: Query[K, V], key: K) -> V | None:
        """The query's value for one key, batched with every other key asked for meanwhile."""
        return await self.batches.load(query, key)

    async def many(self, query: Query[K, V], keys: Iterable[K]) -> list[V]:
        """The query's values for several keys, in their order, absent ones left out."""
        asked = list(keys)
        found = await self.batches.found(query, asked)
        return [found[key] for key in asked if key in found]


Info = strawberry.Info[Ctx, None]
