"""What a subscription's resolver answers: which topic is followed, and what becomes of its facts.

Two kinds. A *state* stream shows one thing's newest look: whoever joins sees it at once, and what
changes too fast is merged. A *fact* stream tells every fact, each once, in order. Neither runs by
itself: the engine follows a stream once for all the subscriptions whose answers would be the same.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from app.kernel.live import Fact, Listener, Live
from schema.context import Ctx

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

# A state stream's looks come at most five times a second: a pace that people can watch.
PACE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Look(Generic[T_co]):
    """How the thing looks; a greater `place` is newer, and after the `last` nothing changes."""

    event: T_co
    place: int
    last: bool = False


class State(Protocol[T_co]):
    """The thing that a state stream shows; one object for each group of subscribers."""

    def hear(self, fact: Fact) -> None:
        """Take in what a fact says."""

    async def look(self, ctx: Ctx, seq: int) -> Look[T_co]:
        """How the thing looks now; the topic was followed up to the live cursor `seq`.

        Raises a Refusal when there is no such thing.
        """
        ...


class Source(Protocol):
    """Where facts come from: the live hub, or a clock of this process."""

    @property
    def last(self) -> int:
        """The number of the last fact handed out."""
        ...

    def attach(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Tell a listener of every later fact of a topic; answers what detaches it."""
        ...


@dataclass(slots=True, eq=False)
class Stream(Generic[T]):
    """What one subscriber asked to follow.

    `shared` says that events are the same for everyone who may follow the topic; otherwise each
    caller has events of their own.
    """

    ctx: Ctx
    topic: str
    shared: bool

    def __aiter__(self) -> AsyncIterator[T]:
        """Follow it alone, as Strawberry's own executor does."""
        from schema.engine.inbox import alone  # the engine stands on this module

        return alone(self)


@dataclass(slots=True, eq=False)
class StateStream(Stream[T]):
    """A thing's newest look; `seen` is the place of the look that the subscriber had last."""

    state: State[T]
    seen: int | None = None


@dataclass(slots=True, eq=False)
class FactStream(Stream[T]):
    """Every fact of a topic after a cursor (or from now on) that `event` makes something of.

    With `latest_only` a subscriber who is behind wants the newest alone.
    """

    event: Callable[[Ctx, Fact], Awaitable[T | None]]
    after: int | None = None
    source: Source | None = None
    latest_only: bool = False

    def source_in(self, live: Live) -> Source:
        """Where its facts come from: the hub, unless it has a source of its own."""
        return self.source or live
