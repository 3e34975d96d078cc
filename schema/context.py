"""What resolvers find in `info.context`: the caller, the database, and batched reads."""

from collections.abc import AsyncGenerator, Callable, Hashable, Iterable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

import strawberry

from app import drops, staff
from app.kernel.auth import ANONYMOUS, Caller, PartnerCaller, StaffCaller, TokenKeys
from app.kernel.config import Settings
from app.kernel.crypto import Vault
from app.kernel.db import Database, Read, Tx
from app.kernel.errors import Locale
from app.kernel.live import Live
from app.kernel.table import Json
from app.wechat import WeChat
from schema.batching import Batches, Query
from schema.edge.callers import Callers

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(slots=True)
class Action:
    """The mutation under way, for the audit log."""

    name: str
    # Its input as the log shows it, made only where it is written.
    shown: Callable[[], Json]
    # What is said instead of the input.
    noted: Json | None = None
    # What it made, where there was nothing before; and figures of what has no one row.
    made: staff.Subject | None = None
    figures: Json | None = None

    @property
    def given(self) -> Json:
        """What the log says it was given."""
        return self.shown() if self.noted is None else self.noted


current_action: ContextVar[Action | None] = ContextVar("current_action", default=None)


def note_made(made: staff.Subject) -> None:
    """Tell the audit log which row the mutation under way has made."""
    action = current_action.get()
    if action is not None:
        action.made = made


def note_figures(given: Json, figures: Json | None = None) -> None:
    """Give the audit log these instead of the input and of a row: of batches and personal data."""
    action = current_action.get()
    if action is not None:
        action.noted, action.figures = given, figures


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
    async def begin(self, *, about: staff.Subject | None = None) -> AsyncGenerator[Tx]:
        """A transaction of this caller: what staff and partners change is audited in it.

        `about` is the row that is going to change: the log keeps how it was and how it became.
        """
        action, actor = current_action.get(), self.actor
        async with self.database.begin() as tx:
            if action is None or actor is None:
                yield tx
                return
            before = None if about is None else await staff.snapshot(tx, about)
            yield tx
            await tx.session.flush()
            row = about or action.made
            now = action.figures if row is None else await staff.snapshot(tx, row)
            member_id = None if row is None else staff.member_in(row, now or before)
            before, after = staff.changed(before, now)
            await staff.audit(
                tx,
                actor=actor,
                action=action.name,
                given=action.given,
                about=row,
                before=before,
                after=after,
                member_id=member_id,
            )

    @property
    def actor(self) -> staff.Actor | None:
        """The caller as the audit log names them; None for those whose actions it does not keep."""
        if isinstance(self.caller, StaffCaller | PartnerCaller):
            return staff.Actor.of(self.caller, self.address, self.request_id)
        return None

    async def note_refusal(self, code: str) -> None:
        """Write down that staff or a partner tried what they may not do; the input is not kept."""
        action, actor = current_action.get(), self.actor
        if action is None or actor is None:
            return
        async with self.database.begin() as tx:
            await staff.audit(
                tx,
                actor=actor,
                action=action.name,
                given={"refused": code},
                outcome=staff.Outcome.REFUSED,
            )

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[Read]:
        """For reads that are no batch; they share round trips with the batches."""
        read = self.batches.reading()
        try:
            yield read
        finally:
            await read.close()

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
