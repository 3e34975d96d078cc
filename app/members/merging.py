"""A member's own rows when two turn out to be one person."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import select, text, update

from app.kernel.db import Tx
from app.members.errors import AlreadyMerged, MemberClosed, MemberNotFound, SameMember
from app.members.rules import MERGED_NICKNAME
from app.members.tables import Identity, Member, MemberStatus

_LEADERS = (
    text(
        """
        INSERT INTO leader (member_id, community_id, since)
        SELECT :into_id, community_id, since FROM leader WHERE member_id = :from_id
        ON CONFLICT (member_id, community_id)
        DO UPDATE SET since = least(leader.since, excluded.since)
        """
    ),
    text("DELETE FROM leader WHERE member_id = :from_id"),
)


async def lock_members(tx: Tx, keys: Iterable[UUID]) -> dict[UUID, Member]:
    """The members, held against everybody else until the transaction ends; unknown ids are absent.

    In the order of their ids, always. Who writes something of a member's holds a weaker lock
    (their foreign key, or `require_active`): this waits for them, and they for this.
    """
    rows = await tx.session.scalars(
        select(Member).where(Member.id.in_(list(keys))).order_by(Member.id).with_for_update(),
        execution_options={"populate_existing": True},
    )
    return {row.id: row for row in rows}


async def lock_pair(tx: Tx, *, from_id: UUID, into_id: UUID) -> tuple[Member, Member]:
    """The two members of a merge, both locked: who ends, and who goes on.

    Raises SameMember, MemberNotFound, AlreadyMerged, MemberClosed.
    """
    if from_id == into_id:
        raise SameMember()
    held = await lock_members(tx, [from_id, into_id])
    if len(held) < 2:
        raise MemberNotFound()
    gone, stays = held[from_id], held[into_id]
    if gone.merged_into is not None or stays.merged_into is not None:
        raise AlreadyMerged()
    if MemberStatus.CLOSED in (gone.status, stays.status):
        raise MemberClosed()
    return gone, stays


async def merge(tx: Tx, from_id: UUID, into_id: UUID) -> int:
    """Close one of two locked members for the other, and give the other its identities and roles.

    The survivor gets what they lack (phone, picture, birthday, consents they never spoke of) and
    has been a member since the earlier day. A freeze of either holds for both. Answers how many
    identities moved. Doing it again moves what has come since.
    """
    gone = await tx.session.get_one(Member, from_id)
    stays = await tx.session.get_one(Member, into_id)
    _take_over(gone, stays)
    await tx.session.flush()
    # Whoever was merged into the one who ends now is the survivor as well: no chains.
    await tx.session.execute(
        update(Member).where(Member.merged_into == from_id).values(merged_into=into_id)
    )
    for statement in _LEADERS:
        await tx.session.execute(statement, {"from_id": from_id, "into_id": into_id})
    moved = await tx.session.execute(
        update(Identity).where(Identity.member_id == from_id).values(member_id=into_id)
    )
    return getattr(moved, "rowcount", 0)


def _take_over(gone: Member, stays: Member) -> None:
    verified = [at for at in (gone.phone_verified_at, stays.phone_verified_at) if at is not None]
    stays.phone_verified_at = min(verified, default=None)
    stays.registered_at = min(gone.registered_at, stays.registered_at)
    stays.avatar_url = stays.avatar_url or gone.avatar_url
    stays.birthday = stays.birthday or gone.birthday
    stays.consents = {**gone.consents, **stays.consents}
    if gone.status is MemberStatus.FROZEN:
        stays.status = MemberStatus.FROZEN
    gone.status = MemberStatus.CLOSED
    gone.merged_into = stays.id
    # The person's data is the survivor's now; it is not kept twice.
    gone.nickname, gone.avatar_url, gone.birthday = MERGED_NICKNAME, None, None
    gone.consents, gone.phone_verified_at = {}, None
