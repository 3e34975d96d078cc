"""Training and scoring on several machines by Dask: each worker has a part of the members.

Features are a member's own, so that parts need nothing of each other; models of buying are fitted
to the same drawn members as on one machine; trees are grown from the same rows, many of them by
xgboost's own all-reduce over the workers. Whoever calls holds the facts: what a worker that died
had is sent again, and the answer is the same. Dask is an extra and imported here alone.
"""

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ml import features, labels
from ml.arrays import F32, F64, I32
from ml.artifact import Artifact
from ml.booster import MAX_BIN, PARAMETERS, ROUNDS, Booster
from ml.cutting import cut
from ml.errors import NoCluster
from ml.expectations import Expectations
from ml.explain import Reason
from ml.facts import Facts
from ml.features import Matrix
from ml.samples import Past, Plan, Rows
from ml.scoring import Scores
from ml.scoring import score as score_here
from ml.training import Progress, train_on

if TYPE_CHECKING:
    from distributed import Client, Future

_PARTS_A_WORKER: Final = 4
_TRIES: Final = 4
SPREAD_FROM: Final = 50_000
"""Rows from which trees are grown on the workers: below, starting them costs more than growing."""

_PATIENCE: Final = 60
"""Seconds to wait for a worker when none is there."""


@contextmanager
def connected(address: str, *, seconds: float = 20) -> "Generator[Client]":
    """A client of the scheduler at an address such as tcp://10.0.0.5:8786.

    Raises NoCluster when Dask is not installed, nobody answers within `seconds`, or no worker
    comes.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise NoCluster(
            "Dask is not installed here: install the extra `linli[dask]` "
            "(requirements/dask.txt) on this machine and on every worker."
        ) from error
    try:
        client = Client(address, timeout=seconds, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise NoCluster(f"No Dask scheduler answers at {address}: {error}") from error
    with client:
        _await_workers(client)
        yield client


def _await_workers(client: "Client") -> None:
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
    except TimeoutError as error:
        raise NoCluster(f"The cluster has had no worker for {_PATIENCE} seconds.") from error


def _losses() -> tuple[type[BaseException], ...]:
    """What is raised where a worker died, or what it held is gone."""
    from concurrent.futures import CancelledError

    from distributed import CancelledError as Gone
    from distributed import KilledWorker
    from distributed.comm import CommClosedError

    return (CancelledError, Gone, KilledWorker, CommClosedError)


class Parts:
    """Facts in parts of consecutive members, each held by some worker."""

    def __init__(self, client: "Client", facts: Facts, *, parts: int | None = None) -> None:
        """Send the facts out; by default four parts a worker."""
        self.client = client
        self.facts = facts.in_order()
        number = parts or _PARTS_A_WORKER * len(client.scheduler_info()["workers"])
        size = max(math.ceil(len(facts.member_ids) / max(number, 1)), 1)
        self.starts = list(range(0, max(len(facts.member_ids), 1), size))
        self._size = size
        self._held: list[Future[Facts]] = []
        self._send()

    def _send(self) -> None:
        """Hand each part to a worker, from the facts that are here."""
        everybody = len(self.facts.member_ids)
        parts = [
            cut(self.facts, np.arange(start, min(start + self._size, everybody)))
            for start in self.starts
        ]
        held: Any = self.client.scatter(parts, hash=False)
        self._held = list(held)

    def split(self, members: I32) -> list[I32]:
        """Codes of the whole, ascending, as codes of each part."""
        ends = np.searchsorted(members, [*self.starts[1:], len(self.facts.member_ids)])
        parts = np.split(members, ends[:-1])
        return [part - start for part, start in zip(parts, self.starts, strict=True)]

    def each(self, work: Callable[..., Any], *given: Any, by_part: Sequence[Any] = ()) -> list[Any]:
        """`work(facts, *given)` of each part, or `work(facts, own, *given)` with `by_part`.

        A part whose worker died is sent to another and worked on there. Raises NoCluster when
        that keeps happening or nobody is left, and whatever the work itself raises.
        """
        for _ in range(_TRIES):
            try:
                futures = [
                    self.client.submit(
                        work, held, *(by_part[place : place + 1]), *given, pure=False
                    )
                    for place, held in enumerate(self._held)
                ]
                done: Any = self.client.gather(futures)
                return list(done)
            except _losses():
                _await_workers(self.client)
                self._send()
        raise NoCluster(f"Workers of the cluster were lost {_TRIES} times.")


class ClusterPast(Past):
    """Samples of the past whose populations and features the workers make."""

    def __init__(self, parts: Parts, plan: Plan) -> None:
        """Of these facts and this plan."""
        super().__init__(parts.facts, plan)
        self._parts = parts
        # One bit a member: the same cutoffs are asked for again and again.
        self._present: dict[int, NDArray[np.uint8]] = {}
        self._rates: dict[int, float] = {}

    def members(self, cutoff: int) -> I32:
        """The population at a cutoff."""
        if cutoff not in self._present:
            self._look(cutoff)
        return np.flatnonzero(np.unpackbits(self._present[cutoff])).astype(np.int32)

    def rate(self, cutoff: int) -> float:
        """The share of the population that fell silent after a cutoff; NaN of nobody."""
        if cutoff not in self._rates:
            self._look(cutoff)
        return self._rates[cutoff]

    def _look(self, cutoff: int) -> None:
        plan, parts = self.plan, self._parts
        found = parts.each(_silent, cutoff, plan.active_days, plan.horizon_days)
        members = _joined([part for part, _ in found], parts.starts)
        present = np.zeros(len(self.facts.member_ids), dtype=np.bool_)
        present[members] = True
        self._present[cutoff] = np.packbits(present)
        silent = sum(number for _, number in found)
        self._rates[cutoff] = silent / len(members) if len(members) else float("nan")

    def boost(self, rows: Rows, *, seed: int = 0, threads: int = 1) -> Booster:
        """Trees of rows, grown by all workers together where there are enough for it to pay."""
        if len(rows.values) < SPREAD_FROM:
            return super().boost(rows, seed=seed, threads=threads)
        return boost(self._parts.client, rows.values, rows.outcome, seed=seed)

    def _matrix(self, at: int, members: I32) -> Matrix:
        found: list[Matrix] = self._parts.each(
            _features,
            at,
            self.expectations(at),
            self.plan.horizon_days,
            by_part=self._parts.split(members),
        )
        values: F32 = np.concatenate([part.values for part in found])
        return Matrix(values, found[0].names, members.astype(np.int32))


def _joined(parts: list[I32], starts: list[int]) -> I32:
    return np.concatenate(
        [part + np.int32(start) for part, start in zip(parts, starts, strict=True)]
    )


def _silent(facts: Facts, cutoff: int, active_days: int, horizon_days: int) -> tuple[I32, float]:
    members = labels.population(facts, cutoff, active_days)
    return members, float(labels.churned(facts, cutoff, horizon_days, members).sum())


def _features(
    facts: Facts, members: I32, at: int, expectations: Expectations, horizon_days: int
) -> Matrix:
    return features.build(facts, at, members, purchases=expectations, horizon_days=horizon_days)


def boost(client: "Client", values: F32, outcome: F64, *, seed: int = 0) -> Booster:
    """`ml.booster.fit` with the rows spread over the workers.

    The sketch of the columns and the rows drawn for a tree depend on how many workers there are,
    so the trees are near those of one machine, not the same. A worker that dies while they grow
    costs a new start.
    """
    import dask.array as da
    from xgboost import dask as spread
    from xgboost.core import XGBoostError

    for _ in range(_TRIES):
        _await_workers(client)
        workers = len(client.scheduler_info()["workers"])
        size = max(math.ceil(len(values) / workers), 1)
        chunks: Any = (size, values.shape[1])
        rows, silent = da.from_array(values, chunks), da.from_array(outcome, chunks[:1])
        try:
            # xgboost looks for the client in force, whatever client it is given.
            with client.as_current():
                matrix = spread.DaskQuantileDMatrix(
                    client, rows, silent, missing=np.nan, max_bin=MAX_BIN
                )
                parameters = PARAMETERS | {"seed": seed}
                grown = spread.train(client, parameters, matrix, num_boost_round=ROUNDS)
        except (XGBoostError, OSError, RuntimeError, *_losses()):
            continue
        return Booster(grown["booster"])
    raise NoCluster(f"Trees could not be grown on the cluster in {_TRIES} tries.")


def train(
    address: str,
    facts: Facts,
    *,
    as_of: int,
    horizon_days: int = 45,
    active_days: int = 180,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> Artifact:
    """`ml.training.train` on the cluster at an address; raises what it raises, and NoCluster."""
    plan = Plan(horizon_days=horizon_days, active_days=active_days, seed=seed)
    with connected(address) as client:
        past = ClusterPast(Parts(client, facts.before(as_of)), plan)
        return train_on(past, as_of=as_of, threads=threads, progress=progress)


def score(
    address: str,
    artifact: Artifact,
    facts: Facts,
    *,
    as_of: int,
    reasons_for: float = 0.2,
    reasons_above: float = 1.0,
) -> Scores:
    """`ml.scoring.score` on the cluster at an address. Raises NoCluster.

    First everybody's probability, then reasons for the riskiest of all parts together.
    """
    with connected(address) as client:
        parts = Parts(client, facts)
        scored: list[Scores] = parts.each(partial(_probabilities, artifact), as_of)
        members = _joined([part.members for part in scored], parts.starts)
        probability: F64 = np.concatenate([part.probability for part in scored])
        riskiest = np.argsort(-probability, kind="stable")
        count = max(
            math.ceil(len(members) * reasons_for), int((probability >= reasons_above).sum())
        )
        chosen = np.sort(riskiest[:count])
        told = parts.each(partial(_reasons, artifact), as_of, by_part=parts.split(members[chosen]))
    reasons: list[list[Reason]] = [[] for _ in range(len(members))]
    for row, reason in zip(chosen, (one for part in told for one in part), strict=True):
        reasons[row] = reason
    days: F64 = np.concatenate([part.next_order_days for part in scored])
    return Scores(members, probability, reasons, days)


def _probabilities(artifact: Artifact, facts: Facts, as_of: int) -> Scores:
    return score_here(artifact, facts, as_of=as_of, reasons_for=0, reasons_above=2.0, threads=1)


def _reasons(artifact: Artifact, facts: Facts, members: I32, as_of: int) -> list[list[Reason]]:
    if not len(members):
        return []
    scored = score_here(artifact, facts, as_of=as_of, members=members, reasons_for=1.0, threads=1)
    return scored.reasons
