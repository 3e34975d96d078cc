"""The table and the ratios that the targets are about."""

import statistics
from collections.abc import Callable, Mapping, Sequence

from bench.home.kinds import LINLI, LINLI_CACHED, REST, REST_PLAIN, Case
from bench.home.measuring import Turn, middle

HEAD = "CPU ms a request"
COLUMNS = ("app", "PostgreSQL", "Valkey", "total", "driver", "req/s", "p50 ms", "p99 ms", "bytes")

Turns = Mapping[Case, Sequence[Turn]]


def show(turns: Turns, on_node: Sequence[str]) -> None:
    """Print medians over the rounds, then each target with its ratio."""
    wide = max(len(case.name) for case in turns)
    print(f"\n{HEAD:<{wide}}" + "".join(f"{column:>12}" for column in COLUMNS))
    for case, rows in turns.items():
        print(f"{case.name:<{wide}}{_line(middle(rows))}")
    print()
    for line in targets({case.name: rows for case, rows in turns.items()}, on_node):
        print(line)


def _line(turn: Turn) -> str:
    costs = (turn.application_ms, turn.postgres_ms, turn.valkey_ms, turn.total_ms, turn.driver_ms)
    rest = (turn.rate, turn.p50_ms, turn.p99_ms, turn.answer_bytes)
    return "".join(f"{cost:>12.3f}" for cost in costs) + "".join(f"{item:>12,.1f}" for item in rest)


def targets(named: Mapping[str, Sequence[Turn]], on_node: Sequence[str]) -> list[str]:
    """A line a target whose servers took part."""
    lines: list[str] = []
    linli = named.get(LINLI.name)
    peers = [named[name] for name in on_node if name in named]
    if linli and peers:
        better = min(peers, key=lambda rows: middle(rows).total_ms)
        lines.append(_ratio("total CPU / better Node peer", linli, better, _total, "at most 0.5"))
    for rest in (REST, REST_PLAIN):
        if linli and rest.name in named:
            what = f"total CPU / {rest.name}"
            lines.append(_ratio(what, linli, named[rest.name], _total, "at most 1.0"))
    cached = named.get(Case(LINLI_CACHED, True).name)
    hot = [named[f"{name}, hot members"] for name in on_node if f"{name}, hot members" in named]
    if cached and hot:
        faster = max(hot, key=lambda rows: middle(rows).rate)
        lines.append(
            _ratio("cached: req/s / better Node peer", cached, faster, _rate, "at least 4")
        )
    return lines


def _total(turn: Turn) -> float:
    return turn.total_ms


def _rate(turn: Turn) -> float:
    return turn.rate


def _ratio(
    what: str,
    ours: Sequence[Turn],
    theirs: Sequence[Turn],
    figure: Callable[[Turn], float],
    target: str,
) -> str:
    """Rounds are compared one by one, since the machine's speed varies between them."""
    ratios = [figure(one) / figure(other) for one, other in zip(ours, theirs, strict=True)]
    spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
    return f"{what:<44}{statistics.median(ratios):>6.2f}  {spread:<16} target: {target}"
