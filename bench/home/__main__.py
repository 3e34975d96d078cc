"""The member's home query beside its peers, on one database in one run.

`python -m bench.home` loads 100,000 made-up members once into an embedded PostgreSQL that is kept
under .linli/bench, starts every server, sees that all tell the same facts, and loads them in turn,
round after round. `--profile` runs Linli alone, under a profiler; `--parts` leaves parts of it out.
"""

import argparse
import json
import random
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from app.kernel.embedded import Stores
from bench.home import kinds, node, report
from bench.home.data import loaded, sessions
from bench.home.driver import token
from bench.home.facts import Differs, facts_of, require_same
from bench.home.measuring import CONNECTIONS, Driver, Failed, Load, Turn, measure
from bench.home.parts import parts
from bench.home.profiling import profile
from bench.home.serving import KEY, Kind, Server, start

FOLDER = Path(".linli") / "bench"
HOT_MEMBERS = 500
COMPARED = 25


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument("--data", type=Path, help="folder of the database that is kept")
    parser.add_argument("--seconds", type=float, default=4.0, help="of one turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--hot", type=int, default=HOT_MEMBERS, help="members of the hot set")
    parser.add_argument("--only", nargs="*", help="words that names of servers hold")
    parser.add_argument("--quick", action="store_true", help="two rounds of one second")
    parser.add_argument("--json", type=Path, help="write every turn's figures there")
    parser.add_argument("--profile", action="store_true", help="Linli alone, under cProfile")
    parser.add_argument("--parts", action="store_true", help="where Linli's own CPU goes")
    given = parser.parse_args()
    if given.quick:
        given.seconds, given.rounds = 1.0, 2
    given.data = given.data or FOLDER / f"home-{given.members}"
    return given


def _compare(servers: dict[str, Server], pairs: list[tuple[str, str]]) -> None:
    """Raise Differs unless every server tells each of some members the same."""
    for pair in random.Random(3).sample(pairs, min(COMPARED, len(pairs))):
        bearer = token(KEY, *pair)
        told = {name: facts_of(name, server.get(bearer)) for name, server in servers.items()}
        (first, facts), *others = told.items()
        for name, other in others:
            require_same(first, facts, name, other)


def _peers(found: Stores) -> list[Kind]:
    """The peers on Node; none, and why, where their packages cannot be had."""
    try:
        place = node.install(FOLDER)
    except node.NoPeers as error:
        print(f"without the peers on Node: {error}", file=sys.stderr)
        return []
    node.make_views(found.database_url)
    return kinds.peers(place)


def _run(
    given: argparse.Namespace, found: Stores, on_node: list[Kind]
) -> dict[kinds.Case, list[Turn]]:
    cases = kinds.cases(on_node, given.only)
    pairs = sessions(found.database_url)
    turns: dict[kinds.Case, list[Turn]] = {case: [] for case in cases}
    with ExitStack() as stack:
        driver = Driver(pairs)
        stack.callback(driver.stop)
        servers: dict[str, Server] = {}
        for kind in dict.fromkeys(case.kind for case in cases):
            servers[kind.name] = start(kind, found, given.data)
            stack.callback(servers[kind.name].stop)
        _compare(servers, pairs)
        print(f"{len(servers)} servers tell {COMPARED} members the same", flush=True)
        # Compilers and pools settle before anything counts.
        for server in servers.values():
            driver.turn(server, Load(given.seconds / 2, given.connections))
        for number in range(given.rounds):
            for case in cases:
                load = Load(given.seconds, given.connections, given.hot if case.hot else 0)
                turns[case].append(measure(driver, servers[case.kind.name], found, load))
            print(f"round {number + 1} of {given.rounds}", flush=True)
    return turns


def main() -> int:
    """Measure and print; 1 when servers differ or answer errors."""
    given = _arguments()
    with loaded(given.data, given.members) as found:
        try:
            if given.profile:
                profile(found, given.data, Load(given.seconds, given.connections))
                return 0
            if given.parts:
                parts(found)
                return 0
            on_node = _peers(found)
            turns = _run(given, found, on_node)
        except (Differs, Failed) as error:
            print(error, file=sys.stderr)
            return 1
    report.show(turns, [kind.name for kind in on_node])
    if given.json:
        figures = {case.name: [asdict(turn) for turn in rows] for case, rows in turns.items()}
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
