"""Reading only what changed since the night before gives what reading everything gives."""

import json
import os
import random
import zipfile
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from app import churn
from app.churn import facts as facts_of_churn
from app.churn import kept as keeping
from app.kernel.db import Database
from tests.churn.test_churn_facts import Shop, columns_of, lived
from tests.conftest import NOON, TestClock
from tests.make.members import community, member
from tests.make.orders import line, order

ONE = "(SELECT ctid FROM {table} ORDER BY md5(ctid::text || '{salt}') LIMIT {n})"
# What may happen to a row between two nights, whether or not the product ever does it.
HAPPENINGS = {
    "pay": "UPDATE member_order SET paid_at = placed_at WHERE paid_at IS NULL",
    "cancel": "UPDATE member_order SET cancelled_at = paid_at + interval '2 hours' "
    "WHERE ctid IN " + ONE.format(table="member_order", salt="{salt}", n=3),
    "return a piece": "UPDATE order_line SET refunded_quantity = 1 WHERE ctid IN "
    + ONE.format(table="order_line", salt="{salt}", n=4),
    "rename an article": "UPDATE order_line SET sku = 'Z', category = 'new' WHERE ctid IN "
    + ONE.format(table="order_line", salt="{salt}", n=3),
    "lose a line": "DELETE FROM order_line WHERE ctid IN "
    + ONE.format(table="order_line", salt="{salt}", n=1),
    "lose an order": "WITH o AS (DELETE FROM member_order WHERE ctid IN "
    + ONE.format(table="member_order", salt="{salt}", n=1)
    + " AND NOT EXISTS (SELECT FROM refund r WHERE r.order_id = member_order.id) RETURNING id) "
    "DELETE FROM order_line USING o WHERE order_id = o.id",
    "swap a line for another": "WITH l AS (DELETE FROM order_line WHERE ctid IN "
    + ONE.format(table="order_line", salt="{salt}", n=1)
    + " RETURNING *) INSERT INTO order_line "
    "(member_id, order_id, line_no, quantity, paid_fen, sku, name) "
    "SELECT member_id, order_id, line_no + 50, quantity, paid_fen, 'new', 'new' FROM l",
    "call a member a tester": "UPDATE member SET is_test = NOT is_test WHERE ctid IN "
    + ONE.format(table="member", salt="{salt}", n=1),
    "nothing": "SELECT 1",
}


async def read(database: Database, as_of: datetime, kept: Path | None) -> churn.ChurnFacts:
    return await churn.read_facts(database, as_of=as_of, zone="Asia/Shanghai", kept=kept)


def rows(facts: churn.ChurnFacts) -> dict[str, Any]:
    """All columns with orders, lines and events in an order of their own, as reading has none."""
    orders = np.stack([getattr(facts, name) for name in vars(facts) if name.startswith("order_")])
    turned = np.lexsort(orders)
    place = np.empty(len(turned), dtype=np.int64)
    place[turned] = np.arange(len(turned))
    lines = np.stack([place[facts.line_order], facts.line_product, facts.line_category])
    events = np.stack([getattr(facts, name) for name in vars(facts) if name.startswith("event_")])
    return {
        "members": facts.member_ids.tobytes(),
        "orders": orders[:, turned].tolist(),
        "lines": sorted(lines.T.tolist()),
        "events": sorted(events.T.tolist()),
    }


async def require_alike(database: Database, as_of: datetime, kept: Path, why: str = "") -> None:
    ours, whole = await read(database, as_of, kept), await read(database, as_of, None)
    assert rows(ours) == rows(whole), why
    assert columns_of(ours, as_of).values.tobytes() == columns_of(whole, as_of).values.tobytes()


RowsRead = Callable[[Database, Path], Awaitable[int]]


@pytest.fixture
def rows_read(monkeypatch: pytest.MonkeyPatch) -> RowsRead:
    """Reads with a file and answers how many rows were read for it."""
    taken: list[int] = []
    read_known = keeping.read_known

    async def counting(*given: Any) -> Any:
        known = await read_known(*given)
        taken.append(int(known.rows.sum()))
        return known

    # Wherever it is called from: by the whole night, and for some members only.
    monkeypatch.setattr(keeping, "read_known", counting)
    monkeypatch.setattr(facts_of_churn, "read_known", counting)

    async def rows_read(database: Database, kept: Path) -> int:
        taken.clear()
        await read(database, NOON, kept)
        return sum(taken)

    return rows_read


async def open_shop(database: Database, seed: int, members: int = 12) -> None:
    async with database.begin() as tx:
        shop = Shop(tx, seed)
        await shop.join(members)
        lived(shop, NOON - timedelta(days=1))
        for owner in list(shop.histories)[:4]:
            await order(tx, member_id=owner, paid=False)


@pytest.mark.parametrize("seed", range(3))
async def test_nights_with_any_change_between_read_what_is_there(
    database: Database, clock: TestClock, tmp_path: Path, seed: int
) -> None:
    kept, roll = tmp_path / "kept" / "orders", random.Random(seed)
    await open_shop(database, seed)
    await require_alike(database, clock.now, kept, "first")
    for night in range(14):
        names = roll.sample(list(HAPPENINGS), roll.choice([1, 1, 2]))
        async with database.begin() as tx:
            for name in names:
                await tx.session.execute(text(HAPPENINGS[name].format(salt=f"{seed}.{night}")))
            if roll.random() < 0.5:
                newcomer = await member(tx)
                await order(tx, member_id=newcomer.id, sku="S")
        clock.advance(days=1)
        await require_alike(database, clock.now, kept, ", ".join(names))


async def test_only_what_changed_is_read(
    database: Database, clock: TestClock, tmp_path: Path, rows_read: RowsRead
) -> None:
    kept = tmp_path / "orders"
    await open_shop(database, 1)
    first = await rows_read(database, kept)
    assert first > 60
    assert await rows_read(database, kept) == 0
    async with database.begin() as tx:
        bought_by = await member(tx)
        made = await order(tx, member_id=bought_by.id)
        await line(tx, order=made, line_no=2, sku="another")
    assert await rows_read(database, kept) == 3
    assert await rows_read(database, kept) == 0
    async with database.begin() as tx:
        await tx.session.execute(text("UPDATE member_order SET late = true"))
    assert first / 2 < await rows_read(database, kept) <= first + 3, "whoever ever ordered"
    await require_alike(database, clock.now, kept)


async def test_what_was_under_way_during_a_night_is_read_in_the_next(
    database: Database, clock: TestClock, tmp_path: Path
) -> None:
    kept = tmp_path / "orders"
    await open_shop(database, 2)
    async with database.begin() as tx:
        slow = await member(tx, community_id=(await community(tx)).id)
        await order(tx, member_id=slow.id, at=clock.now - timedelta(hours=1))
        await tx.session.flush()
        # Another, later transaction ends before the night, this one after it.
        async with database.begin() as other:
            quick = await member(other, community_id=slow.community_id)
            await order(other, member_id=quick.id, at=clock.now - timedelta(hours=1))
        before = await read(database, clock.now, kept)
    after = await read(database, clock.now, kept)
    assert len(after.order_at) == len(before.order_at) + 1
    await require_alike(database, clock.now, kept)


@pytest.mark.parametrize("fault", ["cut", "foreign", "garbled", "format", "absent", "empty"])
async def test_a_file_that_cannot_be_used_is_as_none(
    database: Database, clock: TestClock, tmp_path: Path, fault: str, rows_read: RowsRead
) -> None:
    kept = tmp_path / "orders"
    await open_shop(database, 3)
    first = await rows_read(database, kept)
    data = bytearray(kept.read_bytes())
    if fault == "absent":
        kept.unlink()
    elif fault == "empty":
        kept.write_bytes(b"")
    elif fault == "cut":
        kept.write_bytes(data[: len(data) // 2])
    elif fault == "garbled":
        data[len(data) // 3] ^= 0xFF
        kept.write_bytes(data)
    else:
        with np.load(kept) as file:
            columns = dict(file)
        about = json.loads(bytes(columns["about"]))
        about |= {"whose": "another"} if fault == "foreign" else {"format": 0}
        columns["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
        with kept.open("wb") as out:
            np.savez(out, **columns)
    assert await rows_read(database, kept) == first
    assert await rows_read(database, kept) == 0
    await require_alike(database, clock.now, kept)
    assert zipfile.is_zipfile(kept)
    assert kept.stat().st_mode & 0o077 == 0
    assert os.listdir(tmp_path) == ["orders"]


async def test_a_folder_that_cannot_be_written_costs_nothing_but_time(
    database: Database, clock: TestClock, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    await open_shop(database, 4)
    await require_alike(database, clock.now, tmp_path / "file" / "orders")
