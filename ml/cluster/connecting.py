"""A client of a scheduler whose workers run what runs here, or a sentence on why there is none."""

import logging
import time
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ml.errors import NoCluster

if TYPE_CHECKING:
    from distributed import Client

ANSWERS: Final = 8.0
"""Seconds within which a scheduler answers, or is taken not to be there."""

PATIENCE: Final = 60.0
"""Seconds to wait for a worker when none is there."""

_MOMENT: Final = 1.0

PACKAGES: Final = ("linli", "numpy", "scipy", "xgboost", "xgboost-cpu", "dask", "distributed")
"""What must be the same here and on every worker, besides Python: results depend on it."""


@contextmanager
def connected(address: str, *, seconds: float = ANSWERS) -> "Generator[Client]":
    """A client of the scheduler at an address such as tcp://10.0.0.5:8786.

    Raises NoCluster when Dask is not installed, nobody answers within `seconds`, no worker comes,
    or a worker has other versions than are here.
    """
    try:
        from distributed import Client
        from distributed.versions import VersionMismatchWarning
    except ImportError as error:
        raise NoCluster(
            "Dask is not installed here: install the extra `linli[dask]` "
            "(requirements/dask.txt) on this machine and on every worker."
        ) from error

    class Quiet(Client):
        """Says nothing when it is forgotten: `with` closes it, and what never began needs none."""

        def __del__(self) -> None:
            """Nothing: the loop may be gone by then, and Dask would wait for it and complain."""

    # Its own tries to come back are in its log; who called gets one sentence.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        # Whether versions differ is looked at below, where it is no mere warning.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VersionMismatchWarning)
            client = Quiet(address, timeout=seconds, set_as_default=False)
    except (OSError, TimeoutError, ValueError, TypeError, ImportError) as error:
        raise NoCluster(
            f"No Dask scheduler answers at {address}. Start one with `dask scheduler`, or name "
            "its address as it prints it, such as tcp://10.0.0.5:8786."
        ) from error
    with client:
        await_workers(client)
        _same_versions(client)
        _drop_old_locks(client)
        yield client


def workers(client: "Client") -> list[str]:
    """The addresses of the workers that are there."""
    found: Any = client.nthreads()
    return sorted(found)


def await_workers(client: "Client", seconds: float | None = None) -> None:
    """Wait for a worker. Raises NoCluster when none comes, or the scheduler is gone."""
    patience = PATIENCE if seconds is None else seconds
    try:
        client.wait_for_workers(1, timeout=patience)
    except TimeoutError as error:
        raise NoCluster(f"The cluster has had no worker for {patience:.0f} seconds.") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise NoCluster("The Dask scheduler has gone.") from error


def _same_versions(client: "Client") -> None:
    # Sent by value: a worker without Linli could not find it by name.
    def versions(packages: Sequence[str]) -> dict[str, str]:
        import sys
        from importlib.metadata import PackageNotFoundError, version

        found = {"Python": ".".join(map(str, sys.version_info[:2]))}
        for name in packages:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
        return found

    here = versions(PACKAGES)
    there: Any = client.run(versions, PACKAGES)
    for address, found in sorted(there.items()):
        other = [
            f"{name} {found.get(name, 'missing')} (here {here.get(name, 'missing')})"
            for name in ("Python", *PACKAGES)
            if found.get(name) != here.get(name)
        ]
        if other:
            raise NoCluster(
                f"The worker {address} does not run what runs here: {', '.join(other)}. "
                "Install the same requirements/dask.txt and the same Linli on every machine."
            )


def _drop_old_locks(client: "Client") -> None:
    """Drop what a run that was killed had locked.

    xgboost locks workers while it grows trees on them; the scheduler keeps such a lock when its
    holder dies, and the next run would wait for ever. A lock that lasts while no trees grow is
    nobody's: between taking it and growing there is but a moment.
    """

    def idle(dask_scheduler: Any) -> list[Any]:
        growing = any("fn-" in str(key) for key in dask_scheduler.tasks)
        return [] if growing else list(dask_scheduler.extensions["multi_locks"].requests)

    def drop(old: list[Any], dask_scheduler: Any) -> None:
        held = dask_scheduler.extensions["multi_locks"]
        for one in old:
            if one in held.requests:
                held.release(id=one)

    seen: Any = client.run_on_scheduler(idle)
    if seen:
        time.sleep(_MOMENT)
        again: Any = client.run_on_scheduler(idle)
        client.run_on_scheduler(drop, [one for one in seen if one in again])
