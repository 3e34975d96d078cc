"""The simulated year as it is lived in the product: a part of `bench.year`."""

import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import select

from app import churn, coupons, playbooks, segments, simulated
from app.kernel.config import Settings
from app.kernel.db import Database
from app.playbooks import Audience, Level, MeasureDraft, MeasureKind
from cli.simulating import simulate_into
from cli.simulating.ids import Ids
from simulation import Measures, World
from workers import playbooks as jobs
from workers.churn import score_members
from workers.jobs import drain
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
    # The medians of the days until the next order that were told each Monday.
    waits: dict[datetime, dict[UUID, float]] = field(
        default_factory=dict[datetime, dict[UUID, float]]
    )

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
    await year.timed("alerts", settle(year))
    if monday:
        await year.timed("stages", _judge(year, now))
        await year.timed("signals", _look(year))
        await year.timed("scores", _score(year, now))
    await year.timed("alerts", drain(year.database, churn.escalate_due))
    await year.timed("playbook", _answer(year))


async def _train(year: Year, now: datetime) -> None:
    trained = await train_model(year.database, as_of=now, zone=ZONE, threads=1)
    print(f"  {now:%Y-%m-%d} trained {trained.version}: {trained.choice}", flush=True)


async def settle(year: Year) -> None:
    """Close alerts whose outcome is known."""
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
    query = select(churn.ChurnScore.member_id, churn.ChurnScore.next_order_days)
    async with year.database.read() as session:
        rows = await session.session.execute(query.where(churn.ChurnScore.as_of == now))
        year.waits[now] = {
            row.member_id: row.next_order_days for row in rows if row.next_order_days is not None
        }


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
