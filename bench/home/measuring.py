"""Turns of load against servers, and what each turn cost every process taking part."""

import base64
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from app.kernel.embedded import Stores
from bench.home.serving import KEY, Server, processor_seconds

CONNECTIONS = 16


class Failed(Exception):
    """Answers were no homes."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn showed; processor milliseconds a request, latencies in milliseconds."""

    application_ms: float
    postgres_ms: float
    valkey_ms: float
    driver_ms: float
    rate: float
    p50_ms: float
    p99_ms: float
    answer_bytes: float
    requests: int

    @property
    def total_ms(self) -> float:
        """Of all processes that answer."""
        return self.application_ms + self.postgres_ms + self.valkey_ms


@dataclass(frozen=True, slots=True)
class Load:
    """How one turn asks; `hot` draws from so many members, 0 from all."""

    seconds: float
    connections: int = CONNECTIONS
    hot: int = 0


class Driver:
    """The load's process."""

    def __init__(self, sessions: list[tuple[str, str]]) -> None:
        """Start it and let it sign its tokens."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.home.driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        key = base64.b64encode(KEY).decode()
        self._ask({"key": key, "sessions": sessions})

    def turn(self, server: Server, load: Load) -> Any:
        """Load one server. Raises Failed when an answer was none."""
        seen = self._ask(
            {
                "path": server.kind.path,
                "body": server.kind.body,
                "port": server.port,
                **asdict(load),
            }
        )
        if seen["failed"]:
            few = f"{seen['failed']} of {seen['requests']} answers"
            raise Failed(f"{server.kind.name}: {few} were errors\n{seen['sample']}")
        return seen

    def stop(self) -> None:
        """End its input, and so itself."""
        self._process.communicate(timeout=10)

    def _ask(self, given: Any) -> Any:
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        if pipe_in is None or pipe_out is None:
            raise RuntimeError("the driver has no pipes")
        pipe_in.write(json.dumps(given) + "\n")
        pipe_in.flush()
        return json.loads(pipe_out.readline())


def measure(driver: Driver, server: Server, found: Stores, load: Load) -> Turn:
    """One turn, after a short warm-up that is not counted."""
    driver.turn(server, replace(load, seconds=min(0.5, load.seconds / 4)))
    before = _spent(server, found)
    seen = driver.turn(server, load)
    spent = [after - at for after, at in zip(_spent(server, found), before, strict=True)]
    each = [1000 * part / seen["requests"] for part in (*spent, seen["driver_seconds"])]
    return Turn(
        *each,
        rate=seen["requests"] / seen["seconds"],
        p50_ms=1000 * seen["p50"],
        p99_ms=1000 * seen["p99"],
        answer_bytes=seen["bytes"],
        requests=seen["requests"],
    )


def _spent(server: Server, found: Stores) -> tuple[float, float, float]:
    postgres, valkey = found.postgres, found.valkey
    return (
        server.processor_seconds(),
        processor_seconds(postgres.pid) if postgres else 0.0,
        processor_seconds(valkey.pid) if valkey else 0.0,
    )


def middle(turns: Sequence[Turn]) -> Turn:
    """The median of each figure; of the requests the sum."""
    rows = [asdict(turn) for turn in turns]
    values = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    return Turn(**(values | {"requests": sum(turn.requests for turn in turns)}))
