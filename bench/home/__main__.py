"""The member's home query beside its peers, on one database in one run.

`python -m bench.home` loads 100,000 made-up members once into an embedded PostgreSQL that is kept
under .linli/bench, starts every server, sees that all tell the same facts, and loads them in turn,
round after round. `--profile` runs Linli alone, under a profiler.
"""

import argparse
import json
import random
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from app.kernel.embedded import Stores
from bench.home import kinds, report
from bench.home.data import loaded, sessions
from bench.home.driver import token
from bench.home.facts import Differs, facts_of, require_same
from bench.home.measuring import CONNECTIONS, Driver, Failed, Turn, measure
from bench.home.profiling import profile
from bench.home.serving import KEY, Kind, Server, start

FOLDER = Path(".linli") / "bench"
HOT_MEMBERS = 500
COMPARED = 25
# A turn: (server, drawn from the hot members).
Case = tuple[Kind, bool]


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
    given = parser.parse_args()
    if given.quick:
        given.seconds, given.rounds = 1.0, 2
    given.data = given.data or FOLDER / f"home-{given.members}"
    return given


def _cases(only: list[str] | None) -> list[Case]:
    cases = [(kind, False) for kind in kinds.ALL] + [(kind, True) for kind in kinds.HOT]
    words = [word.lower() for word in only or ()]
    return [
        case for case in cases if not words or any(word in case[0].name.lower() for word in words)
    ]


def _compare(servers: dict[str, Server], pairs: list[tuple[str, str]]) -> None:
    """Raise Differs unless every server tells each of some members the same."""
    for pair in random.Random(3).sample(pairs, min(COMPARED, len(pairs))):
        bearer = token(KEY, *pair)
        told = {name: facts_of(name, server.get(bearer)) for name, server in servers.items()}
        (first, facts), *others = told.items()
        for name, other in others:
            require_same(first, facts, name, other)


def _run(given: argparse.Namespace, found: Stores) -> dict[Case, list[Turn]]:
    cases = _cases(given.only)
    pairs = sessions(found.database_url)
    turns: dict[Case, list[Turn]] = {case: [] for case in cases}
    with ExitStack() as stack:
        driver = Driver(pairs)
        stack.callback(driver.stop)
        servers: dict[str, Server] = {}
        for kind, _ in cases:
            if kind.name not in servers:
                servers[kind.name] = start(kind, found, given.data)
                stack.callback(servers[kind.name].stop)
        _compare(servers, pairs)
        print(f"{len(servers)} servers tell {COMPARED} members the same", flush=True)
        for number in range(given.rounds):
            for kind, hot in cases:
                turn = measure(
                    driver,
                    servers[kind.name],
                    found,
                    seconds=given.seconds,
                    connections=given.connections,
                    hot=given.hot if hot else 0,
                )
                turns[kind, hot].append(turn)
            print(f"round {number + 1} of {given.rounds}", flush=True)
    return turns


def main() -> int:
    """Measure and print; 1 when servers differ or answer errors."""
    given = _arguments()
    with loaded(given.data, given.members) as found:
        try:
            if given.profile:
                profile(found, given.data, seconds=given.seconds, connections=given.connections)
                return 0
            turns = _run(given, found)
        except (Differs, Failed) as error:
            print(error, file=sys.stderr)
            return 1
    named = {f"{kind.name}{', hot members' * hot}": rows for (kind, hot), rows in turns.items()}
    report.show(named)
    if given.json:
        figures = {name: [asdict(turn) for turn in rows] for name, rows in named.items()}
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
