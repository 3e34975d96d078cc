"""The clock of API, worker and scheduler leaps an hour ahead and back: nothing is done twice."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app import drops
from app.kernel.db import Database
from schema.nodes import global_id, key_of
from tests.chaos.askew import FILE
from tests.chaos.clients import Crowd, Follower
from tests.chaos.reckoning import Figures
from tests.chaos.rig import House, until
from tests.chaos.scene import ADJUST, CHECK_IN, CLAIM, UPDATES, Scene, seed
from tests.make.drops import drop as make_drop

HOUR = 3600
# Ahead and back, behind and back, far ahead.
JUMPS = [0, HOUR, 0, -HOUR, 0, 120, 2 * HOUR, 0]
PEOPLE, STOCK = 6, 100
LOGIN = """mutation($code: String!) { loginWithWechat(input: {code: $code}) {
  ... on MemberSession { member { id } session { accessToken refreshToken } }
  ... on UserError { code } } }"""
REFRESH = """mutation($token: String!) { refreshSession(input: {refreshToken: $token}) {
  __typename ... on RefreshSessionSuccess { session { accessToken refreshToken } } } }"""
CLOSED = "SELECT state, claimed FROM coupon_drop WHERE id = $1"


class Person:
    """A member who signs in once, and then only ever exchanges the refresh token."""

    def __init__(self, crowd: Crowd, name: str) -> None:
        self.id = ""
        self.refreshed = 0
        self.coupons: set[str] = set()
        self._crowd = crowd
        self._name = name
        self.session: dict[str, str] = {}

    async def sign_in(self) -> None:
        """By the built-in WeChat."""
        answer = await self._crowd.ask(LOGIN, {"code": f"dev-{self._name}"}, None)
        self.id = answer["loginWithWechat"]["member"]["id"]
        self.session = answer["loginWithWechat"]["session"]

    async def refresh(self) -> None:
        """A session that was not misused lives for 60 days, whatever the clock does."""
        token = {"token": self.session["refreshToken"]}
        answer = (await self._crowd.ask(REFRESH, token, None))["refreshSession"]
        assert answer["__typename"] == "RefreshSessionSuccess", answer
        self.session = answer["session"]
        self.refreshed += 1

    async def ask(self, document: str, **variables: str) -> dict[str, Any]:
        """Ask, with a new access token if the old one has run out."""
        for _ in range(2):
            data = await self._crowd.ask(document, variables, self.session["accessToken"])
            (answer,) = data.values()
            if answer["__typename"] != "NotSignedIn":
                return answer
            await self.refresh()
        raise AssertionError(f"{self._name} cannot stay signed in")


async def second_drop(house: House) -> str:
    """One that opens in half an hour."""
    database = Database(house.database_url)
    async with database.begin() as tx:
        made: drops.Drop = await make_drop(tx, stock=STOCK, opens_in=timedelta(minutes=30))
    await database.close()
    return global_id("Drop", made.id)


async def live_on(person: Person, drops_of: list[str], turn: int) -> None:
    """Claim whatever there is and check in, under the keys of all turns and of this one."""
    for drop in drops_of:
        answer = await person.ask(CLAIM, drop=drop, key=f"tap-{drop}")
        if answer["__typename"] == "ClaimDropSuccess":
            person.coupons.add(answer["claim"]["coupon"]["id"])
        else:
            assert answer["__typename"] in {"NotOpen", "AlreadyClaimed"}, answer
    checked = await person.ask(CHECK_IN, key=f"day-{turn}")
    assert checked["__typename"] in {"CheckInSuccess", "AlreadyCheckedIn"}, checked


async def ticks(house: House, seconds: int) -> None:
    """Wait until the scheduler has claimed the minute that its clock shows."""
    minute = (datetime.now(UTC) + timedelta(seconds=seconds)).replace(second=0, microsecond=0)
    query = "SELECT count(*) FROM schedule_run WHERE name = 'campaigns' AND due_at >= $1"

    async def claimed() -> bool:
        return await house.value(query, minute) > 0

    await until(claimed, f"the scheduler works at {seconds} s")


@pytest.fixture
def wind(house: House, tmp_path: Path) -> Callable[[float], None]:
    """Set the clock of what the house starts from now on."""
    file = tmp_path / "clock"
    house.entry = "tests.chaos.askew"
    house.more = {FILE: str(file)}

    def set_clock(seconds: float) -> None:
        draft = tmp_path / "clock.draft"
        draft.write_text(str(seconds))
        draft.rename(file)

    set_clock(0)
    return set_clock


async def test_clock_jumps(house: House, wind: Callable[[float], None]) -> None:
    scene = await seed(house.database_url, people=2, stock=STOCK)
    later = await second_drop(house)
    await asyncio.gather(house.add_api(), house.add_worker(), house.add_scheduler())
    async with Crowd(house.urls) as crowd:
        people = [Person(crowd, f"leaper-{index}") for index in range(PEOPLE)]
        for person in people:
            await person.sign_in()
        first = people[0]
        follower = Follower(house.urls, UPDATES, {}, first.session["accessToken"])
        adjusted = 0
        for turn, seconds in enumerate(JUMPS):
            wind(seconds)
            await ticks(house, seconds)
            for person in people:
                await live_on(person, [scene.drop_id, later], turn)
            follower.token = first.session["accessToken"]
            adjusted += await gift(crowd, scene, first, turn, seconds)
        await until_heard(house, follower, first)
        figures = await reckon(house, crowd, people, follower, first)
        await follower.end()
    figures.faults = len(JUMPS) - 1
    figures.show()
    figures.require_whole()
    state, claimed = (await house.rows(CLOSED, scene.drop))[0]
    assert (state, claimed) == ("CLOSED", PEOPLE), "closed an hour ahead, it stays so"
    gifts = await house.value("SELECT count(*) FROM points_entry WHERE kind = 'ADJUST'")
    assert gifts == adjusted
    for name in ("serve", "worker", "scheduler"):
        assert "Traceback" not in house.said(name)


async def gift(crowd: Crowd, scene: Scene, person: Person, turn: int, seconds: int) -> int:
    """Staff give a point while their token lasts; answers how many they gave."""
    given = {"member": person.id, "amount": 1, "key": f"gift-{turn}"}
    answer = (await crowd.ask(ADJUST, given, scene.boss))["adjustPoints"]
    assert (answer["__typename"] == "AdjustPointsSuccess") == (seconds < HOUR), answer
    return int(seconds < HOUR)


async def places_of(house: House, person: Person) -> list[int]:
    """The places of everything that happened to a member."""
    topic = f"member:{key_of(person.id, 'Member')}"
    rows = await house.rows("SELECT seq FROM live_event WHERE topic = $1 ORDER BY seq", topic)
    return [row["seq"] for row in rows]


async def until_heard(house: House, follower: Follower, person: Person) -> None:
    """Wait until nothing is on its way."""

    async def quiet() -> bool:
        if await house.value("SELECT count(*) FROM outbox"):
            return False
        return follower.places[-1:] == (await places_of(house, person))[-1:]

    await until(quiet, "what happened was told")


async def reckon(
    house: House, crowd: Crowd, people: list[Person], follower: Follower, first: Person
) -> Figures:
    """Coupons by members, check-ins by days, runs of plans by instants, pushes by places."""
    figures = Figures("clock jumps of an hour", requests=crowd.requests, again=crowd.again)
    told = Counter(coupon for person in people for coupon in person.coupons)
    rows = await house.rows("SELECT id FROM coupon WHERE source = 'DROP'")
    held = Counter(str(global_id("Coupon", row["id"])) for row in rows)
    figures.lost = [*(told - held)]
    figures.doubled = [*(held - told)]
    days = await house.value(
        "SELECT max(number) FROM (SELECT count(*) AS number FROM check_in GROUP BY member_id) x"
    )
    figures.doubled += ["check-in"] * max(0, days - 2)
    open_runs = await house.value(
        "SELECT count(*) FROM schedule_run WHERE finished_at IS NULL AND error IS NOT NULL"
    )
    figures.stuck = ["plan"] * open_runs
    places = follower.places
    figures.pushed = len(places)
    figures.breaks = follower.breaks
    happened = [place for place in await places_of(house, first) if place >= places[0]]
    figures.lost += ["push"] * len(set(happened) - set(places))
    figures.doubled += ["push"] * (len(places) - len(set(places)))
    figures.more = {"tokens refreshed": sum(person.refreshed for person in people)}
    return figures
