"""Batched reads of eco actions, factors and badges."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, any_, bindparam, or_, select, tuple_
from sqlalchemy.dialects.postgresql import distinct_on

from app.eco.tables import Badge, BadgeAward, EcoAction, EcoFactor, EcoState, EcoType
from app.kernel.batched import Ask, Batched
from app.kernel.db import Read
from app.kernel.statements import Rows, ids

_HELD = Rows(
    select(BadgeAward, Badge)
    .join(Badge, Badge.code == BadgeAward.badge_code)
    .where(
        BadgeAward.member_id == any_(ids("ids")),
        BadgeAward.revoked_at.is_(None),
        or_(
            BadgeAward.expires_at.is_(None),
            BadgeAward.expires_at > bindparam("now", type_=DateTime(timezone=True)),
        ),
    )
    .order_by(BadgeAward.issued_at.desc(), BadgeAward.badge_code),
    only={
        BadgeAward: ("badge_code", "member_id", "issued_at", "expires_at", "evidence"),
        Badge: ("code", "name_zh", "name_en", "description_zh", "description_en"),
    },
)


@dataclass(frozen=True, slots=True)
class HeldBadge:
    """A badge that a member holds now, with the figure it was awarded for."""

    badge: Badge
    issued_at: datetime
    expires_at: datetime | None
    figure: int


async def actions_by_id(read: Read, keys: Iterable[UUID]) -> dict[UUID, EcoAction]:
    """Actions by id; unknown ids are absent."""
    rows = await read.session.scalars(select(EcoAction).where(EcoAction.id.in_(list(keys))))
    return {row.id: row for row in rows}


async def current_factors(read: Read, keys: Iterable[EcoType]) -> dict[EcoType, EcoFactor]:
    """The factor of each type that is valid at this instant: of those begun, the newest."""
    rows = await read.session.scalars(
        select(EcoFactor)
        .ext(distinct_on(EcoFactor.type))
        .where(EcoFactor.type.in_(list(keys)), EcoFactor.valid_from <= read.now)
        .order_by(EcoFactor.type, EcoFactor.version.desc())
    )
    return {row.type: row for row in rows}


def _held(rows: list[tuple[BadgeAward, Badge]], _: list[UUID]) -> dict[UUID, list[HeldBadge]]:
    found: dict[UUID, list[HeldBadge]] = {}
    for award, badge in rows:
        found.setdefault(award.member_id, []).append(
            HeldBadge(badge, award.issued_at, award.expires_at, int(award.evidence["figure"]))
        )
    return found


# The badges that members hold now, newest first: neither revoked nor expired.
badges_by_member: Batched[UUID, list[HeldBadge]] = Batched(
    lambda keys, now: Ask(_HELD, {"ids": keys, "now": now}), _held
)


async def page_waiting(
    read: Read, *, after: tuple[datetime, UUID] | None, first: int
) -> list[EcoAction]:
    """Actions that await verification, oldest first; one more than `first` if there are more."""
    query = (
        select(EcoAction)
        .where(EcoAction.state == EcoState.SUBMITTED)
        .order_by(EcoAction.submitted_at, EcoAction.id)
        .limit(first + 1)
    )
    if after is not None:
        query = query.where(tuple_(EcoAction.submitted_at, EcoAction.id) > tuple_(*after))
    return list(await read.session.scalars(query))
