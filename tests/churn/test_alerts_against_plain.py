"""Random lives of alerts, held against plain Python after every step.

Hypothesis draws seeds and lengths; a failure shrinks to the shortest beginning that still fails.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from app import churn
from app.kernel.db import Database, Tx
from app.kernel.errors import Refusal
from app.members import Community
from app.segments import MemberStage, Stage, StageReason
from tests.churn.plain_alerts import PlainMember, Refused
from tests.conftest import NOON
from tests.make import churn as make
from tests.make.members import community, member
from tests.make.orders import order

# Lives of each effect of signals, and the most steps that one has.
LIVES = 8
LONGEST = 60
STAFF = [UUID(int=number) for number in (1, 2)]

WAITS = [
    timedelta(minutes=5),
    timedelta(hours=20),
    timedelta(hours=72) - timedelta(minutes=5),
    timedelta(days=10),
]
PROBABILITIES = [0.1, 0.2, 0.392, 0.45, 0.49, 0.5, 0.56, 0.6, 0.69, 0.7, 0.8, 0.85, 0.9, 0.95]
AGES = [timedelta(0), timedelta(0), timedelta(hours=1), timedelta(days=2)]
VERDICTS = [verdict.value for verdict in churn.Verdict]
OUTCOMES = [outcome.value for outcome in churn.SignalOutcome]

# How often each step is taken, and what it is given, one of each list.
Weighted = tuple[int, list[list[Any]]]
WHO: list[Any] = [1, 2]
STEPS: dict[str, Weighted] = {
    "score": (6, [PROBABILITIES, AGES]),
    "wait": (4, [WAITS]),
    "look": (6, []),
    "settle": (1, []),
    "order": (1, []),
    "recover": (1, []),
    "cancel": (1, []),
    "signal": (2, []),
    "signal_ends": (1, [OUTCOMES]),
    "raise_signalled": (2, []),
    "acknowledge": (1, [WHO]),
    "take": (2, [WHO]),
    "hand_back": (1, [WHO]),
    "mute": (1, [WHO, [1, 12]]),
    "unmute": (1, [WHO]),
    "close": (1, [WHO, VERDICTS]),
}


def steps_of(seed: int, length: int) -> list[tuple[Any, ...]]:
    """The first steps of a life: a shorter one of the same seed is its beginning."""
    dice = Random(seed)
    names, weights = list(STEPS), [weight for weight, _ in STEPS.values()]
    steps: list[tuple[Any, ...]] = []
    for _ in range(length):
        (name,) = dice.choices(names, weights)
        steps.append((name, *(dice.choice(values) for values in STEPS[name][1])))
    return steps


@dataclass
class Life:
    """A member in the database beside the same one in plain Python."""

    database: Database
    key: UUID
    plain: PlainMember
    now: datetime = NOON
    newest: UUID | None = None
    refusals: int = 0

    async def step(self, name: str, *given: Any) -> None:
        self.now += timedelta(minutes=1)
        plain_code = real_code = "done"
        try:
            getattr(self, f"plain_{name}")(*given)
        except Refused as refused:
            plain_code = str(refused)
        try:
            async with self.database.begin(now=self.now) as tx:
                await getattr(self, name)(tx, *given)
        except Refusal as refusal:
            real_code = refusal.code
        assert real_code == plain_code, name
        self.refusals += real_code != "done"

    def plain_score(self, probability: float, age: timedelta) -> None:
        self.plain.give_score(self.now, self.now - age, probability)

    async def score(self, tx: Tx, probability: float, age: timedelta) -> None:
        await make.score(tx, member_id=self.key, probability=probability, as_of=tx.now - age)

    def plain_wait(self, span: timedelta) -> None:
        self.now += span

    async def wait(self, tx: Tx, span: timedelta) -> None:
        pass

    def plain_look(self) -> None:
        self.plain.look_at_due(self.now)

    async def look(self, tx: Tx) -> None:
        await churn.release_due(tx)
        await churn.escalate_due(tx)

    def plain_settle(self) -> None:
        self.plain.settle(self.now)

    async def settle(self, tx: Tx) -> None:
        await churn.settle_alerts(tx)

    def plain_order(self) -> None:
        self.plain.orders.append(self.now)

    async def order(self, tx: Tx) -> None:
        await order(tx, member_id=self.key)

    def plain_recover(self) -> None:
        self.plain.recover()

    async def recover(self, tx: Tx) -> None:
        await churn.recover_by_order(tx, member_id=self.key)

    def plain_cancel(self) -> None:
        self.plain.orders = self.plain.orders[:-1]

    async def cancel(self, tx: Tx) -> None:
        from app.orders import Order

        newest = select(Order).where(Order.member_id == self.key, Order.cancelled_at.is_(None))
        row = await tx.session.scalar(newest.order_by(Order.paid_at.desc()).limit(1))
        if row is not None:
            row.cancelled_at = tx.now

    def plain_signal(self) -> None:
        self.plain.signal = self.plain.signal or self.now

    async def signal(self, tx: Tx) -> None:
        if not await churn.open_signals_by_member(tx, [self.key]):
            await make.signal(tx, member_id=self.key)

    def plain_signal_ends(self, outcome: str) -> None:
        if self.plain.signal is not None and outcome == "FADED":
            self.plain.faded.append(self.now)
        self.plain.signal = None

    async def signal_ends(self, tx: Tx, outcome: str) -> None:
        found = await churn.open_signals_by_member(tx, [self.key])
        for row in found.get(self.key, []):
            row.closed_at, row.outcome = tx.now, churn.SignalOutcome(outcome)

    def plain_raise_signalled(self) -> None:
        if self.plain.signal is not None:
            self.plain.rise(self.now)

    async def raise_signalled(self, tx: Tx) -> None:
        await churn.raise_signalled(tx, after=None)

    def plain_acknowledge(self, who: int) -> None:
        self.plain.acknowledge(who)

    async def acknowledge(self, tx: Tx, who: int) -> None:
        await churn.acknowledge(tx, alert_id=self.alert_key, actor_id=STAFF[who - 1])

    def plain_take(self, who: int) -> None:
        self.plain.take(who, self.now)

    async def take(self, tx: Tx, who: int) -> None:
        await churn.take_over(tx, alert_id=self.alert_key, actor_id=STAFF[who - 1])

    def plain_hand_back(self, who: int) -> None:
        self.plain.hand_back(who)

    async def hand_back(self, tx: Tx, who: int) -> None:
        await churn.hand_back(tx, alert_id=self.alert_key, actor_id=STAFF[who - 1])

    def plain_mute(self, who: int, days: int) -> None:
        self.plain.mute(who, self.now, self.now + timedelta(days=days))

    async def mute(self, tx: Tx, who: int, days: int) -> None:
        await churn.mute(
            tx,
            alert_id=self.alert_key,
            actor_id=STAFF[who - 1],
            until=tx.now + timedelta(days=days),
            reason="travels",
            anybodys=False,
        )

    def plain_unmute(self, who: int) -> None:
        self.plain.unmute(self.now)

    async def unmute(self, tx: Tx, who: int) -> None:
        await churn.unmute(tx, alert_id=self.alert_key, actor_id=STAFF[who - 1])

    def plain_close(self, who: int, verdict: str) -> None:
        self.plain.close(who, self.now, verdict)

    async def close(self, tx: Tx, who: int, verdict: str) -> None:
        await churn.close_by_staff(
            tx,
            alert_id=self.alert_key,
            actor_id=STAFF[who - 1],
            state=churn.AlertState(verdict),
            reason="spoke to her",
            anybodys=False,
        )

    @property
    def alert_key(self) -> UUID:
        return self.newest or uuid4()

    async def agrees(self) -> None:
        """The database holds what plain Python says, alert by alert."""
        async with self.database.read(now=self.now) as read:
            query = select(churn.ChurnAlert).where(churn.ChurnAlert.member_id == self.key)
            rows = list(await read.session.scalars(query.order_by("raised_at")))
            steps = await churn.steps_by_alert(read, [row.id for row in rows])
            score = (await churn.score_by_member(read, [self.key])).get(self.key)
        plain = [*self.plain.over, *([self.plain.alert] if self.plain.alert else [])]
        assert [[s.state.value for s in steps[row.id]] for row in rows] == [a.states for a in plain]
        assert (score is not None and score.raised) == self.plain.latched
        for row, alert in zip(rows, plain, strict=True):
            self.newest = row.id
            owner = None if row.taken_by is None else row.taken_by.int
            seen = None if row.acknowledged_by is None else row.acknowledged_by.int
            found = (row.state.value, row.cause.value, row.probability, row.trigger, row.as_of)
            assert found == (
                alert.state, alert.cause, alert.probability, alert.trigger, alert.as_of,
            )  # fmt: skip
            assert (owner, row.held_until, seen) == (alert.owner, alert.held, alert.seen_by)
            assert row.escalates_at == alert.due


async def live(
    database: Database, effect: str, vip: bool, steps: list[tuple[Any, ...]]
) -> Counter[str]:
    async with database.begin(now=NOON) as tx:
        home = await community(tx, name=effect)
        (await tx.session.get_one(Community, home.id)).settings = {"churn_signal_effect": effect}
        key = (await member(tx, community_id=home.id)).id
        if vip:
            tx.session.add(
                MemberStage(
                    member_id=key, stage=Stage.VIP, reason=StageReason.TOP_SPEND, since=tx.now,
                    as_of=tx.now, orders=3, orders30=1, net90=0,
                )
            )  # fmt: skip
    life = Life(database, key, PlainMember(effect, vip))
    for name, *arguments in steps:
        await life.step(name, *arguments)
        await life.agrees()
    done = Counter(name for name, *_ in steps)
    alerts = [*life.plain.over, *([life.plain.alert] if life.plain.alert else [])]
    done.update(state for alert in alerts for state in alert.states)
    done["refused"] += life.refusals
    # Others' lives go on in the same tables: this one's alert must not be looked at any more.
    if life.plain.alert is not None:
        async with database.begin(now=life.now) as tx:
            await churn.close_by_staff(
                tx,
                alert_id=life.alert_key,
                actor_id=STAFF[0],
                state=churn.AlertState.FALSE_ALARM,
                reason="the end",
            )
    async with database.begin(now=life.now + timedelta(minutes=1)) as tx:
        await life.signal_ends(tx, "RECOVERED")
    return done


@pytest.mark.parametrize("effect", [*churn.SignalEffect])
async def test_alerts_live_as_plain_python_says(
    database: Database, schema_ready: str, effect: churn.SignalEffect
) -> None:
    """`database` is asked for so that the tables are emptied afterwards."""
    loop = asyncio.get_running_loop()
    own = Database(schema_ready, pool_size=2)
    done: Counter[str] = Counter()

    @settings(
        max_examples=LIVES,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        database=None,
    )
    @given(seed=st.integers(0, 2**63), length=st.integers(30, LONGEST), vip=st.booleans())
    def lives(seed: int, length: int, vip: bool) -> None:
        work = live(own, effect.value, vip, steps_of(seed, length))
        done.update(asyncio.run_coroutine_threadsafe(work, loop).result(120))

    try:
        await loop.run_in_executor(None, lives)
    finally:
        await own.close()
    assert set(done) >= set(STEPS)
    # How many chance brings differs; that alerts begin, move, end and refuse must be seen.
    ends = done["RECOVERED"] + done["MUTED"] + done["FALSE_ALARM"] + done["CHURNED"]
    assert min(done["OPEN"] + done["L2"], done["L1"] + done["L3"], ends, done["refused"]) > 0
