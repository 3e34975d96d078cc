"""One drop's looks to many sockets: processor time a message, lateness, memory.

`python -m bench.fanout` makes a PostgreSQL and a Valkey in a folder that is thrown away, starts
`linli serve` and graphql-ws on ws (Node), subscribes 1,000 sockets to one drop of each in turn,
round after round, and tells events at a pace; then 10,000 sockets of one Linli process. Events go
to Linli as the relay tells them (PostgreSQL, then Redis), to the peer by one HTTP request. The
subscribers are a light process of their own, whose time is not counted, but whose work is in the
lateness: on a small machine it takes longer to read 10,000 messages than to send them.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import psutil
from redis.asyncio import Redis

from app.kernel.auth import MemberCaller, TokenKeys
from app.kernel.embedded import Stores, stores
from bench import processes
from bench.claims.neighbourhood import new_drop, settle
from bench.fanout.limits import raise_file_limit
from bench.fanout.telling import Linli, Peer
from bench.home import node
from bench.home.serving import KEY, Kind, Server, python, start
from schema.nodes import global_id

ASK = """subscription ($dropId: ID!) { dropUpdated(dropId: $dropId) {
  cursor drop { id title state opensAt closesAt stock remaining } } }"""
SOURCES = Path(__file__).parent.parent / "peers_live"
FOLDER = Path(".linli") / "bench"
MEMBERS = 500
TARGET_US, TARGET_MS, TARGET_KIB = 30, 500, 20
# Seconds between events: long enough for a thousand to have read one before the next is told,
# since what comes too fast is merged. Each further thousand gets as long again, up to two seconds.
PACE = 0.5
MOST_PACE = 2.0
LINLI = Kind(
    "linli serve",
    python("cli.main", "serve"),
    "/graphql",
    None,
    {"LINLI_MAX_SOCKETS": "100000", "LINLI_LOG_LEVEL": "warning"},
)


@dataclass(frozen=True, slots=True)
class Figures:
    """One turn: processor microseconds a message delivered, lateness of an event's last one."""

    name: str
    subscribers: int
    messages: int
    us: float
    driver_us: float
    kib: float
    p50_ms: float
    p99_ms: float
    last_ms: float


class Crowd:
    """The process of subscribers."""

    def __init__(self, tokens: list[str | None], ask: str) -> None:
        """Start it; its sockets take turns with the tokens."""
        self._given = {"do": "open", "path": "/graphql", "tokens": tokens, "ask": ask}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.fanout.listeners"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def open(self, port: int, count: int) -> None:
        """Subscribe so many sockets."""
        self._say(self._given | {"port": port, "count": count})
        self._hear()

    def listen(self, seconds: float) -> None:
        """Begin to count for so long."""
        self._say({"do": "count", "seconds": seconds})
        if self._process.stdout is None or self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the subscribers are not ready")

    def heard(self) -> Any:
        """What was counted, once the time is over."""
        return self._hear()

    def stop(self) -> None:
        """End it, and with it every socket."""
        self._process.communicate(timeout=60)

    def _say(self, given: Any) -> None:
        if self._process.stdin is None:
            raise RuntimeError("the subscribers have no pipes")
        self._process.stdin.write(json.dumps(given) + "\n")
        self._process.stdin.flush()

    def _hear(self) -> Any:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError("the subscribers have failed")
        return json.loads(line)


async def turn(
    server: Server, teller: Linli | Peer, crowd: Crowd, *, events: int, count: int
) -> Figures:
    """Tell so many events to a crowd that listens, and reckon."""
    watched = psutil.Process(server.process.pid)
    idle = watched.memory_info().rss
    await asyncio.to_thread(crowd.open, server.port, count)
    await asyncio.sleep(1)
    full = watched.memory_info().rss
    pace = min(MOST_PACE, PACE * max(1, count / 1_000))
    crowd.listen(events * pace + 2)
    before, told = server.processor_seconds(), dict[int, float]()
    for _ in range(events):
        number, at = await teller.tell()
        told[number] = at
        await asyncio.sleep(pace)
    heard = await asyncio.to_thread(crowd.heard)
    spent = server.processor_seconds() - before
    each, last = _lateness(told, heard["came"], count)
    return Figures(
        name=server.kind.name,
        subscribers=count,
        messages=heard["messages"],
        us=spent * 1e6 / heard["messages"],
        driver_us=heard["driver_seconds"] * 1e6 / heard["messages"],
        kib=(full - idle) / 1024 / count,
        p50_ms=statistics.median(each),
        p99_ms=statistics.quantiles(each, n=100)[98],
        last_ms=max(last),
    )


def _lateness(
    told: dict[int, float], came: dict[str, list[float]], count: int
) -> tuple[list[float], list[float]]:
    """Milliseconds from before each event was told to its arrivals, and to its last arrival."""
    each: list[float] = []
    last: list[float] = []
    for number, at in told.items():
        late = [(one - at) * 1000 for one in came.get(str(number), [])]
        if len(late) != count:
            raise RuntimeError(f"event {number} came to {len(late)} of {count}")
        each += late
        last.append(max(late))
    return each, last


class Bench:
    """The stores, a drop, the members' tokens, and what starts a server of each kind."""

    def __init__(self, found: Stores, logs: Path, drop: UUID, tokens: list[str]) -> None:
        """Nothing is started yet."""
        self._found = found
        self._logs = logs
        self._drop = drop
        self._tokens = tokens

    async def linli(self, count: int, events: int) -> Figures:
        """A turn of Linli's, of one process that is started for it."""
        server = start(LINLI, self._found, self._logs)
        database = await asyncpg.connect(self._found.database_url)
        redis = Redis.from_url(self._found.redis_url)
        try:
            teller = Linli(database, redis, self._drop)
            return await self._turn(server, teller, list(self._tokens), count, events)
        finally:
            await redis.aclose()
            await database.close()
            server.stop()

    async def peer(self, kind: Kind, count: int, events: int) -> Figures:
        """A turn of the peer's."""
        server = start(kind, self._found, self._logs)
        try:
            teller = Peer(server.port)
            await teller.tell()  # so that whoever joins is shown something, as Linli does
            return await self._turn(server, teller, [None], count, events)
        finally:
            server.stop()

    async def _turn(
        self,
        server: Server,
        teller: Linli | Peer,
        tokens: list[str | None],
        count: int,
        events: int,
    ) -> Figures:
        drop_id = str(global_id("Drop", self._drop))
        ask = json.dumps({"query": ASK, "variables": {"dropId": drop_id}})
        # One stays from the beginning: what the first one brings about is no subscriber's memory.
        first, crowd = Crowd(tokens, ask), Crowd(tokens, ask)
        try:
            await asyncio.to_thread(first.open, server.port, 1)
            return await turn(server, teller, crowd, events=events, count=count)
        finally:
            crowd.stop()
            first.stop()


def peer_on_node() -> Kind:
    """graphql-ws on ws, with its packages. Raises NoPeers."""
    place = node.install(FOLDER, SOURCES)
    return Kind("graphql-ws on ws", (str(node.binary()), str(place / "graphql-ws.mjs")), "", None)


async def prepared(found: Stores, logs: Path) -> Bench:
    """Members with sessions and tokens, and a drop that is open."""
    pairs = await settle(found.database_url, MEMBERS)
    keys, now = TokenKeys({"bench": KEY}), datetime.now(UTC)
    tokens = [keys.sign(MemberCaller(UUID(one), UUID(two)), now) for one, two in pairs]
    return Bench(found, logs, await new_drop(found.database_url, 10), tokens)


async def run(given: argparse.Namespace, bench: Bench, peer: Kind | None) -> list[Figures]:
    """The turns, each printed when it is over."""
    turns: list[Figures] = []
    for _ in range(given.rounds):
        turns.append(await bench.linli(given.subscribers, given.events))
        show(turns[-1])
        if peer is not None:
            turns.append(await bench.peer(peer, given.subscribers, given.events))
            show(turns[-1])
    if given.many:
        turns.append(await bench.linli(given.many, given.events))
        show(turns[-1])
    return turns


def show(one: Figures) -> None:
    """A line of the table."""
    print(
        f"{one.name:<18}{one.subscribers:>8,}{one.messages:>10,}{one.us:>9.1f} us"
        f"{one.driver_us:>9.1f} us{one.kib:>8.1f} KiB{one.p50_ms:>9.1f}{one.p99_ms:>9.1f}"
        f"{one.last_ms:>9.1f} ms",
        flush=True,
    )


def conclude(turns: list[Figures], many: int) -> None:
    """The medians beside each other, and the large crowd beside its targets."""
    small = [one for one in turns if one.subscribers != many]
    medians = {
        name: statistics.median(one.us for one in small if one.name == name)
        for name in dict.fromkeys(one.name for one in small)
    }
    for name, us in medians.items():
        print(f"{name}: median {us:.1f} us a message (target for Linli {TARGET_US})")
    for one in turns:
        if one.subscribers == many:
            print(
                f"{many:,} subscribers: last delivery {one.last_ms:.0f} ms (target {TARGET_MS}),"
                f" {one.kib:.1f} KiB each (target {TARGET_KIB}), {one.us:.1f} us a message"
            )


def arguments() -> argparse.Namespace:
    """What to run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--subscribers", type=int, default=1_000)
    parser.add_argument("--many", type=int, default=10_000, help="0: none")
    parser.add_argument("--events", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-peer", action="store_true", help="Linli alone, without Node")
    parser.add_argument("--json", type=Path, help="write the turns here as well")
    return parser.parse_args()


def main() -> int:
    """Print each turn's figures, and the medians."""
    given = arguments()
    raise_file_limit()
    peer = None
    if not given.no_peer:
        try:
            peer = peer_on_node()
        except node.NoPeers as error:
            print(f"without the peer on Node: {error}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place = Path(folder)
        os.chmod(place, 0o755)
        found = stack.enter_context(stores(place / "data", what="bench.fanout"))
        env = processes.environment(database_url=found.database_url, redis_url=found.redis_url)
        processes.linli("migrate", env=env)
        bench = asyncio.run(prepared(found, place))
        print(
            f"{'':<18}{'sockets':>8}{'messages':>10}{'server':>12}{'driver':>12}{'memory':>12}"
            f"{'p50':>9}{'p99':>9}{'last':>12}"
        )
        turns = asyncio.run(run(given, bench, peer))
    conclude(turns, given.many)
    if given.json:
        given.json.write_text(json.dumps([asdict(one) for one in turns], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
