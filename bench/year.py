"""A year of the simulator with alerts and a playbook: `python -m bench.year --members 3000`.

Everything runs as in an installation, in an own server that is thrown away, under a clock that
jumps: the world lives half a week, stages are judged, members are scored on Mondays, alerts rise,
escalate and are answered on Mondays and Thursdays, and what was done changes the members' lives
from the next week on. Members held out are left as they are.

At the end what the product measured is laid beside what the simulator knows:

- the effect: treated against held out (`playbooks.effects_by_playbook`), beside the same lives gone
  on with from each member's first action, once with the playbook and once with nothing, five times
  each with new luck;
- the lead time and how right alerts were, on the lives of members held out, beside a recency rule
  and BG/NBD with as many warnings (`bench/year_lead.py`), and how long the first alert that was
  right came before the day from which the member, by the world's own books, stayed away;
- what triggers were found night by night, and how far ahead signals of use came.

Nothing here says how good a model is on people: members follow rules that we wrote.
"""

import argparse
import asyncio
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import psutil
from alembic import command
from sqlalchemy import select

from app import churn, coupons, playbooks, segments, simulated
from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.embedded import start_postgres
from app.playbooks import Audience, Level, MeasureDraft, MeasureKind
from bench.year_lead import Lives, Said
from cli.migrating import alembic_config
from cli.simulating import simulate_into
from cli.simulating.ids import Ids
from ml.arrays import DAY, I64, Bools
from simulation import MONTH, Measures, World
from workers import playbooks as jobs
from workers.churn import score_members
from workers.jobs import drain
from workers.models import as_arrays
from workers.training import train_model

ZONE = "Asia/Shanghai"
# A Monday, 03:00 in Shanghai: the hour of the nightly scores.
FIRST = datetime(2025, 6, 1, 19, tzinfo=UTC)
BEFORE = 9
"""Months that the world has lived when the year begins: enough to learn from."""
TRAINED_EVERY = 26
HORIZON = timedelta(days=playbooks.HORIZON_DAYS)
HELD_OUT = 300
# Weeks that hold the horizon, and how often chance is asked anew what was true.
AHEAD = 8
LUCKS = range(1, 6)
# The chance that a measure persuades a member who can be persuaded at all.
STRENGTH = {MeasureKind.MESSAGE: 0.25, MeasureKind.COUPON: 0.5, MeasureKind.TASK: 0.5}
_COUNT = ("PAID", "SETTLED", "PARTLY_REFUNDED")


@dataclass(slots=True)
class Year:
    """One run: the world, its database, and what was done for whom."""

    database: Database
    settings: Settings
    wanted: simulated.World
    # A file in which a night finds what the one before it read.
    kept: Path
    rules: dict[str, object]
    world: World = field(init=False)
    keys: dict[UUID, int] = field(init=False)
    # With what was done, and with what would have been done if nobody had been held out.
    done: Measures = field(init=False)
    for_all: Measures = field(init=False)
    seen: set[tuple[UUID, str]] = field(default_factory=set[tuple[UUID, str]])
    spent: dict[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        """Set the worlds up; nothing is lived yet."""
        self.world = self.another(keeps=True)
        self.keys = {key: place for place, key in enumerate(Ids(self.world).members)}
        self.done, self.for_all = self.another().measures, self.another().measures
        self.world.measures = self.done

    def another(self, *, keeps: bool = False) -> World:
        """The same world once more, without measures."""
        given = self.wanted
        return World(given.seed, given.members, given.start, given.months, keeps=keeps)

    async def live(self, until: datetime) -> None:
        """Bring the database up to an instant, which is the present from then on."""
        self.database.clock = lambda: until
        await simulate_into(
            self.database, self.settings, wanted=self.wanted, until=until, lived=self.world
        )

    async def timed(self, what: str, work: Awaitable[object]) -> None:
        """Await something and add its seconds to those of its kind."""
        began = time.perf_counter()
        await work
        self.spent[what] = self.spent.get(what, 0.0) + time.perf_counter() - began


async def set_up_playbook(year: Year) -> playbooks.Playbook:
    """A message, a coupon and a call, level by level; the batch never runs dry."""
    async with year.database.begin() as tx:
        draft = coupons.TemplateDraft(
            name="回归礼",
            kind=coupons.Kind.FIXED,
            value=500,
            validity=coupons.Validity.RELATIVE,
            valid_days=14,
            per_member=1_000,
        )
        template = await coupons.create_template(tx, draft=draft, by=None)
        batch = await coupons.create_batch(tx, template_id=template.id, quantity=100_000)
        for state in (coupons.BatchState.APPROVED, coupons.BatchState.ACTIVE):
            await coupons.move_batch(tx, batch_id=batch.id, to=state)
        zh, en = "{nickname}，{category}到货了", "{nickname}: {category}"
        kinds = (
            MeasureDraft(Level.L1, Audience.OTHERS, MeasureKind.MESSAGE, text_zh=zh, text_en=en),
            MeasureDraft(Level.L2, Audience.OTHERS, MeasureKind.COUPON, batch_id=batch.id),
            MeasureDraft(
                Level.L3,
                Audience.OTHERS,
                MeasureKind.TASK,
                text_zh=zh,
                text_en=en,
                contact_fen=300,
            ),
        )
        made = await playbooks.create_playbook(
            tx,
            draft=playbooks.PlaybookDraft(
                name="年度预案",
                measures=kinds,
                holdout_permille=HELD_OUT,
                level_holdout_permille=0,
            ),
            by=None,
        )
        return await playbooks.activate_playbook(tx, playbook_id=made.id)


async def set_rules(year: Year) -> None:
    """The same settings of alerts in every community, new ones too."""
    from app.members import Community

    async with year.database.begin() as tx:
        for home in await tx.session.scalars(select(Community)):
            if any(home.settings.get(name) != value for name, value in year.rules.items()):
                home.settings = {**home.settings, **year.rules}


async def step(year: Year, now: datetime, week: int, *, monday: bool) -> None:
    """Half a week: facts come in, alerts end, rise, move up and are answered."""
    await year.timed("facts", year.live(now))
    if monday and week % TRAINED_EVERY == 0:
        await year.timed("training", _train(year, now))
    await year.timed("alerts", _settle(year))
    if monday:
        await year.timed("stages", _judge(year, now))
        await year.timed("signals", _look(year))
        await year.timed("scores", _score(year, now))
    await year.timed("alerts", drain(year.database, churn.escalate_due))
    await year.timed("playbook", _answer(year))


async def _train(year: Year, now: datetime) -> None:
    trained = await train_model(year.database, as_of=now, zone=ZONE, threads=1)
    print(f"  {now:%Y-%m-%d} trained {trained.version}: {trained.choice}", flush=True)


async def _settle(year: Year) -> None:
    async with year.database.begin() as tx:
        await churn.settle_alerts(tx)


async def _judge(year: Year, now: datetime) -> None:
    async with year.database.begin() as tx:
        await segments.run(tx, as_of=now)
    await set_rules(year)


async def _look(year: Year) -> None:
    async with year.database.begin() as tx:
        await churn.look_at_signals(tx, zone=ZONE)


async def _score(year: Year, now: datetime) -> None:
    async def read() -> churn.ChurnFacts:
        return await churn.read_facts(year.database, as_of=now, zone=ZONE, kept=year.kept)

    await score_members(year.database, as_of=now, zone=ZONE, facts=read)


async def _answer(year: Year) -> None:
    await jobs.answer_all(year.database)
    async with year.database.read() as read:
        rows = await read.session.scalars(
            select(playbooks.PlaybookAction).where(playbooks.PlaybookAction.at == read.now)
        )
        for row in rows:
            strength = STRENGTH.get(row.kind, 0.0)
            member = year.keys[row.member_id]
            year.for_all.add(row.at, member, strength)
            if row.outcome is playbooks.ActionOutcome.DONE:
                year.done.add(row.at, member, strength)


@dataclass(frozen=True, eq=False)
class Bought:
    """Orders of a world that counted at its end: who, and when (epoch seconds)."""

    member: I64
    at: I64

    @classmethod
    def of(cls, world: World, until: datetime) -> "Bought":
        """Live a world and keep its orders."""
        members: list[I64] = []
        instants: list[I64] = []
        for block in world.blocks(until):
            orders = block.orders
            if len(orders):
                counts: Bools = np.isin(orders["status"].astype(str), _COUNT)
                members.append(orders["member"][counts].astype(np.int64))
                instants.append(orders["paid_at"][counts].astype(np.int64))
        return cls(np.concatenate(members), np.concatenate(instants))

    def stayed(self, firsts: dict[int, int]) -> dict[int, bool]:
        """Which members ordered within the horizon after their instant."""
        since = np.full(max([0, *firsts, *self.member.tolist()]) + 1, np.iinfo(np.int64).max // 2)
        for member, at in firsts.items():
            since[member] = at
        after = self.at - since[self.member]
        came = set(self.member[(after > 0) & (after <= HORIZON.days * DAY)].tolist())
        return {member: member in came for member in firsts}


async def first_actions(year: Year, closed_before: datetime) -> dict[int, tuple[int, bool]]:
    """Member -> the instant of their first action, and whether they are in the treated arm."""
    async with year.database.read() as read:
        rows = await read.session.scalars(
            select(playbooks.PlaybookAction)
            .where(playbooks.PlaybookAction.kind != MeasureKind.NOTHING)
            .order_by(playbooks.PlaybookAction.at.desc())
        )
        found = {
            year.keys[row.member_id]: (int(row.at.timestamp()), row.arm is playbooks.Arm.TREATED)
            for row in rows
        }
    last = int(closed_before.timestamp())
    return {member: place for member, place in found.items() if place[0] <= last}


def rate(stayed: dict[int, bool], members: Sequence[int]) -> float:
    """The share of these members who stayed."""
    return sum(stayed[member] for member in members) / max(1, len(members))


def true_rate(year: Year, at: dict[int, int], measures: Measures) -> float:
    """The share that stays if the lives of all go on from their first action with these measures.

    Members are as they were in that very week; the mean of some lucks.
    """
    week_of = {
        member: (instant - year.world.monday(0)) // (7 * DAY) for member, instant in at.items()
    }
    weeks = sorted(set(week_of.values()))
    stayed = 0
    for luck in LUCKS:
        for week, bought in year.world.what_if(weeks, AHEAD, measures, luck):
            first = {member: at[member] for member, own in week_of.items() if own == week}
            found = Bought(bought["member"], bought["paid_at"]).stayed(first)
            stayed += sum(found.values())
    return stayed / max(1, len(at) * len(LUCKS))


async def show_effect(year: Year, playbook: playbooks.Playbook, end: datetime) -> bool:
    """What was measured beside what is true; answers whether the interval covers it."""
    async with year.database.read() as read:
        found = (await playbooks.effects_by_playbook(read, [playbook.id]))[playbook.id][0]
    firsts = await first_actions(year, end - HORIZON)
    at = {member: place[0] for member, place in firsts.items()}
    lived = Bought.of(year.world, end).stayed(at)
    with_it, without = (true_rate(year, at, one) for one in (year.for_all, year.another().measures))
    true = with_it - without
    held = [member for member, place in firsts.items() if not place[1]]
    treated = [member for member, place in firsts.items() if place[1]]
    print(
        f"stayed within {HORIZON.days} days: treated {found.treated.rate:.1%} of "
        f"{found.treated.members:,}, held out {found.control.rate:.1%} of "
        f"{found.control.members:,} (by the world's own books {rate(lived, treated):.1%} and "
        f"{rate(lived, held):.1%})"
    )
    if found.stay is None or found.net is None:
        print(f"no read-out: the split has p = {found.split:.2g}")
        return False
    stay, net = found.stay, found.net
    covers = stay.low <= true <= stay.high
    print(
        f"measured effect {stay.value:+.1%} ({stay.low:+.1%} to {stay.high:+.1%}), split p = "
        f"{found.split:.2f}; true effect {true:+.1%} ({with_it:.1%} with, "
        f"{without:.1%} without): the interval "
        f"{'covers it' if covers else 'MISSES it'}"
    )
    print(
        f"net revenue a member {net.value / 100:+.2f} yuan "
        f"({net.low / 100:+.2f} to {net.high / 100:+.2f})"
    )
    return covers


async def show_lead(year: Year, playbook: playbooks.Playbook, end: datetime) -> None:
    """How far ahead alerts came and how rightly, by silences and by the world's own books."""
    async with year.database.read() as read:
        alerts = list(
            await read.session.scalars(
                select(churn.ChurnAlert).order_by(churn.ChurnAlert.raised_at)
            )
        )
    known = await churn.read_facts(year.database, as_of=end, zone=ZONE)
    facts = as_arrays(known).in_order()
    ids = known.ids(range(len(known.member_ids)))
    codes = {key: code for code, key in enumerate(ids)}
    untouched = np.array(
        [playbooks.bucket(playbook.experiment_id, key) < HELD_OUT for key in ids], dtype=np.bool_
    )
    lives = Lives(facts, untouched, [one async for one in _weeks(year, codes)])
    raised = [(codes[row.member_id], int(row.raised_at.timestamp())) for row in alerts]
    for line in lives.lines([one for one in raised if untouched[one[0]]]):
        print(line)
    _show_books(year, lives, [(ids[code], at) for code, at in raised], end)
    spoken = Counter(str(reason["code"]) for row in alerts for reason in row.reasons[:1])
    first = ", ".join(f"{code} {n / len(alerts):.0%}" for code, n in spoken.most_common(6))
    print(f"{len(alerts):,} alerts; first reasons: {first}")


async def _weeks(year: Year, codes: dict[UUID, int]) -> AsyncIterator[Said]:
    """What the product said, night by night."""
    history = churn.ChurnScoreHistory
    async with year.database.read() as read:
        nights = await read.session.scalars(select(history.as_of).distinct().order_by("as_of"))
        for night in list(nights):
            rows = (
                await read.session.execute(
                    select(history.member_id, history.probability).where(history.as_of == night)
                )
            ).all()
            members = np.array([codes[row.member_id] for row in rows], dtype=np.int64)
            order = np.argsort(members)
            said = np.array([row.probability for row in rows])
            yield int(night.timestamp()), members[order], said[order]


def _show_books(
    year: Year, lives: Lives, alerts: Sequence[tuple[UUID, int]], end: datetime
) -> None:
    """The first alert that was right, against the day from which a leaver truly stayed away.

    Leavers are those silent at the end who fell silent within the year after having drifted, and
    early enough for 45 days to pass. An alert after which they ordered within 45 days was a false
    alarm then, and is no merit.
    """
    bought = Bought.of(year.world, end)
    raised: dict[int, list[int]] = defaultdict(list)
    for key, at in alerts:
        raised[year.keys[key]].append(at)
    orders: dict[int, list[int]] = defaultdict(list)
    for member, at in zip(bought.member.tolist(), bought.at.tolist(), strict=True):
        orders[member].append(at)
    leads: list[float] = []
    total = 0
    for member, drift, silent in leavers(year, FIRST, end):
        total += 1
        begin, away = int(drift.timestamp()), int(silent.timestamp())
        right = [
            at
            for at in raised[member]
            if begin <= at <= away + HORIZON.days * DAY
            and not any(at < order <= at + HORIZON.days * DAY for order in orders[member])
        ]
        if right:
            leads.append((away - min(right)) / DAY)
    if not leads:
        return
    low, middle, high = np.quantile(leads, [0.25, 0.5, 0.75])
    print(
        f"true leavers {total:,}: {len(leads) / total:.0%} with a right alert in that drift, the "
        f"first of them {middle:+.0f} days ({low:+.0f} to {high:+.0f}) before they stayed away, "
        f"ahead of it for {np.mean(np.array(leads) > 0) * len(leads) / total:.0%}"
    )


def leavers(year: Year, begin: datetime, end: datetime) -> Iterator[tuple[int, datetime, datetime]]:
    """Members, with the beginning of their drift and of their silence, by the world's own books."""
    for truth in year.world.truths(end):
        drift, silent = truth.drift_from, truth.silent_from
        if truth.phase != "SILENT" or drift is None or silent is None:
            continue
        if begin <= drift <= silent <= end - HORIZON:
            yield truth.member, drift, silent


async def show_signals(year: Year, end: datetime) -> None:
    """How many true leavers had a signal in their drift, and how far ahead."""
    async with year.database.read() as read:
        rows = await read.session.execute(
            select(churn.ChurnSignal.member_id, churn.ChurnSignal.opened_at)
        )
        opened: dict[int, list[datetime]] = defaultdict(list)
        for key, at in rows:
            opened[year.keys[key]].append(at)
    found: list[float] = []
    total = 0
    for member, drift, silent in leavers(year, FIRST, end):
        total += 1
        own = [at for at in opened[member] if drift <= at <= silent + HORIZON]
        if own:
            found.append((silent - min(own)).total_seconds() / DAY)
    if found:
        low, middle, high = np.quantile(found, [0.25, 0.5, 0.75])
        print(
            f"signals: {sum(map(len, opened.values())):,} in all; {len(found) / total:.0%} of true "
            f"leavers had one in their drift, the first {middle:+.0f} days ({low:+.0f} to "
            f"{high:+.0f}) before they stayed away"
        )


async def show_triggers(year: Year) -> None:
    """What triggers the nights found."""
    async with year.database.read() as read:
        rows = [row for row in await churn.triggers(read, first=400) if row.trigger is not None]
        nights = len(await churn.nights(read, first=400))
    if rows:
        found = [row.trigger for row in rows if row.trigger is not None]
        low, middle, high = np.quantile(found, [0.25, 0.5, 0.75])
        print(
            f"triggers for {rows[0].precision:.0%} right: found on {len(rows)} of {nights} nights, "
            f"median {middle:.2f} ({low:.2f} to {high:.2f})"
        )


async def show_learned(year: Year) -> None:
    """What the experiment taught about who is persuaded, by the rule that is used by night."""
    for learned in await jobs.learn_all(year.database):
        model = learned.model
        if model is None:
            print(f"no model of the effect: {learned.why_not}")
            continue
        use = "alerts are ranked by it" if model.in_force else "alerts are ranked by loss"
        print(
            f"uplift on {model.treated:,} treated and {model.control:,} held out: Qini "
            f"{model.qini:.3f} ({model.qini_low:.3f} to {model.qini_high:.3f}): {use}"
        )


async def run(year: Year, weeks: int) -> bool:
    """Live the months before and the year; answers whether the effect's interval covers truth."""
    began = time.perf_counter()
    await year.timed("facts", year.live(FIRST))
    playbook = await set_up_playbook(year)
    for week in range(weeks):
        monday = FIRST + timedelta(weeks=week)
        await step(year, monday, week, monday=True)
        await step(year, monday + timedelta(days=3), week, monday=False)
        if week % 8 == 7:
            took = time.perf_counter() - began
            print(f"  week {week + 1} lived after {took:,.0f} s", flush=True)
    end = FIRST + timedelta(weeks=weeks)
    await year.timed("facts", year.live(end))
    await _settle(year)
    covers = await show_effect(year, playbook, end)
    await show_lead(year, playbook, end)
    await show_signals(year, end)
    await show_triggers(year)
    await show_learned(year)
    parts = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in year.spent.items())
    print(f"{time.perf_counter() - began:,.0f} s in all: {parts}")
    print(
        f"processor seconds: {time.process_time():,.0f} here, {server_seconds():,.0f} PostgreSQL's"
    )
    return covers


def server_seconds() -> float:
    """Processor seconds of the server that this process started, its workers included."""
    spent = 0.0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            times = process.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
    return spent


async def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--members", type=int, default=3_000)
    parser.add_argument("--weeks", type=int, default=52)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--trigger", type=float, default=churn.TRIGGER)
    parser.add_argument("--precision", type=float, default=churn.PRECISION)
    parser.add_argument("--fixed", action="store_true", help="keep the trigger where it is set")
    parser.add_argument(
        "--signals", default="LOWER", choices=[one.value for one in churn.SignalEffect]
    )
    given = parser.parse_args()
    months = BEFORE + given.weeks / 4.35
    wanted = simulated.World(given.seed, given.members, months, FIRST - BEFORE * MONTH)
    by = churn.TriggerBy.FIXED if given.fixed else churn.TriggerBy.PRECISION
    rules: dict[str, object] = {
        "churn_trigger": given.trigger,
        "churn_trigger_by": by.value,
        "churn_precision": given.precision,
        "churn_signal_effect": given.signals,
    }
    with tempfile.TemporaryDirectory() as folder:
        server = start_postgres(Path(folder) / "server", durable=False)
        try:
            await asyncio.to_thread(command.upgrade, alembic_config(server.url), "head")
            database = Database(server.url)
            settings = Settings(env="test", database_url=server.url)
            kept = Path(folder) / "kept"
            await run(Year(database, settings, wanted, kept, rules), given.weeks)
            await database.close()
        finally:
            server.stop()


if __name__ == "__main__":
    asyncio.run(main())
