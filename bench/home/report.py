"""The table and the ratios that the targets are about."""

import statistics
from collections.abc import Callable, Mapping, Sequence

from bench.home import kinds
from bench.home.measuring import Turn, middle

HOT = ", hot members"
HEAD = "CPU ms a request"
COLUMNS = ("app", "PostgreSQL", "Valkey", "total", "driver", "req/s", "p50 ms", "p99 ms", "bytes")


def show(turns: Mapping[str, Sequence[Turn]]) -> None:
    """Print medians over the rounds, then each target with its ratio."""
    wide = max(len(name) for name in turns)
    print(f"\n{HEAD:<{wide}}" + "".join(f"{column:>12}" for column in COLUMNS))
    for name, rows in turns.items():
        print(f"{name:<{wide}}{_line(middle(list(rows)))}")
    print()
    _targets(turns)


def _line(turn: Turn) -> str:
    costs = (turn.application_ms, turn.postgres_ms, turn.valkey_ms, turn.total_ms, turn.driver_ms)
    rest = (turn.rate, turn.p50_ms, turn.p99_ms, turn.answer_bytes)
    return "".join(f"{cost:>12.3f}" for cost in costs) + "".join(f"{item:>12,.1f}" for item in rest)


def _targets(turns: Mapping[str, Sequence[Turn]]) -> None:
    linli, cached = turns.get(kinds.LINLI.name), turns.get(kinds.LINLI_CACHED.name + HOT)
    rest = turns.get(kinds.REST.name)
    plain = turns.get(kinds.REST_PLAIN.name)
    peers = [turns[kind.name] for kind in kinds.NODE_PEERS if kind.name in turns]
    hot = [turns[kind.name + HOT] for kind in kinds.NODE_PEERS if kind.name + HOT in turns]
    if linli and peers:
        better = min(peers, key=lambda rows: middle(list(rows)).total_ms)
        _say("total CPU / better Node peer", linli, better, _total, "at most 0.5")
    if linli and rest:
        _say("total CPU / REST by hand, FastAPI", linli, rest, _total, "at most 1.0")
    if linli and plain:
        _say("total CPU / REST by hand, Starlette", linli, plain, _total, "at most 1.0")
    if cached and hot:
        faster = max(hot, key=lambda rows: middle(list(rows)).rate)
        _say("cached: throughput / better Node peer", cached, faster, _rate, "at least 4")


def _total(turn: Turn) -> float:
    return turn.total_ms


def _rate(turn: Turn) -> float:
    return turn.rate


def _say(
    what: str,
    ours: Sequence[Turn],
    theirs: Sequence[Turn],
    figure: Callable[[Turn], float],
    target: str,
) -> None:
    """Rounds are compared one by one, since the machine's speed varies between them."""
    ratios = [figure(one) / figure(other) for one, other in zip(ours, theirs, strict=True)]
    low, high = min(ratios), max(ratios)
    middle_ = statistics.median(ratios)
    print(f"{what:<40}{middle_:>6.2f}  ({low:.2f} to {high:.2f})  target {target}")
