"""Builders of communities, members and leaders."""

from datetime import datetime
from uuid import UUID

from app.kernel.db import Tx
from app.members import Community, Member, MemberStatus, create_community


async def community(tx: Tx, name: str = "翠湖花园", time_zone: str = "Asia/Shanghai") -> Community:
    """A community, or the one of this name."""
    return await create_community(tx, name=name, time_zone=time_zone)


async def member(
    tx: Tx,
    *,
    community_id: UUID | None = None,
    nickname: str = "李阿姨",
    registered_at: datetime | None = None,
    phone_verified: bool = True,
    is_test: bool = False,
    status: MemberStatus = MemberStatus.ACTIVE,
) -> Member:
    """A member, in the default community unless told otherwise."""
    home = community_id or (await community(tx)).id
    row = Member(
        id=tx.new_id(),
        community_id=home,
        nickname=nickname,
        status=status,
        locale="zh-CN",
        registered_at=registered_at or tx.now,
        phone_verified_at=tx.now if phone_verified else None,
        consents={},
        is_test=is_test,
    )
    tx.session.add(row)
    await tx.session.flush()
    return row
