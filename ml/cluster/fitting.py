"""Fitting models to rows that lie on the workers: by sums, or by xgboost's own all-reduce."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml import booster, logistic
from ml.arrays import F32, F64, I64, Bools
from ml.booster import MAX_BIN, PARAMETERS, ROUNDS, WAIT_ROUNDS, WAITS, Booster
from ml.cluster.connecting import await_workers
from ml.cluster.parts import Parts, losses
from ml.errors import NoCluster
from ml.logistic import Logistic

if TYPE_CHECKING:
    from distributed import Client, Future

_TRIES: Final = 4
_SILENCE: Final = 120
"""Seconds that workers which grow trees together wait for one that says nothing."""

_LONGEST: Final = 3_600.0
"""Seconds after which trees that are not grown are given up."""

_LOOKS: Final = 0.5
_GRACE: Final = 3.0
"""Seconds in which workers notice by themselves that one of them is gone."""

Values = "Sequence[Future[F32]]"


def _whole(places: Sequence[I64], held: Sequence[F32]) -> F32:
    every = np.concatenate(held)
    answer = np.empty_like(every)
    answer[np.concatenate(places)] = every
    return answer


def regress_whole(
    places: Sequence[I64], labels: tuple[F64], given: tuple[()], *held: F32
) -> Logistic:
    """The regression of a single machine, on one worker."""
    return logistic.fit(_whole(places, held), *labels, *given)


def boost_whole(
    places: Sequence[I64], labels: tuple[F64], given: tuple[int, int], *held: F32
) -> Booster:
    """The trees of a single machine, on one worker."""
    seed, threads = given
    return booster.fit(_whole(places, held), *labels, seed=seed, threads=threads)


def boost_waits_whole(
    places: Sequence[I64], labels: tuple[F64, Bools], given: tuple[int, int], *held: F32
) -> Booster:
    """The trees for waits of a single machine, on one worker."""
    seed, threads = given
    return booster.fit_waits(_whole(places, held), *labels, seed=seed, threads=threads)


def _chosen(values: F32, own: I64) -> F32:
    return values[own]


@dataclass(frozen=True, eq=False)
class Laid:
    """Rows as they lie on the workers, part by part, with `labels` as xgboost names them."""

    held: "Sequence[Future[F32]]"
    labels: Mapping[str, Sequence[Any]]
    columns: int

    @property
    def sizes(self) -> list[int]:
        """How many rows each part has."""
        return [len(one) for one in next(iter(self.labels.values()))]


@dataclass(frozen=True, eq=False)
class Growth:
    """What shall be grown of rows: xgboost's parameters, and how many rounds."""

    parameters: Mapping[str, Any]
    rounds: int


def regress(
    parts: Parts, held: "Sequence[Future[F32]]", places: Sequence[I64], outcome: F64
) -> Logistic:
    """`ml.logistic.fit` of the same rows by sums over parts: only their rounding differs."""
    stride = logistic.stride_of(len(outcome))
    rows: list[Future[F32]] = []
    own: list[F64] = []
    for values, place in zip(held, places, strict=True):
        chosen = np.flatnonzero(place % stride == 0)
        rows.append(parts.submit(_chosen, values, chosen))
        own.append(outcome[place[chosen]])

    def added(futures: "Sequence[Future[Any]]") -> list[Any]:
        return [sum(column) for column in zip(*parts.gather(futures), strict=True)]

    number, total = added([parts.submit(logistic.totals, part) for part in rows])
    mean = total / np.maximum(number, 1)
    (squared,) = added([parts.submit(_squares, part, mean) for part in rows])
    sd = logistic.deviation(number, squared)
    designs = [parts.submit(logistic.design, part, mean, sd) for part in rows]

    def sums(weight: F64) -> tuple[F64, F64]:
        slope, curve = added(
            [
                parts.submit(logistic.normal, part, silent, weight)
                for part, silent in zip(designs, own, strict=True)
            ]
        )
        return slope, curve

    weight = logistic.newton(sums, len(mean) + 1)
    return Logistic(mean, sd, weight[:-1], float(weight[-1]))


def _squares(values: F32, mean: F64) -> tuple[F64]:
    return (logistic.squares(values, mean),)


def boost(parts: Parts, rows: Laid, *, seed: int) -> Booster:
    """`ml.booster.fit` with the rows, whose label is their outcome, where they are.

    The sketch of the columns and the rows drawn for a tree depend on how they lie on workers, so
    the trees are near those of one machine, not the same.
    """
    return grown(parts, rows, Growth(PARAMETERS | {"seed": seed}, ROUNDS))


def boost_waits(parts: Parts, rows: Laid, *, seed: int) -> Booster:
    """`ml.booster.fit_waits` with the rows where they are; near those of one machine as well."""
    return grown(parts, rows, Growth(PARAMETERS | WAITS | {"seed": seed}, WAIT_ROUNDS))


def bounds(days: Sequence[F64], came: Sequence[Bools]) -> dict[str, Sequence[F64]]:
    """Labels of waits that may not have ended: between how many days each is."""
    longest = [np.where(ended, wait, np.inf) for wait, ended in zip(days, came, strict=True)]
    return {"label_lower_bound": days, "label_upper_bound": longest}


class _Lost(Exception):
    """A worker that trees were growing on has gone."""


def grown(parts: Parts, rows: Laid, growth: Growth) -> Booster:
    """Trees of rows that lie by part.

    Begun anew when a worker dies: what it held is made again, and workers that still wait for it
    are started anew, since xgboost would let them wait for minutes.
    """
    from xgboost.core import XGBoostError

    client = parts.client
    until = time.monotonic() + _LONGEST
    for _ in range(_TRIES):
        await_workers(client)
        parts.wait(rows.held)
        try:
            with client.as_current():
                found: Any = client.sync(_grow, client, rows, growth, until)
            return Booster(found["booster"])
        except TimeoutError as error:
            raise NoCluster(f"Trees did not grow within {_LONGEST / 60:.0f} minutes.") from error
        except (XGBoostError, OSError, RuntimeError, ValueError, _Lost, *losses()):
            # xgboost's workers err in many ways once one of them is gone.
            _free(client)
    raise NoCluster(
        f"Trees could not be grown on the cluster in {_TRIES} tries: its workers keep dying, or "
        "cannot reach each other. See their logs; the command can be repeated."
    )


def _free(client: "Client") -> None:
    """See that no worker still waits for one that is gone."""
    until = time.monotonic() + _GRACE
    busy: list[str] = []
    while time.monotonic() < until:
        with suppress(OSError, ValueError, RuntimeError):
            found: Any = client.run(_works, on_error="ignore")
            busy = [address for address, works in found.items() if works]
            if not busy:
                return
        time.sleep(_LOOKS)
    # Without a nanny nobody can start them anew: xgboost's own patience ends it then.
    with suppress(OSError, ValueError, RuntimeError, TimeoutError):
        client.restart_workers(busy, timeout=_SILENCE, raise_for_error=False)


def _works(dask_worker: Any) -> bool:
    return any("do_train" in key or key.startswith("fn-") for key in _keys(dask_worker))


def _keys(worker: Any) -> list[str]:
    return [str(key) for key in dict(worker.active_threads).values()]


async def _grow(client: "Client", rows: Laid, growth: Growth, until: float) -> Any:
    """One try, given up as soon as a worker is missing: xgboost would wait for it for long."""
    growing = asyncio.ensure_future(_train(client, rows, growth))
    scheduler: Any = client.scheduler
    there = set(await scheduler.ncores())
    try:
        while True:
            done, _ = await asyncio.wait({growing}, timeout=_LOOKS)
            if done:
                return growing.result()
            if there - set(await scheduler.ncores()):
                raise _Lost
            if time.monotonic() > until:
                raise TimeoutError
    finally:
        growing.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await growing


async def _train(client: "Client", rows: Laid, growth: Growth) -> Any:
    import dask.array as da
    from dask import delayed
    from xgboost import dask as spread
    from xgboost.collective import Config

    sizes = rows.sizes
    some = [place for place, size in enumerate(sizes) if size]
    lazily: Any = delayed
    array: Any = da
    values = array.concatenate(
        [
            array.from_delayed(lazily(rows.held[place]), (sizes[place], rows.columns), np.float32)
            for place in some
        ]
    )
    own = {
        name: array.concatenate([array.from_array(parts[place], sizes[place]) for place in some])
        for name, parts in rows.labels.items()
    }
    matrix: Any = spread.DaskQuantileDMatrix(client, values, missing=np.nan, max_bin=MAX_BIN, **own)
    patience = Config(timeout=_SILENCE, tracker_timeout=_SILENCE)
    trained: Any = spread.train(
        client,
        dict(growth.parameters),
        await matrix,
        num_boost_round=growth.rounds,
        coll_cfg=patience,
    )
    return await trained
