"""The demo: filled once, whatever happens on the way, and never where it does not belong."""

import asyncio
import json
import shlex
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn
from sqlalchemy import text
from starlette.applications import Starlette

from app import (
    ballots,
    campaigns,
    churn,
    coupons,
    drops,
    eco,
    points,
    segments,
    simulated,
    staff,
    tiers,
)
from app.gifts.calendars import birthday_of
from app.kernel.auth import Scope, password_matches
from app.kernel.config import Settings
from app.kernel.db import Database
from app.metadata import all_tables
from app.points import Currency
from app.wechat import WeChat
from app.wechat.fake import fake_routes
from cli.demo.accounts import ACCOUNTS, PARTNER_KEY, STAR_OPENID
from cli.demo.errors import DemoInProduction
from cli.demo.filling import fill_demo, star_of
from cli.demo.notes import QUERY, VARIABLES, demo_notes
from cli.up import Addresses
from tests.conftest import Api
from tests.make.members import member

NEIGHBOURS = 150
STEPS = (
    *("world", "check-ins", "segments", "points", "points for check-ins", "tiers", "coupons"),
    *("drops", "campaign", "ballots", "eco", "signals", "scores"),
)


@pytest.fixture
def small(settings: Settings) -> Settings:
    return settings.model_copy(update={"demo_members": NEIGHBOURS})


async def rows_by_table(database: Database) -> dict[str, int]:
    async with database.read() as read:
        return {
            table.name: await read.session.scalar(text(f'SELECT count(*) FROM "{table.name}"')) or 0
            for table in all_tables().sorted_tables
        }


class Interrupted(Exception):
    """The demo is stopped in the middle."""


def stopping_at(title: str) -> Callable[[str], None]:
    def report(step: str) -> None:
        if title in step:
            raise Interrupted(step)

    return report


async def test_the_demo_holds_what_a_newcomer_is_shown(database: Database, small: Settings) -> None:
    filled = await fill_demo(database, small)
    assert filled.steps == STEPS
    async with database.read() as read:
        star = await star_of(read, small)
        assert star is not None
        assert (await tiers.by_member(read, [star]))[star].tier.code in {"GOLD", "DIAMOND"}
        balances = (await points.balances_by_member(read, [star]))[star]
        assert balances.points.balance > 0
        assert balances.carbon.balance > 0
        assert not await points.audit(read)
        mine = await read.session.execute(
            text("SELECT state, count(*) FROM coupon WHERE member_id = :star GROUP BY state"),
            {"star": star},
        )
        by_state = {row[0]: row[1] for row in mine}
        assert by_state["ACTIVE"] >= 2
        assert len((await eco.badges_by_member(read, [star]))[star]) >= 1
        offered = await drops.page(read, after=None, first=10)
        assert sorted((drop.state, drop.remaining) for drop in offered) == [
            (drops.DropState.OPEN, 50),
            (drops.DropState.SCHEDULED, 50),
        ]
        drafts = await campaigns.page(read, after=None, first=10)
        assert [draft.state for draft in drafts] == [campaigns.CampaignState.DRAFT]
        every = ballots.BallotPage(first=10, states=tuple(ballots.BallotState))
        asked = (await ballots.pages(read, [every]))[every]
        assert [ballot.state for ballot, _ in asked] == [ballots.BallotState.OPEN] * 2
        assert await churn.count_open_signals(read) > 5, "a new user's console shows some"
        run = await segments.current_run(read)
        assert run is not None
        assert run.members == (await rows_by_table(database))["member"]
        currencies = await read.session.scalars(
            text("SELECT DISTINCT currency FROM points_account")
        )
        assert set(currencies) == {currency.value for currency in Currency}


async def test_every_birthday_of_the_demo_can_be_told(database: Database, small: Settings) -> None:
    with pytest.raises(Interrupted):
        await fill_demo(database, small, report=stopping_at("优惠券"))
    async with database.read() as read:
        stored = list(
            await read.session.scalars(
                text("SELECT birthday FROM member WHERE birthday IS NOT NULL")
            )
        )
    assert len(stored) > 10
    assert all(birthday_of(one) is not None for one in stored)


async def test_filling_twice_is_filling_once(database: Database, small: Settings) -> None:
    with pytest.raises(Interrupted):
        await fill_demo(database, small, report=stopping_at("优惠券"))
    with pytest.raises(Interrupted):
        await fill_demo(database, small, report=stopping_at("流失预警"))
    rest = await fill_demo(database, small)
    assert rest.steps == ("scores",)
    before = await rows_by_table(database)
    assert before["model_version"] == 1
    assert before["coupon_drop"] == 2
    assert before["ballot"] == 2
    assert before["campaign"] == 1
    again = await fill_demo(database, small)
    assert again.steps == ()
    assert await rows_by_table(database) == before


async def test_the_star_may_still_vote_claim_and_check_in(
    database: Database, small: Settings
) -> None:
    with pytest.raises(Interrupted):
        await fill_demo(database, small, report=stopping_at("流失预警"))
    async with database.begin() as tx:
        star = await star_of(tx, small)
        assert star is not None
        opened = ballots.BallotPage(first=1, states=(ballots.BallotState.OPEN,))
        ((ballot, _), *_) = (await ballots.pages(tx, [opened]))[opened]
        option = await tx.session.scalar(
            text("SELECT id FROM ballot_option WHERE ballot_id = :ballot LIMIT 1"),
            {"ballot": ballot.id},
        )
        await ballots.cast(tx, ballot_id=ballot.id, member_id=star, option_id=option)
        offered = await drops.page(tx, after=None, first=10)
        (now,) = (drop for drop in offered if drop.state is drops.DropState.OPEN)
        claim = await drops.claim(tx, drop_id=now.id, member_id=star)
        assert (await points.check_in(tx, member_id=star)).streak >= 1
        held = await coupons.by_member_and_id(tx, [(star, claim.coupon_id)])
        assert held[star, claim.coupon_id].state is coupons.CouponState.ACTIVE


async def test_production_gets_no_demo(database: Database, small: Settings) -> None:
    with pytest.raises(DemoInProduction):
        await fill_demo(database, small.model_copy(update={"env": "production"}))
    assert sum((await rows_by_table(database)).values()) == 0


async def test_invented_members_are_not_mixed_with_a_shops_own(
    database: Database, small: Settings
) -> None:
    async with database.begin() as tx:
        await member(tx)
    filled = await fill_demo(database, small)
    assert filled.has_members_of_its_own
    assert filled.steps == ()
    stored = await rows_by_table(database)
    assert stored["member"] == 1
    assert stored["simulated_world"] == 0
    # Somebody has to be able to sign in, and members to have a tier.
    assert stored["staff_account"] == len(ACCOUNTS)
    assert stored["tier"] == 3


async def test_without_neighbours_there_are_only_log_ins(
    database: Database, settings: Settings
) -> None:
    filled = await fill_demo(database, settings.model_copy(update={"demo_members": 0}))
    assert filled.steps == ()
    async with database.read() as read:
        assert not await simulated.is_done(read, name="begun")
        for account in ACCOUNTS:
            stored = await staff.by_login(read, account.login)
            assert stored is not None
            assert stored.role == account.role
            assert await password_matches(stored.password_hash, account.password)
        partner = await staff.partner_by_key(read, PARTNER_KEY)
        assert partner is not None
        assert partner.scopes == {Scope.ORDERS_WRITE, Scope.EVENTS_WRITE}


async def test_a_disabled_demo_account_stays_disabled(
    database: Database, settings: Settings
) -> None:
    bare = settings.model_copy(update={"demo_members": 0})
    await fill_demo(database, bare)
    async with database.begin() as tx:
        await staff.disable_account(tx, login="owner")
    await fill_demo(database, bare)
    async with database.read() as read:
        assert await staff.by_login(read, "owner") is None


def test_the_banner_tells_every_way_in() -> None:
    here = Addresses(Path("/d"), "127.0.0.1", 8123, "postgresql://", "redis://")
    told = "\n".join(f"{label} {text}" for label, text in demo_notes(here))
    for word in ("owner", "linli-demo-owner", f"dev-{STAR_OPENID}", PARTNER_KEY, ":8123/graphql"):
        assert word in told


@asynccontextmanager
async def wechat_for(settings: Settings) -> AsyncIterator[Settings]:
    """Settings whose WeChat is the development server's own, served here."""
    app = Starlette(routes=fake_routes())
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield settings.model_copy(update={"wechat_base_url": f"http://127.0.0.1:{port}/dev/wechat"})
    server.should_exit = True
    await serving


WHY = """mutation($code: String!) { loginWithWechat(input: {code: $code}) {
  __typename ... on UserError { code message } } }"""


async def test_the_query_of_the_banner_signs_the_star_in(
    database: Database, small: Settings, api: Api
) -> None:
    with pytest.raises(Interrupted):
        await fill_demo(database, small, report=stopping_at("优惠券"))
    async with wechat_for(small) as served:
        wechat = WeChat(served)
        signing_in = Api(replace(api.resources, wechat=wechat))
        answer = await signing_in(QUERY, VARIABLES)
        why = await signing_in(WHY, VARIABLES)
        await wechat.close()
    assert "errors" not in answer
    told = answer["data"]["loginWithWechat"]
    assert told.get("session"), why
    assert told["session"]["accessToken"]
    assert told["member"]["points"]["balance"] > 0


def test_the_banner_shows_the_query_as_one_can_paste_it() -> None:
    here = Addresses(Path("/d"), "127.0.0.1", 8123, "postgresql://", "redis://")
    words = shlex.split(demo_notes(here)[-1][1])
    assert words[:3] == ["curl", "-s", "http://127.0.0.1:8123/graphql"]
    assert json.loads(words[-1]) == {"query": QUERY, "variables": VARIABLES}
