"""Waves: how the steps of a plan are served.

Fields that say what they want are served together: one wave completes all that is known, asks for
all that is wanted in one round trip, and goes on; none of them is a task. What a wanted object is
known to be before it is read (`Wanted.ahead`) is enough for some of its fields to say what they
want: that is asked for in the same round trip. Any other resolver runs beside, once an object.
"""

from typing import Any

from schema.engine.steps import Frame, Pairs, Place, Run, Step, together
from schema.fields import Wanted


class Foresight:
    """What was asked for before its object was there: the rows by query and key, and by whom."""

    __slots__ = ("below", "rows", "said")

    def __init__(self) -> None:
        """Nothing yet."""
        self.rows: dict[Any, dict[Any, Any]] = {}
        # What the fields of an object said, by the identity of the object and, as long as it is
        # not there, of what is wanted for it; each is held, so that its identity stays its own.
        self.said: dict[int, tuple[Any, dict[Step, Any]]] = {}
        self.below: dict[int, tuple[Any, dict[Step, Any]]] = {}

    def has(self, want: Wanted[Any]) -> bool:
        """Whether its row was read already."""
        held = self.rows.get(want.query)
        return held is not None and want.key in held


async def drain(frame: Frame, run: Run, seen: Foresight | None = None) -> None:
    """Serve every step of a frame, and the frames that come of it."""
    seen = seen or Foresight()
    said, others = _saying(frame, run, seen)
    if not said and len(others) == 1:
        ((step, pairs),) = others
        await _resolve(step, pairs, run)
    else:
        await _beside(others, said, run, seen)


async def _resolve(step: Step, pairs: Pairs, run: Run) -> None:
    """Fill a field in for every object, and whatever its values wait for in their turn."""
    values = await step.resolved(pairs, run)
    frame: Frame = {}
    key, completer = step.key, step.completer
    for (_, shown), value in zip(pairs, values, strict=True):
        shown[key] = completer(value, frame)
    if frame:
        await drain(frame, run)


async def _beside(
    others: list[tuple[Step, Pairs]], said: list[Place], run: Run, seen: Foresight
) -> None:
    if others:
        await together(
            [*(_resolve(step, pairs, run) for step, pairs in others), _serve(said, run, seen)]
        )
    else:
        await _serve(said, run, seen)


async def _serve(said: list[Place], run: Run, seen: Foresight) -> None:
    """Complete whatever is known; read the rest in one wave; and so on until nothing is wanted."""
    wanted: list[Place] = []
    while said or wanted:
        frame: Frame = {}
        for place in said:
            step, shown, value = place
            if value.__class__ is Wanted:
                wanted.append(place)
            else:
                shown[step.key] = step.completer(value, frame)
        if frame:
            said, others = _saying(frame, run, seen)
            if others:
                await _beside(others, [*wanted, *said], run, seen)
                return
        else:
            said = []
        if wanted and not said:
            said, wanted = await _made(wanted, run, seen), []


def _saying(
    frame: Frame, run: Run, seen: Foresight
) -> tuple[list[Place], list[tuple[Step, Pairs]]]:
    said: list[Place] = []
    others: list[tuple[Step, Pairs]] = []
    for plan, pairs in frame.items():
        known = seen.said.get(id(pairs[0][0])) if seen.said and len(pairs) == 1 else None
        for step in plan.steps:
            if known is not None and step in known[1]:
                said.append((step, pairs[0][1], known[1][step]))
            elif step.says:
                said += step.say(pairs, run)
            else:
                others.append((step, pairs))
    return said, others


async def _made(wanted: list[Place], run: Run, seen: Foresight) -> list[Place]:
    """What the wanted becomes once its rows are there; it may be wanted in its turn."""
    asked: dict[Any, list[Any]] = {}
    ahead: list[Wanted[Any]] = []
    for step, _, want in wanted:
        if not seen.has(want):
            asked.setdefault(want.query, []).append(want.key)
            if want.ahead is not None:
                _foresee(step, want, run, seen, ahead)
    for want in ahead:
        asked.setdefault(want.query, []).append(want.key)
    rows = await run.ctx.batches.found_all(asked) if asked else {}
    for want in ahead:
        seen.rows.setdefault(want.query, {})[want.key] = rows[want.query].get(want.key)
    made: list[Place] = []
    for step, shown, want in wanted:
        held = seen.rows if seen.has(want) else rows
        value = want.make(held[want.query].get(want.key))
        below = seen.below.get(id(want)) if want.ahead is not None else None
        if below is not None and value is not None:
            seen.said[id(value)] = (value, below[1])
        made.append((step, shown, value))
    return made


def _foresee(
    step: Step, want: Wanted[Any], run: Run, seen: Foresight, ahead: list[Wanted[Any]]
) -> None:
    """Ask what the fields of a wanted object want, as far as that can be said by now."""
    if step.below is None:
        return
    said: dict[Step, Any] = {}
    for inner in step.below.steps:
        item = _said_by(inner, want.ahead, run) if inner.says else None
        if isinstance(item, Wanted):
            said[inner] = item
            ahead.append(item)
            if item.ahead is not None:
                _foresee(inner, item, run, seen, ahead)
    seen.below[id(want)] = (want, said)


def _said_by(step: Step, source: object, run: Run) -> Any:
    try:
        ((_, _, item),) = step.say([(source, {})], run)
    except Exception:  # it needs more than is known yet, or will find the same fault then
        return None
    return item
