"""Telling members 14 and 3 days before a run that they will lose ground in it."""

from datetime import date
from uuid import UUID

from sqlalchemy import BigInteger, Date, DateTime, literal, select
from sqlalchemy.dialects.postgresql import insert

from app.kernel.clock import DEFAULT_ZONE, business_day
from app.kernel.db import Tx
from app.members import Member
from app.tiers.events import TierNoticeGiven
from app.tiers.queries import all_tiers
from app.tiers.rules import cutoff_of, deciding_month, notice_due
from app.tiers.tables import MoveKind, Standing, StandingState, Tier, TierNotice
from app.tiers.verdicts import lives_in, verdicts_at

NOTICE_BATCH = 2_000


async def notify_unsafe(
    tx: Tx, *, after: UUID | None = None, batch: int = NOTICE_BATCH, zone: str = DEFAULT_ZONE
) -> UUID | None:
    """Give the next batch of a zone's unsafe members the notices that are due today.

    Told is who would go into grace, or a step down, had the run to decide on what is known now;
    each once a run and number of days. Answers after whom to go on; None at the end.
    """
    unsafe = (
        select(Standing.member_id, Standing.state, Standing.grace_until)
        .join(Member, Member.id == Standing.member_id)
        .where(Standing.state != StandingState.STEADY, lives_in(zone))
        .order_by(Standing.member_id)
        .limit(batch)
    )
    if after is not None:
        unsafe = unsafe.where(Standing.member_id > after)
    rows = (await tx.session.execute(unsafe)).all()
    tiers = await all_tiers(tx)
    today = business_day(tx.now, zone)
    due: dict[date, list[UUID]] = {}
    for row in rows:
        month = deciding_month(row.state, today, row.grace_until, zone)
        if notice_due((month - today).days) is not None:
            due.setdefault(month, []).append(row.member_id)
    for month, members in due.items():
        await _give(tx, tiers, month, (month - today).days, members, zone)
    return rows[-1].member_id if len(rows) == batch else None


async def _give(
    tx: Tx, tiers: list[Tier], month: date, days_left: int, members: list[UUID], zone: str
) -> None:
    found = verdicts_at(cutoff_of(month, zone), tiers, lambda column: column.in_(members))
    judged = found.cte("judged")
    losing = judged.c.kind.in_([MoveKind.GRACE.value, MoveKind.DOWNGRADE.value])
    fresh = (
        insert(TierNotice)
        .from_select(
            ["member_id", "month", "days", "at"],
            select(
                judged.c.id,
                literal(month, Date),
                literal(notice_due(days_left), BigInteger),
                literal(tx.now, DateTime(timezone=True)),
            ).where(losing),
        )
        .on_conflict_do_nothing()
        .returning(TierNotice.member_id)
        .cte("fresh")
    )
    told = select(judged).join(fresh, fresh.c.member_id == judged.c.id).order_by(judged.c.id)
    for row in await tx.session.execute(told):
        tx.emit(
            TierNoticeGiven(
                member_id=row.id,
                tier_code=row.code,
                to_code=row.to_code,
                coming=row.kind,
                days=days_left,
                before=month.isoformat(),
                missing=max(row.threshold - row.gross, 0),
            )
        )
