"""The world: members, orders and events of an invented platform, up to any instant.

The past does not depend on how far the world is run: what `blocks(until=t)` yields is what any
later run yields about the time before t. A world can be continued: `blocks(until, since)`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from simulation import lives, orders, persuasion, places, roster, seasons, sheets
from simulation.lives import State
from simulation.persuasion import Measures
from simulation.roster import Habits
from simulation.streams import Ints, Stream, generator
from simulation.tables import NEVER, Block, Table, joined

MONTH = timedelta(days=30.4375)
_PERIOD = 4  # weeks in a block
_TAIL = 14 * seasons.DAY  # after that, nothing more happens to an order
_NONE = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Latent:
    """What the simulator knows of a member at an instant, and a model may not.

    Rates are expected per week in this week. `drift_from` and `silent_from` are the beginnings of
    the present or last episode (a drift may have been recovered from).
    """

    member: int
    kind: str
    phase: str
    drift_from: datetime | None
    silent_from: datetime | None
    orders_per_week: float
    visits_per_week: float
    engagement: float
    persuadable: float


@dataclass(slots=True)
class _Kept:
    """What going on with a part needs not be drawn and lived again: states by week."""

    habits: Habits
    people: Table | None = None
    states: dict[int, State] = field(default_factory=dict[int, State])


class World:
    """An invented platform that begins at `start` and gains `members` within `months` MONTHs.

    Nobody joins after that, but life goes on. The same arguments make the same facts, with the
    same release of numpy on the same kind of processor. Refuses naive instants and empty worlds
    (ValueError).

    With `keeps`, `blocks` goes on from where earlier calls were instead of living all weeks again:
    for worlds that live on by small steps. Measures may then only be added for times at or after
    the end of the latest call.
    """

    def __init__(
        self,
        seed: int,
        members: int,
        start: datetime,
        months: float = 12.0,
        *,
        keeps: bool = False,
    ) -> None:
        """Set the roster; nothing else is drawn before it is asked for."""
        if members < 1 or months <= 0:
            raise ValueError("a world needs at least one member and some time")
        self.seed = seed
        self.start = _seconds(start)
        end = self.start + int(months * MONTH.total_seconds())
        self.places = places.make(seed, members, self.start, end)
        self.roster = roster.make(seed, members, self.start, end, self.places)
        self._origin = seasons.first_monday(self.start)
        # What is done for members; empty as long as nobody adds to it.
        self.measures = Measures(self._origin)
        self._keeps = keeps
        self._kept: dict[int, _Kept] = {}

    def blocks(self, until: datetime, since: datetime | None = None) -> Iterator[Block]:
        """Facts in [since, until), the earliest weeks first; `since` is the start by default.

        Orders carry their state at `until`. Whoever adds the new rows and replaces the updated
        orders of `blocks(t2, since=t1)` in what `blocks(t1)` gave has what `blocks(t2)` gives.
        """
        span = (self.start if since is None else max(_seconds(since), self.start), _seconds(until))
        if span[0] >= span[1]:
            return
        yield sheets.block(communities=sheets.communities(self.places, span))
        weeks = -(-(span[1] - self._origin) // seasons.WEEK)
        # Weeks before say nothing of the span any more, and are only lived through.
        told = max(0, (span[0] - _TAIL - self._origin) // seasons.WEEK)
        first = min(told, max(0, weeks - 1)) // _PERIOD * _PERIOD
        runs = [self._at(part, first) for part in range(self.roster.parts)]
        for week in range(first, weeks, _PERIOD):
            ends = range(week, min(week + _PERIOD, weeks))
            for run in runs:
                self._keep(run, week)
                block = run.period(ends, span)
                if len(block):
                    yield block

    def _at(self, part: int, week: int) -> "_Run":
        """A part that has lived up to the beginning of a week."""
        kept = self._kept.get(part)
        if kept is None:
            run, since = _Run(self, part), 0
        else:
            since = max((known for known in kept.states if known <= week), default=0)
            run = _Run(self, part, kept.states.get(since))
            run.habits, run.people = kept.habits, kept.people
        for lived in range(since, week):
            run.advance(lived)
        return run

    def _keep(self, run: "_Run", week: int) -> None:
        """Remember the state at the beginning of a week, and the two before it."""
        if not self._keeps or run.state is None:
            return
        kept = self._kept.setdefault(run.part, _Kept(run.habits_of()))
        kept.states[week], kept.people = run.state, run.people
        for old in sorted(kept.states)[:-3]:
            del kept.states[old]

    def what_if(
        self, weeks: Sequence[int], length: int, measures: Measures, luck: int = 0
    ) -> Iterator[tuple[int, Table]]:
        """For each week: the orders of some weeks from it on, had other measures been taken then.

        Until the week the world is as it was, with what was done in it; from its first instant on,
        `measures` alone count. Answers (week, table of member and paid_at in epoch seconds) for
        orders that were paid, and neither cancelled nor sent back as a whole (those count whose
        goods went back one by one until none was left). Another `luck` draws the same lives anew
        from there; 0 goes on with the world's own draws.
        """
        wanted = set(weeks)
        for part in range(self.roster.parts):
            run = _Run(self, part)
            for week in range(max(wanted, default=-1) + 1):
                if week in wanted and run.state is not None:
                    fork = _Run(self, part, run.state, measures, luck)
                    yield week, fork.bought(range(week, week + length))
                run.advance(week)

    def truth(self, member: int, at: datetime) -> Latent:
        """The latent state of one member at an instant. Raises KeyError for nobody's key."""
        if not 0 <= member < len(self.roster):
            raise KeyError(member)
        part, place = divmod(member, roster.PART)
        state, habits = self._state(part, _seconds(at))
        return next(self._latents(state, habits, [place]))

    def truths(self, at: datetime) -> Iterator[Latent]:
        """The latent state of everybody who joined before an instant, by key."""
        moment = _seconds(at)
        for part in range(self.roster.parts):
            if self.roster.joined[part * roster.PART] >= moment:
                return
            state, habits = self._state(part, moment)
            known = np.flatnonzero(habits.joined < moment)
            yield from self._latents(state, habits, known.tolist())

    def monday(self, week: int) -> int:
        """The first instant of a week, in epoch seconds."""
        return self._origin + week * seasons.WEEK

    def _state(self, part: int, moment: int) -> tuple[State, Habits]:
        run = _Run(self, part)
        for week in range(max(0, (moment - self._origin) // seasons.WEEK)):
            run.advance(week)
        habits = run.habits_of()
        state = run.state or lives.born(habits)
        return lives.arrive(self.seed, part, state, habits, moment), habits

    def _latents(self, state: State, habits: Habits, chosen: list[int]) -> Iterator[Latent]:
        pace = lives.pace(state, habits)
        part = int(habits.key[0]) // roster.PART
        open_to = persuasion.persuadable(self.seed, habits, part)
        for place in chosen:
            yield Latent(
                member=int(habits.key[place]),
                kind=roster.KINDS[habits.kind[place]],
                phase=lives.PHASES[state.phase[place]],
                drift_from=self._week_start(int(state.drift_week[place])),
                silent_from=self._week_start(int(state.silent_week[place])),
                orders_per_week=float(pace.orders[place]),
                visits_per_week=float(pace.visits[place]),
                engagement=float(pace.engagement[place]),
                persuadable=float(open_to[place]),
            )

    def _week_start(self, week: int) -> datetime | None:
        return None if week < 0 else datetime.fromtimestamp(self.monday(week), UTC)


class _Run:
    """One part of the members on its way through the weeks."""

    def __init__(
        self,
        world: World,
        part: int,
        state: State | None = None,
        measures: Measures | None = None,
        luck: int = 0,
    ) -> None:
        self.world, self.part = world, part
        self.state = state
        self._measures = measures
        # Far from every seed that somebody gives.
        self._draws = world.seed + (luck << 40)
        self.habits: Habits | None = None
        self.people: Table | None = None
        self._joined: Ints = world.roster.joined[world.roster.members_of(part)]

    def habits_of(self) -> Habits:
        """The part's habits, drawn when first needed."""
        if self.habits is None:
            self.habits = roster.habits(self.world.seed, self.world.roster, self.part)
        return self.habits

    def period(self, weeks: range, span: tuple[int, int]) -> Block:
        """The facts of some weeks that lie in the span."""
        found: list[Block] = []
        for week in weeks:
            scene = self.advance(week)
            ends = self.world.monday(week + 1)
            if scene and ends + _TAIL > span[0]:
                found.append(sheets.week(self.world.seed, self.part, week, scene, span))
        low = max(span[0], self.world.monday(weeks.start))
        people = self._joining(low, min(span[1], self.world.monday(weeks.stop)))
        named = [dict(block.tables()) for block in found]
        facts = {name: joined([block[name] for block in named]) for name in sheets.FACTS}
        return sheets.block(**facts, **people)

    def advance(self, week: int) -> sheets.Week | None:
        """Live one week; None as long as nobody of the part has joined."""
        world, ends = self.world, self.world.monday(week + 1)
        if self._joined[0] >= ends:
            return None
        habits = self.habits_of()
        if self.state is None:
            self.state = lives.at_week(lives.born(habits), week)
        state = lives.arrive(world.seed, self.part, self.state, habits, ends)
        monday = world.monday(week)
        days = seasons.days(world.seed, monday, week, world.places)
        pace = lives.pace(state, habits)
        rng = generator(self._draws, Stream.ORDERS, week, self.part)
        placed = orders.week_of(rng, habits, state, pace, (monday, days))
        lived = orders.lived(placed, len(habits))
        self.state = lives.step(self._draws, self.part, state, habits, lived)
        measures = world.measures if self._measures is None else self._measures
        if week in measures:
            done = measures, persuasion.persuadable(world.seed, habits, self.part)
            self.state = persuasion.moved(self._draws, self.part, self.state, habits, done)
        return sheets.Week(habits, state, pace, monday, days, placed)

    def bought(self, weeks: range) -> Table:
        """Live some weeks on; what members paid for in them and kept."""
        found = [Table({"member": _NONE, "paid_at": _NONE})]
        for week in weeks:
            scene = self.advance(week)
            if scene is not None:
                placed = scene.orders
                kept = (placed.paid < NEVER) & (placed.cancelled == NEVER)
                kept &= ~((placed.refunded < NEVER) & placed.whole)
                member = scene.habits.key[placed.member[kept]]
                found.append(Table({"member": member, "paid_at": placed.paid[kept]}))
        return joined(found)

    def _joining(self, low: int, high: int) -> dict[str, Table]:
        """Members who join in [low, high) and the leaders among them."""
        fresh = (self._joined >= low) & (self._joined < high)
        if not fresh.any():
            return {}
        people = self.people or roster.people(self.world.seed, self.world.roster, self.part)
        # Kept as long as somebody of the part is still to come.
        self.people = None if self._joined[-1] < high else people
        return {
            "members": people.where(fresh),
            "leaders": sheets.leaders(self.world.roster, self.part, fresh),
        }


def _seconds(at: datetime) -> int:
    if at.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    # Rounded up, so that a fact at a whole second before `at` is seen.
    return -int(-at.timestamp() // 1)
