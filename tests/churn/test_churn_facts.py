"""Facts out of the database: every column of the features from them, and a past day as it was."""

import random
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from app import churn, coupons
from app.churn import facts as facts_of_churn
from app.churn.copying import Places
from app.churn.known import by_code
from app.kernel.db import Database, Tx
from app.orders import Activity, ActivityKind, Channel, Order, OrderLine, Refund
from app.points import CheckIn
from ml import facts as kinds
from ml import features
from ml.bgnbd import BgNbd
from ml.cnbd import Cnbd
from ml.expectations import Expectations
from ml.facts import Facts
from ml.features import Matrix
from tests.conftest import NOON, TestClock
from tests.make.coupons import batch, template
from tests.make.members import member
from tests.ml import oracle
from tests.ml.oracle import History, features_of, zone_of

SHANGHAI = 8 * 3600
MODEL = Expectations(BgNbd(0.6, 12.0, 0.8, 2.3), Cnbd(2, 0.7, 9.0, 0.4, 2.1))
DAY = timedelta(days=1)


def columns_of(facts: churn.ChurnFacts, as_of: datetime) -> Matrix:
    """The features of all members as the models are given them."""
    everyone = np.arange(len(facts.member_ids), dtype=np.int32)
    known = Facts(**vars(facts))
    return features.build(known, int(as_of.timestamp()), everyone, purchases=MODEL)


async def read(database: Database, as_of: datetime, **more: datetime) -> churn.ChurnFacts:
    return await churn.read_facts(database, as_of=as_of, zone="Asia/Shanghai", **more)


class Shop:
    """Writes random rows for members and keeps them as histories for the oracle."""

    def __init__(self, tx: Tx, seed: int) -> None:
        self.tx = tx
        self.random = random.Random(seed)
        self.histories: dict[UUID, History] = {}
        self.orders: list[tuple[Order, oracle.Order]] = []

    async def join(self, count: int) -> None:
        for _ in range(count):
            self.histories[(await member(self.tx)).id] = History()

    def order(self, owner: UUID, at: datetime) -> None:
        roll, tx = self.random, self.tx
        kept = oracle.Order(at, fen=roll.randint(500, 9000), discount=roll.choice([0, 300]))
        row = Order(
            member_id=owner, id=tx.new_id(), source="s", order_no=str(tx.new_id()),
            channel=Channel.APP, placed_at=at - timedelta(minutes=3), paid_at=at,
            total_fen=kept.fen, discount_fen=kept.discount, refunded_fen=0,
        )  # fmt: skip
        tx.session.add(row)
        wanted = [roll.choice("ABCDE") for _ in range(roll.randint(0, 4))]
        kept.items, kept.products = 0, len(set(wanted))
        for number, sku in enumerate(wanted, 1):
            pieces = roll.randint(1, 5)
            category = {"A": None, "B": "fruit", "C": "fruit"}.get(sku, "grain")
            tx.session.add(
                OrderLine(
                    member_id=owner,
                    order_id=row.id,
                    line_no=number,
                    quantity=pieces,
                    paid_fen=1,
                    sku=sku,
                    name=sku,
                    category=category,
                )
            )
            kept.items += pieces
            code = {None: -1, "fruit": 1, "grain": 2}[category]
            kept.lines.append(("ABCDE".index(sku), code))
        self.histories[owner].orders.append(kept)
        self.orders.append((row, kept))

    def refund(self, row: Order, kept: oracle.Order, at: datetime) -> None:
        left = kept.fen - sum(fen for _, fen in kept.refunds)
        fen = self.random.randint(1, max(left // 2, 1))
        if fen > left:
            return
        kept.refunds.append((at, fen))
        row.refunded_fen, row.refunded_at = row.refunded_fen + fen, at
        self._back(row.member_id, at, fen, row.id)

    def loose_refund(self, owner: UUID, at: datetime) -> None:
        """One that names no order: it lowers the latest one at the time."""
        before = [o for o in self.histories[owner].orders if o.at <= at]
        if before:
            max(before, key=lambda o: o.at).refunds.append((at, 7))
        self._back(owner, at, 7, None)

    def _back(self, owner: UUID, at: datetime, fen: int, order_id: UUID | None) -> None:
        self.tx.session.add(
            Refund(
                member_id=owner,
                id=self.tx.new_id(),
                source="s",
                refund_no=str(self.tx.new_id()),
                order_id=order_id,
                quantity=0,
                amount_fen=fen,
                at=at,
            )
        )

    def deliver(self, row: Order, at: datetime) -> None:
        """Once: what is told of an order is only added to."""
        if row.delivered_at is not None:
            return
        owner, roll = self.histories[row.member_id], self.random
        row.delivered_at = at
        row.promised_at = at + timedelta(hours=roll.choice([-2, 2]))
        row.spoiled, row.complaint = roll.random() < 0.4, roll.random() < 0.4
        if row.promised_at < at:
            owner.events.append(oracle.Event(at, kinds.LATE))
        if row.spoiled:
            owner.events.append(oracle.Event(at, kinds.SPOILED))
        if row.complaint:
            # Some are written down when they are made, of others nobody knows when.
            told = roll.random() < 0.5
            made = at + (timedelta(hours=roll.randint(1, 400)) if told else 14 * DAY)
            row.complained_at = made if told else None
            owner.events.append(oracle.Event(made, kinds.COMPLAINT))

    def cancel(self, row: Order, kept: oracle.Order, at: datetime) -> None:
        row.cancelled_at = kept.gone = at

    def act(self, owner: UUID, at: datetime) -> None:
        kind, seconds = self.random.choice(list(ActivityKind)), self.random.randint(0, 400)
        self.tx.session.add(
            Activity(
                member_id=owner, event_id=str(self.tx.new_id()), at=at, kind=kind, seconds=seconds
            )
        )
        code = churn.KIND_CODES[kind]
        self.histories[owner].events.append(oracle.Event(at, code, seconds))


def lived(shop: Shop, as_of: datetime) -> None:
    """Fourteen months of everything, up to the instant itself and the second before it."""
    roll = shop.random
    for owner in list(shop.histories):
        for _ in range(roll.randint(0, 9)):
            at = as_of - timedelta(seconds=roll.choice([0, 1, roll.randint(1, 420 * 86_400)]))
            shop.order(owner, at)
        for _ in range(roll.randint(0, 20)):
            shop.act(owner, as_of - timedelta(seconds=roll.randint(0, 100 * 86_400)))
    for row, kept in list(shop.orders):
        happened(shop, row, kept, lambda at: at + timedelta(hours=roll.randint(1, 200)))
    for owner in list(shop.histories)[::3]:
        shop.loose_refund(owner, as_of - timedelta(days=roll.randint(1, 50)))


def happened(shop: Shop, row: Order, kept: oracle.Order, after) -> None:
    roll = shop.random
    if roll.random() < 0.5:
        shop.deliver(row, after(kept.at))
    if roll.random() < 0.15:
        shop.cancel(row, kept, after(kept.at))
    elif roll.random() < 0.4:
        for at in sorted(after(kept.at) for _ in range(roll.randint(1, 3))):
            shop.refund(row, kept, at)


@pytest.mark.parametrize("seed", range(4))
async def test_features_from_the_database_equal_the_oracle(
    database: Database, clock: TestClock, seed: int
) -> None:
    as_of = clock.now - 3 * DAY  # what happened since must not be seen
    async with database.begin() as tx:
        shop = Shop(tx, seed)
        await shop.join(12)
        lived(shop, as_of)
    facts = await read(database, as_of)
    matrix = columns_of(facts, as_of)
    ids = facts.ids(np.arange(len(facts.member_ids)))
    assert set(ids) == set(shop.histories)
    for row, owner in enumerate(ids):
        expected = features_of(shop.histories[owner], as_of, zone_of(SHANGHAI), MODEL, 45)
        got = dict(zip(matrix.names, matrix.values[row].tolist(), strict=True))
        for name, value in expected.items():
            assert got[name] == pytest.approx(value, rel=2e-6, abs=2e-5, nan_ok=True), name


async def grant(tx: Tx, owner: UUID, since: datetime, until: datetime, nth: int) -> coupons.Coupon:
    own = await batch(tx, template_id=(await template(tx)).id)
    row = coupons.Coupon(
        member_id=owner, id=tx.new_id(), batch_id=own.id, template_id=own.template_id, nth=nth,
        source=coupons.Source.STAFF, state=coupons.CouponState.ACTIVE, usable_from=since,
        expires_at=until, granted_at=since,
    )  # fmt: skip
    tx.session.add(row)
    await tx.session.flush()
    return row


async def test_coupons_are_seen_from_their_own_instants(
    database: Database, clock: TestClock
) -> None:
    now = clock.now
    async with database.begin() as tx:
        owner = (await member(tx)).id
        used = await grant(tx, owner, now - 30 * DAY, now + DAY, 1)
        returned = await grant(tx, owner, now - 29 * DAY, now + DAY, 2)
        await grant(tx, owner, now - 28 * DAY, now - 8 * DAY, 3)  # nobody has told it so yet
        gone = await grant(tx, owner, now - 27 * DAY, now - 4 * DAY, 4)
        gone.state = coupons.CouponState.EXPIRED
        revoked = await grant(tx, owner, now - 26 * DAY, now - 9 * DAY, 5)
        revoked.state = coupons.CouponState.REVOKED
        used.state, returned.state = coupons.CouponState.REDEEMED, coupons.CouponState.RETURNED
        await tx.session.flush()
        tx.session.add(
            coupons.Redemption(
                member_id=owner,
                coupon_id=used.id,
                order_ref="1",
                discount_fen=5,
                explanation={},
                at=now - 6 * DAY,
            )
        )
        tx.session.add(
            coupons.Return(
                member_id=owner,
                coupon_id=returned.id,
                order_ref="2",
                discount_fen=5,
                explanation={},
                redeemed_at=now - 7 * DAY,
                at=now - DAY,
                outcome=coupons.ReturnOutcome.POLICY,
            )
        )
    counts: list[tuple[float, ...]] = []
    for days in (28.5, 10, 6.5, 5, 0):
        as_of = now - days * DAY
        matrix = columns_of(await read(database, as_of), as_of)
        names = ("coupons_granted_90", "coupons_used_90", "coupons_expired_90")
        counts.append(tuple(float(matrix.column(name)[0]) for name in names))
    assert counts == [(2, 0, 0), (5, 0, 0), (5, 1, 1), (5, 2, 1), (5, 2, 2)]


async def test_check_ins_count_once_whoever_told_of_them(
    database: Database, clock: TestClock
) -> None:
    now = clock.now
    async with database.begin() as tx:
        shop = Shop(tx, 1)
        await shop.join(2)
        first, second = shop.histories
        for owner, days in ((first, 1), (first, 2), (second, 2)):
            at = now - days * DAY
            tx.session.add(CheckIn(member_id=owner, day=at.date(), streak=1, points=0, at=at))
        for owner, at in (
            (first, now - 2 * DAY),  # the same one
            (first, now - 3 * DAY),  # one that only the reporter knows
            (second, now - 1 * DAY),
        ):
            kind = ActivityKind.CHECK_IN
            tx.session.add(
                Activity(member_id=owner, event_id=str(tx.new_id()), at=at, kind=kind, seconds=0)
            )
    facts = await read(database, now)
    ids = facts.ids(np.arange(2))
    counted = columns_of(facts, now).column("check_ins_7").tolist()
    assert dict(zip(ids, counted, strict=True)) == {first: 3, second: 2}


@pytest.mark.parametrize("seed", [5, 6, 7])
async def test_a_past_day_is_seen_as_it_was_then(
    database: Database, clock: TestClock, seed: int
) -> None:
    """New members, orders, refunds, cancellations, deliveries and coupons since change nothing."""
    then = NOON
    async with database.begin() as tx:
        shop = Shop(tx, seed)
        await shop.join(15)
        lived(shop, then - 10 * DAY)
        for owner in list(shop.histories)[:5]:
            await grant(tx, owner, then - 5 * DAY, then + 5 * DAY, 1)
    facts = await read(database, then)
    at_the_time = columns_of(facts, then)
    known = set(facts.ids(np.arange(len(facts.member_ids))))
    clock.advance(days=40)
    async with database.begin() as tx:
        later = Shop(tx, seed + 100)
        later.histories = shop.histories
        for old, kept in shop.orders:
            row = await tx.session.get_one(Order, (old.member_id, old.id))
            if row.cancelled_at is None and row.refunded_fen == 0:
                happened(later, row, kept, lambda _: then + later.random.randint(0, 30) * DAY)
        await later.join(4)
        for owner in list(later.histories):
            for _ in range(3):
                later.order(owner, then + later.random.randint(0, 30) * DAY)
                later.act(owner, then + later.random.randint(0, 30) * DAY)
            later.loose_refund(owner, then + 2 * DAY)
            await grant(tx, owner, then, then + DAY, 2)
    again = await read(database, then)
    rows = [
        number
        for number, key in enumerate(again.ids(np.arange(len(again.member_ids))))
        if key in known
    ]
    assert len(rows) == 15 < len(again.member_ids)
    # As scoring would read it anew, and as training sees that day among today's facts.
    today = await read(database, clock.now)
    assert len(today.order_at) > len(again.order_at)
    for seen in (again, today):
        matrix = columns_of(seen, then)
        assert matrix.names == at_the_time.names
        for name, a, b in zip(
            matrix.names, matrix.values[rows].T, at_the_time.values.T, strict=True
        ):
            assert a.tobytes() == b.tobytes(), name


async def test_older_events_than_the_features_reach_can_be_left_unread(
    database: Database, clock: TestClock
) -> None:
    async with database.begin() as tx:
        shop = Shop(tx, 9)
        await shop.join(12)
        lived(shop, clock.now)
    whole = await read(database, clock.now)
    since = clock.now - timedelta(days=90)
    part = await read(database, clock.now, events_since=since)
    assert len(part.event_at) < len(whole.event_at)
    assert part.event_at.min() >= since.timestamp()
    ours, theirs = columns_of(part, clock.now), columns_of(whole, clock.now)
    assert ours.values.tobytes() == theirs.values.tobytes()


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_places_of_keys_are_found_and_strangers_are_not(count: int) -> None:
    roll = np.random.default_rng(count)
    keys = np.unique(roll.integers(0, 256, (count, 16), dtype=np.uint8), axis=0)
    near = np.zeros((count, 16), dtype=np.uint8)  # ids made in a row, alike but for two bytes
    near[:, 14], near[:, 15] = np.arange(count) // 256, np.arange(count) % 256
    for these in (keys, near):
        packed = np.ascontiguousarray(these).view("V16").ravel()
        turned = roll.permutation(count)
        strangers = roll.integers(0, 256, (700, 16), dtype=np.uint8)
        strangers[:, 0] = 255
        known = {value.tobytes(): number for number, value in enumerate(packed)}
        wanted = np.concatenate([packed[turned], strangers.view("V16").ravel()])
        expected = [known.get(value.tobytes(), -1) for value in wanted]
        assert Places(packed).of(wanted).tolist() == expected
        repeated = np.repeat(np.arange(len(wanted)), roll.integers(0, 4, len(wanted)))
        thrice = Places(packed).of_runs(wanted[repeated])
        assert thrice.tolist() == [expected[place] for place in repeated]


async def test_everything_is_read_as_of_one_instant(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, str]] = []
    read_known = facts_of_churn.read_known

    async def looking(driver: Any, *given: Any) -> Any:
        level = await driver.fetchval("SHOW transaction_isolation")
        seen.append((driver.is_in_transaction(), level))
        return await read_known(driver, *given)

    monkeypatch.setattr(facts_of_churn, "read_known", looking)
    await churn.read_facts(database, as_of=database.clock(), zone="Asia/Shanghai")
    assert seen == [(True, "repeatable read")]


@pytest.mark.parametrize("size", [0, 1, 400])
def test_rows_are_put_in_order_by_code_and_keep_their_own(size: int) -> None:
    roll = np.random.default_rng(size)
    for most in (2, 50, 2**31 - 1):
        code = np.repeat(roll.integers(0, most, size), roll.integers(1, 5, size)).astype(np.int32)
        assert by_code(code).tolist() == np.argsort(code, kind="stable").tolist()
