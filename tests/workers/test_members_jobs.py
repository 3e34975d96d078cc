"""The jobs of members who leave: run twice they have run once."""

from app import leaving, members
from app.kernel.config import Settings
from app.kernel.db import Database
from tests.conftest import TestClock
from tests.make.members import member
from workers.jobs import Work
from workers.members import close_members, make_export


async def test_copies_are_made_and_accounts_closed_once(
    database: Database, settings: Settings, clock: TestClock
) -> None:
    work = Work(database, settings)
    async with database.begin() as tx:
        row = await member(tx, nickname="罕见的名字")
        export = await leaving.request_export(tx, member_id=row.id)
    for _ in range(2):
        await make_export.body(work, member_id=str(row.id), export_id=str(export.id))
    async with database.read() as read:
        held = (await leaving.newest_by_member(read, [row.id]))[row.id]
        assert held.state is leaving.ExportState.READY
        assert sum((await leaving.parts_by_kid(read)).values()) == 1

    async with database.begin() as tx:
        clock.now = await members.request_closure(tx, member_id=row.id)
    for _ in range(2):
        await close_members.body(work, plan="members", due_at=clock.now.isoformat())
    async with database.read() as read:
        gone = (await members.by_id(read, [row.id]))[row.id]
        assert gone.status is members.MemberStatus.CLOSED
        assert gone.nickname == members.CLOSED_NICKNAME
        assert await leaving.newest_by_member(read, [row.id]) == {}
        assert await leaving.parts_by_kid(read) == {}
