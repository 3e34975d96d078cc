"""What the simulated year shows, beside what the simulator knows: a part of `bench.year`."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np
from sqlalchemy import select

from app import churn, playbooks
from app.playbooks import MeasureKind
from bench.year_lead import Lives, Said
from bench.year_lived import AHEAD, FIRST, HELD_OUT, HORIZON, LUCKS, ZONE, Year
from ml import aft
from ml.arrays import DAY, I64, Bools
from simulation import Measures, World
from workers import playbooks as jobs
from workers.models import as_arrays

_COUNT = ("PAID", "SETTLED", "PARTLY_REFUNDED")


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
            waits = year.waits[night]
            told = np.array([waits.get(row.member_id, aft.LONGEST) for row in rows])
            yield int(night.timestamp()), members[order], said[order], told[order]


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
