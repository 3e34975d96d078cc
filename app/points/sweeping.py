"""Nightly work on the ledger: batches of accounts in set SQL, each resumed by running it again."""

from uuid import UUID

from sqlalchemy import Select, func, select

from app.kernel.db import Tx
from app.points.ledger import close_sheet, open_sheet
from app.points.tables import Currency, Lot, LotStatus

BATCH = 2_000


async def release_due(tx: Tx, *, limit: int = BATCH) -> int:
    """Release lots whose refund window has closed; answers how many accounts it brought up to now.

    Call it in a transaction each until it answers 0. Whatever else is due of these accounts, the
    settling of debts included, is done with it.
    """
    return await _sweep(
        tx,
        select(Lot.member_id, Lot.currency)
        .where(Lot.status == LotStatus.PENDING, Lot.available_at <= tx.now)
        .order_by(Lot.available_at)
        .limit(limit),
    )


async def expire_due(tx: Tx, *, limit: int = BATCH) -> int:
    """End lots whose expiry has come; answers how many accounts it brought up to now.

    Call it in a transaction each until it answers 0: what a killed run left is found by the next.
    """
    return await _sweep(
        tx,
        select(Lot.member_id, Lot.currency)
        .where(Lot.status == LotStatus.ACTIVE, Lot.expires_at <= tx.now)
        .order_by(Lot.expires_at)
        .limit(limit),
    )


async def _sweep(tx: Tx, due: "Select[UUID, Currency]") -> int:
    lots = due.subquery()
    rows = await tx.session.execute(
        select(lots.c.currency, func.array_agg(lots.c.member_id.distinct())).group_by(
            lots.c.currency
        )
    )
    found: dict[Currency, list[UUID]] = {row[0]: list(row[1]) for row in rows}
    for currency in Currency:
        if currency in found:
            await close_sheet(tx, await open_sheet(tx, currency, found[currency]))
    return sum(len(members) for members in found.values())
