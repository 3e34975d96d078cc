"""What playbooks did for two members who are one."""

from uuid import UUID

from sqlalchemy import text

from app.kernel.db import Tx

# Alerts and levels are of one member, so that what was done about them never meets another's.
_MOVE = tuple(
    text(f"UPDATE {table} SET member_id = :into_id WHERE member_id = :from_id")
    for table in ("playbook_action", "playbook_message", "playbook_task")
)
# A task is for the leader of the member's community, which is the survivor's from now on.
_REHOME = text("""
UPDATE playbook_task k SET community_id = m.community_id FROM member m
WHERE k.member_id = :into_id AND m.id = :into_id AND k.community_id <> m.community_id
""")
# The survivor's own alert is ranked anew by night.
_FORGET = text("DELETE FROM alert_rank WHERE member_id = :from_id")


async def merge(tx: Tx, from_id: UUID, into_id: UUID) -> int:
    """Give what was done for a member to another; answers how many actions moved.

    Each action stays in the arm in which it was measured, so that whoever was held out under one
    name and treated under the other counts where they were drawn.
    """
    given = {"from_id": from_id, "into_id": into_id}
    moved = [await tx.session.execute(statement, given) for statement in _MOVE]
    await tx.session.execute(_REHOME, given)
    await tx.session.execute(_FORGET, given)
    return getattr(moved[0], "rowcount", 0)
