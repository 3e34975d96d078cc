"""Where commands look from when nobody says so."""

from datetime import UTC, datetime, timedelta

import pytest

from app.kernel.clock import day_start
from app.kernel.db import Database
from cli.instants import LONG_PAST, as_of_or_data_end
from tests.conftest import TestClock
from tests.make.members import member
from tests.make.orders import order

ZONE = "Asia/Shanghai"


async def test_a_platform_at_work_is_looked_at_now(database: Database, clock: TestClock) -> None:
    assert await as_of_or_data_end(database, None, ZONE) == clock.now
    async with database.begin() as tx:
        await order(
            tx, member_id=(await member(tx)).id, at=clock.now - LONG_PAST + timedelta(hours=1)
        )
    assert await as_of_or_data_end(database, None, ZONE) == clock.now


async def test_a_history_is_looked_at_from_the_midnight_after_it(database: Database) -> None:
    async with database.begin() as tx:
        late = datetime(2011, 8, 31, 15, 30, tzinfo=UTC)  # 23:30 in Shanghai
        await order(tx, member_id=(await member(tx)).id, at=late)
    midnight = day_start(datetime(2011, 9, 1, tzinfo=UTC).date(), ZONE)
    assert await as_of_or_data_end(database, None, ZONE) == midnight
    assert await as_of_or_data_end(database, "2011-05-01", ZONE) < midnight


@pytest.mark.parametrize("text", ["0001-01-01", "1899-12-31", "0001-01-01T00:00+08:00"])
async def test_a_day_before_all_orders_is_said(database: Database, text: str) -> None:
    with pytest.raises(ValueError, match="is before any order"):
        await as_of_or_data_end(database, text, ZONE)
