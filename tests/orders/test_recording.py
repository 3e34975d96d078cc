"""Batches of partner systems: a verdict a row, exactly once stored, forward only."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text

from app import members, orders
from app.kernel.crypto import Vault
from app.kernel.db import Database
from app.kernel.outbox import OutboxRow
from app.orders import ReportedLine, ReportedOrder, ReportedRefund, VerdictStatus, Whose
from tests.conftest import NOON
from tests.make import members as make

AT = NOON - timedelta(days=2)
LINES = [ReportedLine("A", "apple", 2, 500, "fruit"), ReportedLine("B", "pear", 1, 300)]


async def member(database: Database) -> UUID:
    async with database.begin() as tx:
        return (await make.member(tx)).id


def report(whose: UUID | Whose, number: str = "1", **facts: object) -> ReportedOrder:
    who = whose if isinstance(whose, Whose) else Whose(member_id=whose)
    base = ReportedOrder(who, number, orders.Channel.APP, AT, LINES)
    return replace(base, **facts)  # type: ignore[arg-type]


async def record(database: Database, vault: Vault, *rows: ReportedOrder) -> list[str]:
    """The verdicts as words: the status, or the complaint."""
    async with database.begin() as tx:
        found = await orders.record_orders(tx, vault=vault, source="shop", rows=rows)
    assert [item.index for item in found] == list(range(len(rows)))
    return [str(item.complaint or item.status) for item in found]


async def kinds(database: Database) -> list[str]:
    """The facts announced so far."""
    async with database.read() as read:
        found = await read.session.execute(select(OutboxRow.kind))
        return [kind for (kind,) in found if kind.startswith("order.")]


async def only(database: Database) -> orders.Order:
    async with database.read() as read:
        return (await read.session.scalars(select(orders.Order))).one()


async def test_an_order_moves_forward_and_never_back(database: Database, vault: Vault) -> None:
    who = await member(database)
    steps = [
        (report(who), "STORED", "PLACED"),
        (report(who, paid_at=AT), "UPDATED", "PAID"),
        (report(who), "DUPLICATE", "PAID"),
        (report(who, paid_at=AT, settled_at=NOON, lines=()), "UPDATED", "SETTLED"),
        (report(who, paid_at=NOON), "DUPLICATE", "SETTLED"),
        (report(who, refunds=[ReportedRefund("R1", 200, NOON)]), "UPDATED", "PARTLY_REFUNDED"),
        (report(who, refunds=[ReportedRefund("R1", 200, NOON)]), "DUPLICATE", "PARTLY_REFUNDED"),
        (
            report(who, refunds=[ReportedRefund("R2", 601, NOON)]),
            "REFUND_EXCEEDS",
            "PARTLY_REFUNDED",
        ),
        (report(who, refunds=[ReportedRefund("R3", 600, NOON)]), "UPDATED", "REFUNDED"),
        (report(who, late=True), "UPDATED", "REFUNDED"),
        (report(who, cancelled_at=NOON), "UPDATED", "CANCELLED"),
        (report(who, settled_at=NOON), "DUPLICATE", "CANCELLED"),
    ]
    for given, verdict, status in steps:
        assert await record(database, vault, given) == [verdict]
        order = await only(database)
        assert order.status == status
        assert order.paid_at in (None, AT)
    assert order.late
    assert (order.total_fen, order.refunded_fen) == (800, 800)
    assert sorted(await kinds(database)) == [
        "order.cancelled",
        "order.paid",
        "order.refunded",
        "order.refunded",
        "order.settled",
    ]


@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        # Told of an order that was there: now, however long ago it was delivered.
        ({"delivered_at": NOON - timedelta(days=90)}, {"complaint": True}, True),
        # With an order that is new and came lately.
        ({"delivered_at": NOON - timedelta(days=14), "complaint": True}, {}, True),
        ({"complaint": True}, {}, True),
        # With history that is brought in: nobody knows when.
        ({"delivered_at": NOON - timedelta(days=15), "complaint": True}, {}, False),
        ({"delivered_at": NOON - timedelta(days=15), "complaint": True}, {"late": True}, False),
        ({}, {"late": True}, False),
    ],
)
async def test_the_instant_of_a_complaint_is_kept_where_it_is_known(
    database: Database,
    vault: Vault,
    first: dict[str, object],
    then: dict[str, object],
    told: bool,
) -> None:
    who = await member(database)
    old: dict[str, object] = {"placed_at": NOON - timedelta(days=100)}

    def told_of(facts: dict[str, object]) -> ReportedOrder:
        return report(who, "1", **(old | facts))

    await record(database, vault, told_of(first))
    await record(database, vault, told_of(first | then))
    order = await only(database)
    assert order.complaint is ("complaint" in first or "complaint" in then)
    assert order.complained_at == (NOON if told else None)
    assert await record(database, vault, told_of({"complaint": True})) in (
        ["DUPLICATE"],
        ["UPDATED"],
    )
    again = await only(database)
    assert again.complained_at == (order.complained_at if order.complaint else NOON)


async def test_a_bad_row_never_sinks_the_batch(database: Database, vault: Vault) -> None:
    who = await member(database)
    assert await record(
        database,
        vault,
        report(who, "1", paid_at=AT),
        report(uuid4(), "2"),
        report(who, "3", lines=()),
        report(who, "4", settled_at=AT),
        report(who, "5", lines=[ReportedLine("A", "a\0b", 1, 1)]),
        report(who, "6", leader_id=uuid4()),
        report(who, "7", paid_at=AT, refunds=[ReportedRefund("R", 801, AT)]),
        report(who, "8", paid_at=AT, refunds=[ReportedRefund("R", 1, AT)]),
        report(who, "9", paid_at=AT, refunds=[ReportedRefund("R", 1, AT)]),
        report(who, "1", lines=LINES[:1]),
        report(who, "10", leader_id=who),
    ) == [
        "STORED",
        "MEMBER_UNKNOWN",
        "NO_LINES",
        "NOT_PAID",
        "BAD_TEXT",
        "LEADER_UNKNOWN",
        "REFUND_EXCEEDS",
        "STORED",
        "REFUND_NO_TAKEN",
        "ORDER_DIFFERS",
        "STORED",
    ]
    async with database.read() as read:
        stored = await read.session.scalars(select(orders.Order.order_no))
        assert sorted(stored) == ["1", "10", "8"]


async def test_refunds_reach_their_line_and_belong_to_one_order(
    database: Database, vault: Vault
) -> None:
    who = await member(database)
    piece = ReportedRefund("R1", 250, NOON, line_no=1, quantity=1, reason="soft")
    assert await record(database, vault, report(who, paid_at=AT, refunds=[piece])) == ["STORED"]
    assert await record(database, vault, report(who, "2", paid_at=AT, refunds=[piece])) == [
        "REFUND_NO_TAKEN"
    ]
    more = [
        ReportedRefund("R2", 100, NOON, line_no=1, quantity=0),
        ReportedRefund("R3", 150, NOON, line_no=1, quantity=1),
    ]
    assert await record(database, vault, report(who, refunds=more)) == ["UPDATED"]
    async with database.read() as read:
        line = (await read.session.scalars(select(orders.OrderLine).filter_by(line_no=1))).one()
        assert (line.refunded_quantity, line.refunded_fen) == (2, 500)
        refund = (await read.session.scalars(select(orders.Refund).filter_by(refund_no="R1"))).one()
        assert (refund.sku, refund.quantity, refund.matched) == ("A", 1, False)
        assert not await _bought(read, who, "A")
        assert await _bought(read, who, "B")


async def _bought(read: object, who: UUID, sku: str) -> bool:
    return (await orders.has_bought(read, [(who, sku)]))[who, sku]  # type: ignore[arg-type]


async def test_an_order_twice_in_a_batch_is_stored_then_moved(
    database: Database, vault: Vault
) -> None:
    who = await member(database)
    assert await record(
        database, vault, report(who), report(who, paid_at=AT), report(who, paid_at=AT)
    ) == ["STORED", "UPDATED", "DUPLICATE"]


async def test_members_are_found_by_identity(database: Database, vault: Vault) -> None:
    async with database.begin() as tx:
        await make.community(tx)
        known = await members.sign_in_by_phone(tx, vault=vault, phone="13800138000")
    phone = Whose(kind=members.IdentityKind.PHONE, value="138 0013 8000")
    other = Whose(kind=members.IdentityKind.STORE_CARD, app="shop", value="13800138000")
    nobody = [Whose(), other, Whose(kind=members.IdentityKind.PHONE, value="abc")]
    given = [report(phone), *(report(who, str(n)) for n, who in enumerate(nobody, 2))]
    assert await record(database, vault, *given) == ["STORED", *["MEMBER_UNKNOWN"] * 3]
    assert (await only(database)).member_id == known.id


async def test_the_same_batch_from_two_sides_is_stored_once(
    database: Database, vault: Vault
) -> None:
    who = [await member(database) for _ in range(3)]
    batch = [
        report(who[n % 3], str(n), paid_at=AT, refunds=[ReportedRefund(f"R{n}", 100, NOON)])
        for n in range(60)
    ]
    sides = [batch, batch[::-1], batch[::2] + batch[1::2], batch]
    found = await asyncio.gather(*(record(database, vault, *side) for side in sides))
    assert sorted(word for verdicts in found for word in verdicts) == (
        ["DUPLICATE"] * 180 + ["STORED"] * 60
    )
    async with database.read() as read:
        totals = await read.session.execute(
            text("SELECT count(*), sum(total_fen), sum(refunded_fen) FROM member_order")
        )
        assert totals.one() == (60, 48_000, 6_000)
        assert await read.session.scalar(text("SELECT sum(amount_fen) FROM refund")) == 6_000
        lines = await read.session.scalar(text("SELECT count(*) FROM order_line"))
        assert lines == 120
    assert sorted(await kinds(database)) == ["order.paid"] * 60 + ["order.refunded"] * 60


async def test_refunds_at_once_never_exceed_the_order(database: Database, vault: Vault) -> None:
    who = await member(database)
    await record(database, vault, report(who, paid_at=AT))
    found = await asyncio.gather(
        *(
            record(database, vault, report(who, refunds=[ReportedRefund(f"R{n}", 300, NOON)]))
            for n in range(6)
        )
    )
    assert sorted(word for [word] in found) == ["REFUND_EXCEEDS"] * 4 + ["UPDATED"] * 2
    assert (await only(database)).refunded_fen == 600


async def test_batches_have_a_limit_and_sources_a_name(database: Database, vault: Vault) -> None:
    who = await member(database)
    with pytest.raises(orders.BatchTooLarge):
        await record(database, vault, *[report(who)] * 1001)
    async with database.begin() as tx:
        for name in ("", " ", "s" * 65, "a\0"):
            with pytest.raises(orders.BadSource):
                await orders.record_orders(tx, vault=vault, source=name, rows=[])
        assert await orders.record_orders(tx, vault=vault, source="s", rows=[]) == []


async def test_events_are_stored_once_and_browsing_is_told(
    database: Database, vault: Vault
) -> None:
    who = await member(database)
    kind = orders.ActivityKind
    event = orders.ReportedEvent(Whose(member_id=who), "e1", kind.BROWSE, AT, sku="A")
    batch = [
        event,
        event,
        replace(event, event_id="e2", at=NOON, sku="B"),
        replace(event, event_id="e3", kind=kind.SESSION, seconds=90),
        replace(event, whose=Whose(member_id=uuid4())),
        replace(event, event_id="e4", seconds=-1),
    ]

    async def send() -> list[str]:
        async with database.begin() as tx:
            found = await orders.record_events(tx, vault=vault, rows=batch)
        return [str(item.complaint or item.status) for item in found]

    bad = ["MEMBER_UNKNOWN", "BAD_NUMBER"]
    sides = await asyncio.gather(send(), send())
    assert sorted(sides) == [
        ["DUPLICATE"] * 4 + bad,
        ["STORED", "DUPLICATE", "STORED", "STORED", *bad],
    ]
    async with database.read() as read:
        assert await orders.last_activity(read, [who]) == {who: NOON}
        assert await orders.last_activity(read, [who], kinds=[kind.SESSION]) == {who: AT}
        told = await read.session.scalars(
            select(OutboxRow.payload).where(OutboxRow.kind == "browse.seen")
        )
        assert [fact["sku"] for fact in told] == ["B"]


def test_every_status_has_its_word() -> None:
    assert {str(status) for status in VerdictStatus} == {
        "STORED",
        "UPDATED",
        "DUPLICATE",
        "REJECTED",
    }
    assert all(item.message(lang) for item in orders.Complaint for lang in ("zh-CN", "en"))  # type: ignore[arg-type]
