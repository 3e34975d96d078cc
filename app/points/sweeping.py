"""Nightly work on the ledger: batches of accounts in set SQL, each resumed by running it again."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select, text, true

from app.kernel.clock import DEFAULT_ZONE
from app.kernel.db import Read, Tx
from app.members import Community, Member, MemberStatus
from app.points.events import PointsExpiring
from app.points.ledger import close_sheet, open_sheet
from app.points.rules import expiry_notice_from
from app.points.tables import Currency, Lot, LotStatus

BATCH = 2_000
LANES = 2
"""How many may sweep beside each other; a power of two."""

# Old notices of these members go on the way: the table holds what is still to come.
_FORGET = text("""
DELETE FROM points_expiry_notice
WHERE member_id = ANY(CAST(:members AS uuid[])) AND expires_at <= CAST(:now AS timestamptz)
""")
_NOTICES = text("""
INSERT INTO points_expiry_notice (member_id, currency, expires_at, points, at)
SELECT l.member_id, l.currency, l.expires_at, sum(l.remaining), CAST(:now AS timestamptz)
FROM member m
JOIN unnest(CAST(:communities AS uuid[]), CAST(:untils AS timestamptz[]))
    AS c(community_id, until) ON c.community_id = m.community_id
JOIN points_lot l ON l.member_id = m.id AND l.status = 'ACTIVE'
    AND l.expires_at > CAST(:now AS timestamptz) AND l.expires_at <= c.until
WHERE m.id = ANY(CAST(:members AS uuid[]))
GROUP BY l.member_id, l.currency, l.expires_at
ON CONFLICT DO NOTHING
RETURNING member_id, currency, expires_at, points
""")


async def release_due(tx: Tx, *, limit: int = BATCH, lane: int | None = None) -> int:
    """Release lots whose refund window has closed; answers how many accounts it brought up to now.

    Call it in a transaction each until it answers 0. Whatever else is due of these accounts, the
    settling of debts included, is done with it. `lane` is a share of the accounts, from 0 up to
    `LANES`: sweeps of different lanes never meet.
    """
    return await _sweep(
        tx,
        select(Lot.member_id, Lot.currency)
        .where(Lot.status == LotStatus.PENDING, Lot.available_at <= tx.now, _in_lane(lane))
        .order_by(Lot.available_at)
        .limit(limit),
    )


async def expire_due(tx: Tx, *, limit: int = BATCH, lane: int | None = None) -> int:
    """End lots whose expiry has come; answers how many accounts it brought up to now.

    Call it in a transaction each until it answers 0: what a killed run left is found by the next.
    `lane` is as in `release_due`.
    """
    return await _sweep(
        tx,
        select(Lot.member_id, Lot.currency)
        .where(Lot.status == LotStatus.ACTIVE, Lot.expires_at <= tx.now, _in_lane(lane))
        .order_by(Lot.expires_at)
        .limit(limit),
    )


def _in_lane(lane: int | None) -> "ColumnElement[bool]":
    if lane is None:
        return true()
    return func.uuid_hash(Lot.member_id).op("&")(LANES - 1) == lane


async def _sweep(tx: Tx, due: "Select[UUID, Currency]") -> int:
    lots = due.subquery()
    rows = await tx.session.execute(
        select(lots.c.currency, func.array_agg(lots.c.member_id.distinct())).group_by(
            lots.c.currency
        )
    )
    done = 0
    for currency, members in sorted((row[0], row[1]) for row in rows):
        # An account that somebody else holds is left to the next round.
        sheet = await open_sheet(tx, currency, members, waiting=False)
        await close_sheet(tx, sheet)
        done += len(sheet.totals)
    return done


async def warn_of_expiry(
    tx: Tx, *, after: UUID | None = None, limit: int = BATCH
) -> tuple[UUID | None, int]:
    """Tell some members of points that end soon: how soon is their community's setting.

    All points of a member that end at one instant are one notice, given once. Takes the members
    after `after` in key order, as many as `limit`; answers the last of them (None when there were
    none left) and how many notices it gave. A run that was killed begins anew and repeats nothing.
    """
    query = select(Member.id).where(Member.status == MemberStatus.ACTIVE)
    if after is not None:
        query = query.where(Member.id > after)
    people = list(await tx.session.scalars(query.order_by(Member.id).limit(limit)))
    if not people:
        return None, 0
    untils = await _notice_limits(tx)
    given = {"members": people, "now": tx.now}
    await tx.session.execute(_FORGET, given)
    rows = await tx.session.execute(
        _NOTICES, {**given, "communities": list(untils), "untils": list(untils.values())}
    )
    told = rows.all()
    for row in told:
        tx.emit(
            PointsExpiring(
                member_id=row.member_id,
                currency=row.currency,
                points=row.points,
                expires_at=row.expires_at,
            )
        )
    return people[-1], len(told)


async def _notice_limits(read: Read) -> dict[UUID, datetime]:
    """Up to which end the members of each community are told of points now."""
    rows = await read.session.execute(select(Community.id, Community.time_zone, Community.settings))
    return {
        row.id: expiry_notice_from(row.settings, read.now, row.time_zone or DEFAULT_ZONE)
        for row in rows
    }
