"""Claims by group commit beside `{ __typename }`, one transaction a claim, and a floor by hand.

`python -m bench.claims` makes a durable PostgreSQL, a Valkey and members with open sessions in a
folder that is thrown away, starts `linli serve`, the same server with plain claims and the same
with an end point by hand before the same group commit, and loads them in turn, round after round,
from a process of its own. Every request is another member's, by a token that the server has seen
before; all ways are asked by the same members.

Each drop has less stock than there are claims. After each turn the rows are counted: exactly the
stock given, one a member, each acknowledged claim with its coupon and its key.
"""

import argparse
import asyncio
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.kernel.embedded import Stores, stores
from bench import processes
from bench.claims.neighbourhood import new_drop, settle, stored
from bench.home.serving import (
    KEY,
    Kind,
    Server,
    processor_seconds,
    python,
    start,
    uvicorn,
)
from schema.nodes import global_id

TYPENAME = json.dumps({"query": "{ __typename }"})
CLAIM = """mutation ($id: ID!, $key: String!) {
  claimDrop(input: { dropId: $id, idempotencyKey: $key }) {
    __typename ... on ClaimDropSuccess { claim { claimedAt } } ... on UserError { code message }
  }
}"""
ANSWERED = {"answered": '"__typename":"Query"'}
CLAIMED = {"claimed": '"__typename":"ClaimDropSuccess"', "sold out": '"__typename":"SoldOut"'}
TARGET = 0.7


class Wrong(Exception):
    """Answers or rows that should not be."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one turn showed; processor microseconds a request, latencies in milliseconds."""

    rate: float
    application_us: float
    postgres_us: float
    driver_us: float
    p50_ms: float
    p99_ms: float


class Bench:
    """The stores, the driver and the two servers."""

    def __init__(self, found: Stores, given: argparse.Namespace, pairs: list[Any]) -> None:
        """Start the driver and let it sign the members' tokens."""
        self._found, self._connections = found, given.connections
        self._driver = subprocess.Popen(
            [sys.executable, "-m", "bench.claims.driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ask({"key": base64.b64encode(KEY).decode(), "sessions": pairs})

    def stop(self) -> None:
        """End the driver."""
        self._driver.communicate(timeout=10)

    def typename(self, server: Server, members: int) -> Figures:
        """`{ __typename }`, once for each of so many members."""
        return self._turn(server, TYPENAME, members, ANSWERED, {"answered": members})

    def claims(self, server: Server, members: int) -> Figures:
        """A claim for each of so many members from a new drop that has not enough for all."""
        stock = members - members // 20
        url = self._found.database_url
        drop_id = asyncio.run(new_drop(url, stock))
        variables = {"id": global_id("Drop", drop_id), "key": f"tap {drop_id}"}
        body = json.dumps({"query": CLAIM, "variables": variables})
        expected = {"claimed": stock, "sold out": members - stock}
        figures = self._turn(server, body, members, CLAIMED, expected)
        rows = asyncio.run(stored(url, drop_id))
        if {rows.claimed, rows.claims, rows.coupons, rows.keys} != {stock} or rows.doubles:
            raise Wrong(f"{server.kind.name}: {rows}")
        return figures

    def _turn(
        self,
        server: Server,
        body: str,
        members: int,
        marks: dict[str, str],
        expected: dict[str, int],
    ) -> Figures:
        before = self._spent(server)
        seen = self._ask(
            {"port": server.port, "body": body, "first": 0, "last": members, "marks": marks}
            | {"connections": self._connections}
        )
        application, postgres = (
            after - at for after, at in zip(self._spent(server), before, strict=True)
        )
        if {name: count for name, count in expected.items() if count} != seen["answers"]:
            raise Wrong(f"{server.kind.name}: {seen['answers']}\n{seen['sample']}")
        each = 1_000_000 / seen["requests"]
        return Figures(
            rate=seen["requests"] / seen["seconds"],
            application_us=application * each,
            postgres_us=postgres * each,
            driver_us=seen["driver_seconds"] * each,
            p50_ms=1000 * seen["p50"],
            p99_ms=1000 * seen["p99"],
        )

    def _spent(self, server: Server) -> tuple[float, float]:
        postgres = self._found.postgres
        return server.processor_seconds(), processor_seconds(postgres.pid) if postgres else 0.0

    def _ask(self, given: Any) -> Any:
        pipe_in, pipe_out = self._driver.stdin, self._driver.stdout
        if pipe_in is None or pipe_out is None:
            raise RuntimeError("the driver has no pipes")
        pipe_in.write(json.dumps(given) + "\n")
        pipe_in.flush()
        return json.loads(pipe_out.readline())


LINLI = Kind("linli serve", python("cli.main", "serve"), "/graphql", None)
# A connection for each who claims at once: no claim waits for the pool, or for a new connection.
PLAIN = Kind(
    "plain claims",
    uvicorn("bench.claims.plain:app"),
    "/graphql",
    None,
    {"LINLI_POOL_SIZE": "64"},
)
HAND = Kind("claims by hand", uvicorn("bench.claims.hand:app"), "/graphql", None)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--members", type=int, default=5_000, help="and so claims a turn")
    parser.add_argument("--plain", type=int, default=500, help="claims of a plain turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--quick", action="store_true", help="two small rounds")
    given = parser.parse_args()
    if given.quick:
        given.members, given.plain, given.rounds = 1_000, 200, 2
    return given


def _print(name: str, turns: Sequence[Figures]) -> Figures:
    columns = zip(
        *(
            (
                turn.rate,
                turn.application_us,
                turn.postgres_us,
                turn.driver_us,
                turn.p50_ms,
                turn.p99_ms,
            )
            for turn in turns
        ),
        strict=True,
    )
    middle = Figures(*(statistics.median(column) for column in columns))
    print(
        f"{name:<34}{middle.rate:>8,.0f} /s{middle.application_us:>8.0f} us"
        f"{middle.postgres_us:>8.0f} us{middle.driver_us:>8.0f} us"
        f"{middle.p50_ms:>8.1f} ms{middle.p99_ms:>8.1f} ms"
    )
    return middle


@dataclass(frozen=True, slots=True)
class Servers:
    """One process each."""

    linli: Server
    plain: Server
    hand: Server


def _rounds(bench: Bench, given: argparse.Namespace, servers: Servers) -> float:
    names = (
        "{ __typename }",
        "claimDrop, group commit",
        "claims by hand, group commit",
        "claimDrop, a transaction each",
    )
    linli, plain, hand = servers.linli, servers.plain, servers.hand
    turns: tuple[list[Figures], ...] = ([], [], [], [])
    for nth in range(given.rounds):
        for server, count in ((linli, given.members), (hand, given.members), (plain, given.plain)):
            bench.typename(server, count)  # its tokens and sessions are known from here on
        if nth == 0:
            for server in (linli, hand, plain):
                bench.claims(server, min(given.plain, 200))
        turns[0].append(bench.typename(linli, given.members))
        turns[1].append(bench.claims(linli, given.members))
        turns[2].append(bench.claims(hand, given.members))
        turns[3].append(bench.claims(plain, given.plain))
        rates = ", ".join(f"{kind[-1].rate:,.0f}" for kind in turns)
        print(f"round {nth + 1}: {rates} requests/s; {turns[1][-1].rate / turns[0][-1].rate:.2f}")
    print(
        f"\n{'median of rounds':<34}{'rate':>11}{'app':>11}{'PostgreSQL':>11}{'driver':>11}"
        f"{'p50':>11}{'p99':>11}"
    )
    _, claims, _, alone = (_print(*pair) for pair in zip(names, turns, strict=True))
    ratio, floor = (
        statistics.median(own.rate / base.rate for base, own in zip(turns[0], kind, strict=True))
        for kind in turns[1:3]
    )
    print(
        f"\nclaims / typename {ratio:.2f} (target {TARGET}; by hand {floor:.2f}), each round"
        f" against its own; claims / a transaction each {claims.rate / alone.rate:.1f}"
    )
    print("every turn: the stock given exactly, one a member, each with its coupon and key")
    return ratio


def main() -> int:
    """Print each way's figures and the ratios."""
    given = _arguments()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place = Path(folder)
        os.chmod(place, 0o755)
        found = stack.enter_context(stores(place / "data", what="bench.claims"))
        url = found.database_url
        env = processes.environment(database_url=url, redis_url=found.redis_url)
        processes.linli("migrate", env=env)
        bench = Bench(found, given, asyncio.run(settle(url, given.members)))
        stack.callback(bench.stop)
        servers: list[Server] = []
        for kind in (LINLI, PLAIN, HAND):
            servers.append(start(kind, found, place))
            stack.callback(servers[-1].stop)
        _rounds(bench, given, Servers(*servers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
