"""Builders of points, through the ledger's own commands, and the facts of an order."""

from datetime import datetime, timedelta
from uuid import UUID

from app import points
from app.kernel.db import Database, Tx


async def lot(
    tx: Tx,
    *,
    member_id: UUID,
    amount: int = 100,
    subject: str | None = None,
    expires_at: datetime | None = None,
    available_at: datetime | None = None,
    source: points.Source = points.Source.CAMPAIGN,
    currency: points.Currency = points.Currency.POINTS,
) -> UUID:
    """Points earned by a campaign, active at once unless told otherwise."""
    made = await points.earn(
        tx,
        member_id=member_id,
        amount=amount,
        source=source,
        rule="test",
        subject=subject or str(tx.new_id()),
        currency=currency,
        available_at=available_at,
        expires_at=expires_at or tx.now + timedelta(days=100),
    )
    if made is None:
        raise AssertionError("this subject was rewarded before")
    return made


def order_facts(
    order_id: UUID,
    member_id: UUID,
    paid_at: datetime,
    *,
    total_fen: int = 10_000,
    settled_at: datetime | None = None,
    refunded_fen: int = 0,
    cancelled: bool = False,
    episode_id: UUID | None = None,
    multiplier_percent: int = 100,
) -> points.OrderFacts:
    """An order of 100 yuan, paid and not yet settled unless told otherwise."""
    return points.OrderFacts(
        order_id=order_id,
        member_id=member_id,
        total_fen=total_fen,
        paid_at=paid_at,
        settled_at=settled_at,
        refunded_fen=refunded_fen,
        cancelled=cancelled,
        multiplier_percent=multiplier_percent,
        episode_id=episode_id,
    )


async def balance(
    database: Database, member_id: UUID, currency: points.Currency = points.Currency.POINTS
) -> tuple[int, int, int]:
    """Balance, pending and debt as a reader sees them; the ledger must be sound besides."""
    async with database.read() as read:
        assert await points.audit(read) == []
        found = (await points.balances_by_member(read, [member_id]))[member_id]
    one = found.points if currency is points.Currency.POINTS else found.carbon
    return one.balance, one.pending, one.debt
