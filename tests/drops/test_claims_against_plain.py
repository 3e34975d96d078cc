"""Group commit against the plain way on random scenarios: the same answers and the same rows.

Each scenario is built twice. In one world the claims go through `Claims`; in the other `claim_all`
and `once` serve them, batch by batch in the order in which a lane takes them.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from app import coupons, drops, tiers
from app.coupons import BatchState, CodeMode, Validity
from app.drops import Claims, DropState, Window
from app.kernel.db import Database, Tx
from app.kernel.errors import IdempotencyKeyReused, NotBefore, Refusal
from app.kernel.idempotency import IdempotencyRow, once
from app.kernel.outbox import OutboxRow
from app.kernel.table import Json
from app.members import Identity, IdentityKind, MemberStatus
from tests.conftest import NOON
from tests.drops.claimants import blind_of, identity
from tests.make import coupons as make_coupons
from tests.make import drops as make
from tests.make.members import community, member
from tests.make.tiers import standing


@dataclass(frozen=True)
class Person:
    """Who claims, where they stand, and how many coupons of the template they have already."""

    status: MemberStatus
    away: bool
    held: int
    tier: str | None
    guest: bool
    # Somebody has claimed already under an identity that is theirs by now.
    known: bool


@dataclass(frozen=True)
class Try:
    """A claim of the n-th person (or of nobody known), under a key, with some input."""

    person: int
    key: str
    given: int


@dataclass(frozen=True)
class Scenario:
    """A drop, the people and what they try, wave after wave; a wave is sent at once."""

    stock: int
    per_member: int
    at_home_only: bool
    min_rank: int | None
    guests_only: bool
    # Opens with the third wave; Diamond may claim in the first, Gold in the second.
    early: bool
    state: DropState
    paused: bool
    validity: str
    code_mode: CodeMode
    people: list[Person]
    waves: list[list[Try]]


PEOPLE = st.builds(
    Person,
    st.sampled_from([MemberStatus.ACTIVE] * 4 + [MemberStatus.FROZEN]),
    st.booleans(),
    st.sampled_from([0, 0, 0, 1, 2]),
    st.sampled_from([None, "NORMAL", "GOLD", "DIAMOND"]),
    st.sampled_from([True, True, False]),
    st.sampled_from([False] * 5 + [True]),
)
TRIES = st.builds(Try, st.integers(0, 6), st.sampled_from("ab"), st.sampled_from([0, 0, 0, 1]))
SCENARIOS = st.builds(
    Scenario,
    stock=st.integers(1, 5),
    per_member=st.integers(1, 2),
    at_home_only=st.sampled_from([False, False, True]),
    min_rank=st.sampled_from([None] * 3 + [2]),
    guests_only=st.sampled_from([False] * 3 + [True]),
    early=st.booleans(),
    state=st.sampled_from([DropState.OPEN] * 4 + [DropState.SCHEDULED, DropState.CANCELLED]),
    paused=st.sampled_from([False] * 5 + [True]),
    validity=st.sampled_from(["now"] * 3 + ["tomorrow", "over"]),
    code_mode=st.sampled_from(list(CodeMode)),
    people=st.lists(PEOPLE, min_size=6, max_size=6),
    waves=st.lists(st.lists(TRIES, max_size=10), max_size=3),
)


@dataclass(frozen=True)
class World:
    """A scenario as it is stored."""

    drop: drops.Drop
    template_id: UUID
    people: list[UUID]


async def build(tx: Tx, scenario: Scenario) -> World:
    """The drop and its people; SCHEDULED is one whose hour comes with the second wave."""
    homes = [await community(tx), await community(tx, "喀什花园", "Asia/Urumqi")]
    wait = 1 if scenario.validity == "tomorrow" else 0
    template = await make_coupons.template(tx, per_member=scenario.per_member, wait_days=wait)
    held = await make_coupons.batch(tx, template_id=template.id)
    batch = await make_coupons.batch(tx, template_id=template.id, code_mode=scenario.code_mode)
    await tiers.ensure_tiers(tx)
    windows = [Window(3, tx.now, 1), Window(2, tx.now + timedelta(minutes=1), 1)]
    drop = await make.drop(
        tx,
        batch_id=batch.id,
        stock=max(scenario.stock, 2) if scenario.early else scenario.stock,
        opens_in=timedelta(minutes=2 if scenario.early else 1),
        community_id=homes[0].id if scenario.at_home_only else None,
        min_rank=scenario.min_rank,
        guests_only=scenario.guests_only,
        early=windows if scenario.early else (),
    )
    opened = scenario.state is not DropState.SCHEDULED and not scenario.early
    if opened or scenario.state is DropState.CANCELLED:
        await drops.open_drop(tx, drop_id=drop.id)
    if scenario.state is DropState.CANCELLED:
        await drops.cancel_drop(tx, drop_id=drop.id, reason="sick printer")
    people: list[UUID] = []
    for person in scenario.people:
        row = await member(tx, community_id=homes[person.away].id)
        for _ in range(min(person.held, scenario.per_member)):
            await make_coupons.coupon(tx, member_id=row.id, batch_id=held.id)
        row.status = person.status
        people.append(row.id)
        await _stand(tx, drop.id, row.id, person)
    if scenario.paused:
        batch.state = BatchState.PAUSED
    if scenario.validity == "over":
        template.validity = Validity.ABSOLUTE
        template.valid_from, template.valid_until = tx.now - timedelta(1), tx.now
    await tx.session.flush()
    return World(drop, template.id, [*people, uuid4()])


async def _stand(tx: Tx, drop_id: UUID, member_id: UUID, person: Person) -> None:
    """A person's tier, invitation and identities."""
    if person.tier is not None:
        await standing(tx, member_id=member_id, tier_code=person.tier)
    for kind in (IdentityKind.PHONE, IdentityKind.STORE_CARD):
        tx.session.add(identity(tx, member_id, kind))
    if person.guest:
        tx.session.add(drops.Guest(member_id=member_id, drop_id=drop_id))
    if person.known:
        blind = blind_of(member_id)
        kind = IdentityKind.PHONE
        tx.session.add(drops.ClaimedIdentity(drop_id=drop_id, kind=kind, app="", blind=blind))
    await tx.session.flush()


def said(refusal: Refusal) -> object:
    """What tells refusals apart: their kind, and the instant that one names."""
    return (type(refusal), refusal.at) if isinstance(refusal, NotBefore) else type(refusal)


async def together(claims: Claims, world: World, wave: Sequence[Try]) -> list[object]:
    """The answers of group commit: when it was claimed, or the refusal."""

    async def one(attempt: Try) -> object:
        try:
            made = await claims.claim(
                drop_id=world.drop.id,
                member_id=world.people[attempt.person],
                key=attempt.key,
                given={"given": attempt.given},
            )
        except Refusal as refusal:
            return said(refusal)
        return made.claimed_at

    return list(await asyncio.gather(*(one(attempt) for attempt in wave)))


def batches(wave: Sequence[Try]) -> list[list[Try]]:
    """How a lane takes them: doubles join, and of each person one claim at a time."""
    left: dict[int, list[Try]] = {}
    for attempt in dict.fromkeys(wave):
        left.setdefault(attempt.person, []).append(attempt)
    taken: list[list[Try]] = []
    while left:
        taken.append([own.pop(0) for own in left.values()])
        left = {person: own for person, own in left.items() if own}
    return taken


async def one_by_one(database: Database, world: World, wave: Sequence[Try]) -> list[object]:
    """The same by `claim_all` and `once`, a transaction a batch."""
    answers: dict[Try, object] = {}
    for batch in batches(wave):
        async with database.begin() as tx:
            await _batch(tx, world, batch, answers)
    return [answers[attempt] for attempt in wave]


async def _batch(tx: Tx, world: World, batch: Sequence[Try], answers: dict[Try, object]) -> None:
    used = await tx.session.execute(
        select(IdempotencyRow.owner_id, IdempotencyRow.key).where(
            IdempotencyRow.owner_id.in_(world.people)
        )
    )
    keys = {(row[0], row[1]) for row in used}
    ids = {attempt: world.people[attempt.person] for attempt in batch}
    fresh = [attempt for attempt in batch if (ids[attempt], attempt.key) not in keys]
    verdicts = await drops.claim_all(
        tx, drop_id=world.drop.id, member_ids=[ids[attempt] for attempt in fresh]
    )
    for attempt in batch:
        verdict = verdicts.get(ids[attempt]) if attempt in fresh else None
        if isinstance(verdict, Refusal):
            answers[attempt] = said(verdict)
            continue

        async def work(verdict: drops.Claim | None = verdict) -> Json:
            assert verdict is not None, "a used key does no work"
            return {"coupon": str(verdict.coupon_id), "at": verdict.claimed_at.isoformat()}

        try:
            answer = await once(
                tx,
                owner_id=ids[attempt],
                command="claimDrop",
                key=attempt.key,
                given={"given": attempt.given},
                work=work,
            )
            answers[attempt] = datetime.fromisoformat(answer["at"])
        except IdempotencyKeyReused:
            answers[attempt] = IdempotencyKeyReused


async def picture(database: Database, world: World) -> dict[str, Any]:
    """Every row that claims leave, with people by number and coupons by whose they are."""
    number = {key: nth for nth, key in enumerate(world.people)}
    topics = [drops.drop_topic(world.drop.id), *(f"member:{key}" for key in number)]
    async with database.read() as read:
        given = await read.session.scalars(
            select(coupons.Coupon).where(coupons.Coupon.template_id == world.template_id)
        )
        rows = {row.id: row for row in given}
        claims = await read.session.scalars(
            select(drops.Claim).where(drops.Claim.drop_id == world.drop.id)
        )
        keys = await read.session.scalars(
            select(IdempotencyRow).where(IdempotencyRow.owner_id.in_(world.people))
        )
        told = await read.session.scalars(
            select(OutboxRow).where(OutboxRow.topics.op("&&")(topics))
        )
        drop = (await drops.by_id(read, [world.drop.id]))[world.drop.id]

        def whose(coupon_id: object) -> tuple[int, int]:
            row = rows[UUID(str(coupon_id))]
            return number[row.member_id], row.nth

        return {
            "drop": (drop.claimed, drop.state, drop.version, drop.opens_at, drop.settled_at),
            "coupons": sorted(
                (
                    *(number[row.member_id], row.nth, row.batch_id == world.drop.batch_id),
                    *(row.source, row.source_id == world.drop.id, row.state, row.code is None),
                    *(row.usable_from, row.expires_at, row.granted_at),
                )
                for row in rows.values()
            ),
            "identities": sorted(
                [
                    number[row]
                    for row in await read.session.scalars(
                        select(Identity.member_id)
                        .join(drops.ClaimedIdentity, drops.ClaimedIdentity.blind == Identity.blind)
                        .where(drops.ClaimedIdentity.drop_id == world.drop.id)
                    )
                ]
            ),
            "claims": sorted(
                (number[row.member_id], whose(row.coupon_id), row.claimed_at) for row in claims
            ),
            "keys": sorted(
                (
                    *(number[row.owner_id], row.command, row.key, row.digest, row.at),
                    *(whose((row.answer or {})["coupon"]), (row.answer or {})["at"]),
                )
                for row in keys
            ),
            # Facts of one instant have ids in the order of chance.
            "facts": sorted((_fact(row, world, whose) for row in told), key=repr),
        }


def _fact(row: OutboxRow, world: World, whose: Any) -> tuple[Any, ...]:
    payload = dict(row.payload)
    for name in ("opens_at", "closes_at"):
        if name in payload:
            payload[name] = datetime.fromisoformat(payload[name])
    if row.kind == "coupon.granted":
        payload["coupon_id"] = person = whose(payload["coupon_id"])
        assert row.topics == [f"member:{payload.pop('member_id')}"]
        assert row.topics == [f"member:{world.people[person[0]]}"]
        payload["batch_id"] = payload["batch_id"] == str(world.drop.batch_id)
    else:
        assert row.topics == [f"drop:{payload.pop('drop_id')}"]
    return row.kind, sorted(payload.items()), row.at


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(scenario=SCENARIOS)
async def test_the_same_answers_and_the_same_rows(
    database: Database, clock: Any, scenario: Scenario
) -> None:
    clock.now = NOON
    async with database.begin() as tx:
        gathered, plain = await build(tx, scenario), await build(tx, scenario)
    claims = Claims(database)
    for wave in scenario.waves:
        mine = await together(claims, gathered, wave)
        assert mine == await one_by_one(database, plain, wave)
        clock.advance(minutes=1, seconds=1, microseconds=70)
    await claims.drain()
    assert await picture(database, gathered) == await picture(database, plain)
