"""The members in parts, each read and held by some worker."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.arrays import I32
from ml.cluster.connecting import PATIENCE, await_workers, connected, workers
from ml.errors import ModelError, NoCluster
from ml.facts import Facts

if TYPE_CHECKING:
    from distributed import Client, Future

_TRIES: Final = 4
_LOOKS: Final = 5.0
"""Seconds after which it is looked whether anybody is still there."""


Read = Callable[[Any], Facts]
"""How a worker comes to the facts of a part of the members, from what tells the parts apart.

It is sent to the workers, so it holds no secret and shows none when it is printed: addresses of
databases come from a worker's own environment. Raises NoCluster with words that may be shown.
"""


class Part:
    """The facts of some members where they are held. Printing it shows none of them."""

    def __init__(self, number: int, facts: Facts, as_of: int) -> None:
        """Facts as of an instant, in order."""
        self.number = number
        self.facts = facts
        self.as_of = as_of

    def __repr__(self) -> str:
        """Its number."""
        return f"part {self.number} of members"


@dataclass(frozen=True, eq=False)
class Opened:
    """What a part holds: its members, the first order's instant, and who they are."""

    members: int
    first: int | None


def _read(read: Read, number: int, bounds: Any, as_of: int) -> Part:
    try:
        facts = read(bounds)
    except ModelError:
        raise
    except Exception as error:
        # The original may hold what is no business of the scheduler's: addresses, values.
        raise NoCluster(f"A worker could not read members: {type(error).__name__}.") from None
    return Part(number, facts.before(as_of).in_order(), as_of)


def _look(part: Part) -> Opened:
    at = part.facts.order_at
    return Opened(len(part.facts.member_ids), int(at.min()) if len(at) else None)


class Parts:
    """Facts as of an instant in parts of consecutive members, each held by some worker.

    A part whose worker dies is read again by another: Dask knows how each result was made.
    """

    def __init__(self, client: "Client", read: Read, bounds: Sequence[Any], *, as_of: int) -> None:
        """Let the workers read all members, as `bounds` tells them apart. Raises NoCluster."""
        self.client = client
        self.as_of = as_of
        self.held = [
            self.submit(_read, read, number, own, as_of) for number, own in enumerate(bounds)
        ]
        found: list[Opened] = self.each(_look)
        self.sizes = np.array([part.members for part in found], dtype=np.int64)
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.members = int(self.sizes.sum())
        instants = [part.first for part in found if part.first is not None]
        self.first = min(instants) if instants else None

    def submit(self, work: Callable[..., Any], *given: Any) -> "Future[Any]":
        """The result of some work, to be, on whichever worker has most of what it needs."""
        return self.client.submit(work, *given, pure=False)

    def split(self, members: I32) -> list[I32]:
        """Codes of the whole, ascending, as codes of each part."""
        ends = np.searchsorted(members, self.starts[1:])
        pieces = np.split(members, ends)
        return [
            (piece - start).astype(np.int32)
            for piece, start in zip(pieces, self.starts, strict=True)
        ]

    def each(self, work: Callable[..., Any], *given: Any, by_part: Sequence[Any] = ()) -> list[Any]:
        """`work(part, *given)` of each part, or `work(part, own, *given)` with `by_part`."""
        return self.gather(self.spread(work, *given, by_part=by_part))

    def spread(
        self, work: Callable[..., Any], *given: Any, by_part: Sequence[Any] = ()
    ) -> "list[Future[Any]]":
        """`each`, with the results left where they are made."""
        return [
            self.submit(work, held, *(by_part[place : place + 1]), *given)
            for place, held in enumerate(self.held)
        ]

    def gather(self, futures: "Sequence[Future[Any]]") -> list[Any]:
        """Results, here. Raises NoCluster when workers keep dying or nobody is left, and whatever
        the work itself raises."""
        for _ in range(_TRIES):
            try:
                self.wait(futures)
                found: Any = self.client.gather(list(futures))
                return list(found)
            except losses() as loss:
                if not self._goes_on(loss):
                    raise NoCluster(_KEEP_DYING) from loss
        raise NoCluster(_KEEP_DYING)

    def _goes_on(self, loss: BaseException) -> bool:
        """Whether it helps to ask again: not for work that killed its workers time and again."""
        from distributed import KilledWorker

        await_workers(self.client)
        return not isinstance(loss, KilledWorker)

    def wait(self, futures: "Sequence[Future[Any]]") -> None:
        """Until the results are there, on the workers. Raises NoCluster when nobody is left."""
        from distributed import wait

        seen = time.monotonic()
        while True:
            try:
                # It looks for the client in force.
                with self.client.as_current():
                    wait(list(futures), timeout=_LOOKS)
                return
            except TimeoutError:
                if self.client.status != "running":
                    raise NoCluster("The Dask scheduler has gone.") from None
                if workers(self.client):
                    seen = time.monotonic()
                elif time.monotonic() - seen > PATIENCE:
                    raise NoCluster(
                        f"The cluster has had no worker for {PATIENCE:.0f} seconds."
                    ) from None


_KEEP_DYING: Final = (
    "Workers of the cluster keep dying. Out of memory? See their logs, give them more, or take "
    "more of them; then repeat the command."
)


def losses() -> tuple[type[BaseException], ...]:
    """What is raised where a worker died, or what it held is gone."""
    from concurrent.futures import CancelledError

    from distributed import CancelledError as Gone
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError, FuturesCancelledError
    from distributed.comm import CommClosedError

    return (
        CancelledError,
        Gone,
        FutureCancelledError,
        FuturesCancelledError,
        KilledWorker,
        CommClosedError,
    )


@contextmanager
def opened(address: str, read: Read, bounds: Sequence[Any], *, as_of: int) -> "Generator[Parts]":
    """All members in parts on the workers of a cluster. Raises NoCluster."""
    with connected(address) as client:
        yield Parts(client, read, bounds, as_of=as_of)
