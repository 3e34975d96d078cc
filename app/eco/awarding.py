"""Badges awarded by rule: set SQL for one member or for all, once as long as a badge holds."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    cast,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert

from app.eco.events import BadgeAwarded
from app.eco.tables import Badge, BadgeAward, BadgeFact, EcoAction, EcoState
from app.kernel.db import Tx
from app.points import CheckIn

BATCH = 20_000


async def award_badges(
    tx: Tx, *, member_ids: Sequence[UUID] | None = None, limit: int = BATCH
) -> int:
    """Award the badges whose criteria members meet and that they do not hold; answers how many.

    At most `limit` of each badge: without `member_ids` all members are looked at, and the nightly
    run calls it in a transaction each until it answers 0. A badge that staff revoked is not
    awarded again by rule; one that expired is, once its criteria are met anew.
    """
    badges = list(await tx.session.scalars(select(Badge).order_by(Badge.code)))
    awarded = 0
    for badge in badges:
        rows = await tx.session.execute(_award(badge, tx.now, member_ids, limit))
        for (member_id,) in rows:
            tx.emit(BadgeAwarded(member_id=member_id, badge_code=badge.code))
            awarded += 1
    return awarded


async def revoke_badge(tx: Tx, *, member_id: UUID, badge_code: str, reason: str) -> bool:
    """Take a badge that a member holds away, with a reason; False if they hold none."""
    held = await tx.session.scalar(
        select(BadgeAward)
        .where(
            BadgeAward.member_id == member_id,
            BadgeAward.badge_code == badge_code,
            BadgeAward.revoked_at.is_(None),
            or_(BadgeAward.expires_at.is_(None), BadgeAward.expires_at > tx.now),
        )
        .with_for_update()
    )
    if held is None:
        return False
    held.revoked_at, held.revoked_reason = tx.now, reason
    return True


def _award(
    badge: Badge, now: datetime, member_ids: Sequence[UUID] | None, limit: int
) -> "ReturningInsert[UUID]":
    counted = _counted(badge, now, member_ids).subquery()
    earlier = (
        select(
            func.count().label("awards"),
            func.coalesce(func.bool_or(_bars_another(now)), false()).label("barred"),
        )
        .where(BadgeAward.member_id == counted.c.member_id, BadgeAward.badge_code == badge.code)
        .lateral()
    )
    expires_at = None if badge.valid_days is None else now + timedelta(days=badge.valid_days)
    instant = BadgeAward.issued_at.type
    people = (
        select(
            counted.c.member_id,
            literal(badge.code),
            earlier.c.awards + 1,
            literal(now, instant),
            func.jsonb_build_object("fact", badge.fact.value, "figure", counted.c.figure),
            literal(expires_at, instant),
        )
        .join(earlier, true())
        .where(counted.c.figure >= badge.at_least, not_(earlier.c.barred))
        .order_by(counted.c.member_id)
        .limit(limit)
    )
    names = ["member_id", "badge_code", "number", "issued_at", "evidence", "expires_at"]
    # Two runs at once reckon the same number, so that only one of them awards it.
    made = insert(BadgeAward).from_select(names, people).on_conflict_do_nothing()
    return made.returning(BadgeAward.member_id)


def _bars_another(now: datetime) -> ColumnElement[bool]:
    """An award that still holds, or one that staff revoked."""
    return or_(
        BadgeAward.revoked_at.is_not(None),
        BadgeAward.expires_at.is_(None),
        BadgeAward.expires_at > now,
    )


def _counted(badge: Badge, now: datetime, member_ids: Sequence[UUID] | None) -> "Select[UUID, int]":
    """What the badge counts, by member; a badge that expires counts as far back as it lasts."""
    since = None if badge.valid_days is None else now - timedelta(days=badge.valid_days)
    if badge.fact is BadgeFact.CHECK_IN_STREAK:
        streaks = select(CheckIn.member_id, func.max(CheckIn.streak).label("figure"))
        if since is not None:
            streaks = streaks.where(CheckIn.at > since)
        if member_ids is not None:
            streaks = streaks.where(CheckIn.member_id.in_(member_ids))
        return streaks.group_by(CheckIn.member_id)
    grams = badge.fact is BadgeFact.GRAMS_CO2E
    figure = cast(func.sum(EcoAction.grams_co2e), BigInteger) if grams else func.count()
    actions = select(EcoAction.member_id, figure.label("figure")).where(
        EcoAction.state == EcoState.CREDITED
    )
    if since is not None:
        actions = actions.where(EcoAction.credited_at > since)
    if member_ids is not None:
        actions = actions.where(EcoAction.member_id.in_(member_ids))
    return actions.group_by(EcoAction.member_id)
