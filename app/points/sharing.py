"""What members' invitations have brought so far."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select

from app.kernel.clock import business_day, day_start, month_start
from app.kernel.db import Read
from app.points.queries import NOWHERE, Place, places_by_member
from app.points.rules import sharing_settings
from app.points.tables import Invitation, InvitationState


@dataclass(frozen=True, slots=True)
class Sharing:
    """A member's invitations: accepted and not void, rewarded, the points of those, and how many
    more may be accepted this business month."""

    accepted: int
    rewarded: int
    points: int
    left: int


def first_of_month(place: Place, now: datetime) -> datetime:
    """The first instant of the present business month of a community."""
    return day_start(month_start(business_day(now, place.zone)), place.zone)


async def sharing_by_member(read: Read, keys: Iterable[UUID]) -> dict[UUID, Sharing]:
    """What each member's invitations have brought; members who invited nobody have zeros."""
    wanted = list(keys)
    places = await places_by_member(read, wanted)
    counted = Invitation.state != InvitationState.VOID
    rows = await read.session.execute(
        select(
            Invitation.inviter_id,
            func.count().filter(counted).label("accepted"),
            func.count().filter(Invitation.state == InvitationState.REWARDED).label("rewarded"),
            func.coalesce(func.sum(Invitation.points), 0).label("points"),
        )
        .where(Invitation.inviter_id.in_(wanted))
        .group_by(Invitation.inviter_id)
    )
    totals = {row.inviter_id: row for row in rows}
    month = await _of_this_month(read, wanted, places)
    found: dict[UUID, Sharing] = {}
    for key in wanted:
        row = totals.get(key)
        limit = sharing_settings(places.get(key, NOWHERE).settings).per_month
        left = max(limit - month.get(key, 0), 0)
        found[key] = (
            Sharing(0, 0, 0, left)
            if row is None
            else Sharing(row.accepted, row.rewarded, int(row.points), left)
        )
    return found


async def accepted_since(read: Read, inviter_id: UUID, since: datetime) -> int:
    """How many of a member's invitations were accepted since an instant, void ones included."""
    query = select(func.count()).where(
        Invitation.inviter_id == inviter_id, Invitation.accepted_at >= since
    )
    return await read.session.scalar(query) or 0


async def _of_this_month(
    read: Read, keys: list[UUID], places: dict[UUID, Place]
) -> dict[UUID, int]:
    """How many invitations of each member were accepted in the present month of their community."""
    starts = {key: first_of_month(places.get(key, NOWHERE), read.now) for key in keys}
    rows = await read.session.execute(
        select(Invitation.inviter_id, Invitation.accepted_at).where(
            Invitation.inviter_id.in_(keys),
            Invitation.accepted_at >= min(starts.values(), default=read.now),
        )
    )
    found: dict[UUID, int] = {}
    for inviter_id, at in rows:
        if at >= starts[inviter_id]:
            found[inviter_id] = found.get(inviter_id, 0) + 1
    return found
