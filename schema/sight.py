"""Whether a caller may see what belongs to a member, where only the member's id is at hand."""

from uuid import UUID

from app import members
from app.kernel.auth import MemberCaller
from schema.context import Info
from schema.guard import OFFICE, bound_to, sees_member


async def sees_member_of(info: Info, member_id: UUID) -> bool:
    """True for the member themselves, for staff, and for the leader of the member's community."""
    caller = info.context.caller
    if isinstance(caller, MemberCaller):
        return caller.id == member_id
    if OFFICE.test(caller):
        return True
    if bound_to(caller) is None:
        return False
    row = await info.context.one(members.by_id, member_id)
    return row is not None and sees_member(caller, member_id, row.community_id)
