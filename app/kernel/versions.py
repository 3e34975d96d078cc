"""A member's version: something that every committed change of the member's facts changes.

Triggers write a row `(member_id, xid)` for each member whom a statement touches, and one for
`EVERYBODY` where it touches very many. The key holds the writer's own transaction id, so writers
never wait for one another, whatever the order of their members. The version is made of the rows
that a reader sees: a commit adds rows to them, be its number lower than one that was seen before.

docs/adr/0009-member-versions.md has the reasons; `sweep_changes` tells why sweeping is safe.
"""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.batched import Ask, Batched
from app.kernel.db import Read, Tx
from app.kernel.statements import Lines
from app.kernel.table import Table

EVERYBODY = UUID(int=0)
# Whoever remembers something under a version must have forgotten it after so long.
LONGEST_MEMORY = timedelta(minutes=5)
# Twice that: time for an answer to be made, and for clocks to differ.
CHANGES_KEPT = 2 * LONGEST_MEMORY


class MemberChange(Table):
    """That a transaction touched a member; written by triggers, swept after some minutes."""

    __tablename__ = "member_change"

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    xid: Mapped[int] = mapped_column(
        primary_key=True, server_default=text("(pg_current_xact_id()::text::bigint)")
    )


class ChangeHorizon(Table):
    """Below which transaction id every transaction had ended, at an instant of the database's."""

    __tablename__ = "change_horizon"

    at: Mapped[datetime] = mapped_column(primary_key=True, server_default=text("clock_timestamp()"))
    xid: Mapped[int]


def version_expression(member: str) -> str:
    """The member's version as an SQL expression, for statements that ask for more besides.

    `member` is the parameter or column that holds the id, such as `:member_id` or `$1`. The value
    is a text to be compared for equality only.
    """
    return (
        "(SELECT count(*) || '/' || coalesce(sum(change.xid), 0) FROM member_change AS change "
        f"WHERE change.member_id IN ({member}, '{EVERYBODY}'))"
    )


VERSION_SQL = f"SELECT {version_expression(':member_id')} AS version"
_VERSION = Lines(VERSION_SQL, "version")

# Rows of transactions that are yet to come are from a dump that was restored into this cluster.
_SWEEP = text(
    """
    WITH gone AS (
        DELETE FROM member_change
        WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint
           OR xid < (SELECT max(xid) FROM change_horizon
                     WHERE at < now() - CAST(:kept AS interval)
                       AND xid <= pg_snapshot_xmin(pg_current_snapshot())::text::bigint)
        RETURNING 1
    ) SELECT count(*) FROM gone
    """
)
_FORGET_HORIZONS = text(
    """
    DELETE FROM change_horizon
    WHERE xid > pg_snapshot_xmin(pg_current_snapshot())::text::bigint
       OR at < (SELECT max(at) FROM change_horizon WHERE at < now() - CAST(:kept AS interval))
    """
)
_SET_HORIZON = text(
    """
    INSERT INTO change_horizon (xid)
    VALUES (pg_snapshot_xmin(pg_current_snapshot())::text::bigint)
    """
)


# The versions of members, one at a time: to be read with, or before, what is remembered under it.
version_by_member: Batched[UUID, str] = Batched(
    lambda keys, _: Ask(_VERSION, {"member_id": keys[0]}) if len(keys) == 1 else None,
    lambda rows, keys: {keys[0]: rows[0]["version"]},
)


async def version_of(read: Read, member_id: UUID) -> str:
    """The member's version as of now; equal texts mean that nothing of the member's has changed.

    It must be read before what is to be remembered under it, or by the first statement that reads
    of that (READ COMMITTED): a change in between then makes the memory old, never the other way.
    """
    (found,) = await read.fetch(_VERSION, member_id=member_id)
    return found["version"]


async def sweep_changes(tx: Tx, *, kept: timedelta = CHANGES_KEPT) -> int:
    """Delete changes that nobody can remember the time before; answers how many.

    Only rows below a horizon that was noted at least `kept` ago go. Each of them was visible to
    every reader since, so a version that is still remembered counted it; each row that came after
    such a version has a number of the horizon or above. Between two versions with swept and new
    rows, either the counts differ, or as many came as went and the sum has grown: they are never
    equal. Sweeping alone changes a version too, which costs one more look at the tables.
    """
    swept = await tx.session.scalar(_SWEEP, {"kept": kept})
    await tx.session.execute(_FORGET_HORIZONS, {"kept": kept})
    await tx.session.execute(_SET_HORIZON)
    return swept or 0
