"""Filling the demo: step by step, each once, going on where an interrupted run stopped.

A step that one transaction can do writes down its name in that transaction. The longer ones
(the world, points, tiers, scores) may be done again without doing anything twice, and write their
name down when they are through.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from app import churn, coupons, eco, members, segments, simulated, tiers
from app.kernel.config import Settings
from app.kernel.crypto import Vault
from app.kernel.db import Database, Read, Tx
from cli.demo import offers, people, rewards, voices
from cli.demo.accounts import SEED, STAR_OPENID
from cli.demo.errors import DemoInProduction

MONTHS = 8.0
KEEN = 12

# Told before each step what it is, in both languages.
Report = Callable[[str], None]
Step = Callable[[Tx], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Filled:
    """What a call found and did: `steps` it did, or that the database was not empty."""

    steps: tuple[str, ...]
    has_members_of_its_own: bool = False


def _silently(step: str) -> None:
    """Progress that nobody watches."""


async def fill_demo(
    database: Database, settings: Settings, *, report: Report = _silently
) -> Filled:
    """Set up what of the demo is missing; doing it again changes nothing.

    Staff log-ins, tiers and eco factors come with any development database. The neighbourhood
    comes only into one without members: a shop's own are never mixed with invented ones. Raises
    DemoInProduction.
    """
    if settings.env == "production":
        raise DemoInProduction()
    await people.open_accounts(database)
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)
        await eco.ensure_eco(tx)
        await coupons.ensure_offers(tx)
    if not settings.demo_members:
        return Filled(())
    if not await _may_begin(database):
        return Filled((), has_members_of_its_own=True)
    return await _Filling(database, settings, report).fill()


async def star_of(read: Read, settings: Settings) -> UUID | None:
    """The demo's most eventful member: leads a community, buys much, has coupons and points."""
    kind = members.IdentityKind.WECHAT_OPENID
    blind = Vault.from_settings(settings).blind(kind, STAR_OPENID)
    found = await members.by_identity(read, kind=kind, app=settings.wechat_app_id, blinds=[blind])
    return found.get(blind)


async def _may_begin(database: Database) -> bool:
    """True if the demo was begun here before, or nobody is a member yet."""
    async with database.begin() as tx:
        if await simulated.is_done(tx, name="begun"):
            return True
        if await tx.session.scalar(select(members.Member.id).limit(1)) is not None:
            return False
        await simulated.begin_step(tx, name="begun")
        return True


class _Filling:
    """One call's way through the steps."""

    def __init__(self, database: Database, settings: Settings, report: Report) -> None:
        self._database, self._settings, self._report = database, settings, report
        self._done: list[str] = []

    async def fill(self) -> Filled:
        """Do the steps that are missing, in the order in which they need each other."""
        await self._long("world", "Living eight months 模拟八个月", self._live)
        await self._short("check-ins", "Entering check-ins 签到", self._check_in)
        await self._short("segments", "Judging every member 会员分层", self._judge)
        await self._long("points", "Earning points 积分", self._reward)
        await self._short("points for check-ins", "Rewarding the keen 签到奖励", self._reward_keen)
        await self._long("tiers", "Running the tiers 会员等级", self._run_tiers)
        await self._short("coupons", "Handing out coupons 优惠券", self._offer)
        await self._short("drops", "Opening a drop 秒杀", offers.offer_drops)
        await self._short("campaign", "Drafting a campaign 活动", offers.draft_campaign)
        await self._short("ballots", "Opening ballots 投票", self._open_ballots)
        await self._short("eco", "Acting green 环保行动", self._act_green)
        await self._long("signals", "Looking at log-ins and use 行为信号", self._look)
        await self._long("scores", "Learning who falls silent 流失预警", self._score)
        return Filled(tuple(self._done))

    async def _short(self, name: str, title: str, step: Step) -> None:
        async with self._database.begin() as tx:
            if await simulated.begin_step(tx, name=name):
                self._report(title)
                await step(tx)
                self._done.append(name)

    async def _long(self, name: str, title: str, step: Callable[[], Awaitable[None]]) -> None:
        async with self._database.read() as read:
            if await simulated.is_done(read, name=name):
                return
        self._report(title)
        await step()
        async with self._database.begin() as tx:
            await simulated.begin_step(tx, name=name)
        self._done.append(name)

    async def _live(self) -> None:
        from cli.simulating import simulate_into
        from simulation import MONTH

        async with self._database.read() as read:
            there = await simulated.present_world(read)
        until = _full_hour(self._database.clock())
        wanted = there or simulated.World(
            SEED, self._settings.demo_members, MONTHS, until - MONTHS * MONTH
        )
        await simulate_into(self._database, self._settings, wanted=wanted, until=until)

    async def _check_in(self, tx: Tx) -> None:
        await simulated.record_check_ins(tx)

    async def _judge(self, tx: Tx) -> None:
        await segments.run(tx, as_of=tx.now)

    async def _reward(self) -> None:
        await rewards.reward_orders(self._database)

    async def _reward_keen(self, tx: Tx) -> None:
        await rewards.reward_check_ins(tx, member_ids=await self._keen(tx))

    async def _run_tiers(self) -> None:
        async with self._database.read() as read:
            zones = await tiers.zones(read)
        for zone in zones:
            month = tiers.run_month(self._database.clock(), zone)
            finished = False
            while not finished:
                async with self._database.begin() as tx:
                    finished = (await tiers.advance(tx, month=month, zone=zone)).finished

    async def _offer(self, tx: Tx) -> None:
        await offers.offer_coupons(tx)
        star = await star_of(tx, self._settings)
        if star is not None:
            await offers.treat_star(tx, member_id=star)

    async def _open_ballots(self, tx: Tx) -> None:
        await voices.open_ballots(tx, spared=await star_of(tx, self._settings))

    async def _act_green(self, tx: Tx) -> None:
        star = await star_of(tx, self._settings)
        await voices.act_green(tx, member_ids=await self._keen(tx), star=star)

    async def _keen(self, tx: Tx) -> list[UUID]:
        """The star and some who have been members for longest."""
        first = await tx.session.scalars(
            select(members.Member.id)
            .order_by(members.Member.registered_at, members.Member.id)
            .limit(KEEN)
        )
        star = await star_of(tx, self._settings)
        return list(dict.fromkeys([*([star] if star else []), *first.all()]))

    async def _look(self) -> None:
        async with self._database.read() as read:
            zones = await churn.time_zones(read)
        for zone in zones:
            async with self._database.begin() as tx:
                await churn.look_at_signals(tx, zone=zone)

    async def _score(self) -> None:
        from ml.errors import TooLittleHistory
        from workers.churn import score_members
        from workers.training import train_model

        at, zone = self._database.clock(), self._settings.time_zone
        try:
            await train_model(self._database, as_of=at, zone=zone, threads=1)
        except TooLittleHistory:
            # A very small neighbourhood: there is nothing to learn from and nobody to warn of.
            return
        await score_members(self._database, as_of=at, zone=zone)


def _full_hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
