"""Tasks of people: who is to speak to whom, and what came of it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, tuple_

from app.kernel.db import Read, Tx
from app.kernel.text import checked_text
from app.playbooks.errors import TaskClosed, TaskNotFound
from app.playbooks.tables import PlaybookTask, TaskResult, TaskState

LONGEST_NOTE = 500


async def complete_task(
    tx: Tx,
    *,
    task_id: UUID,
    result: TaskResult,
    by: UUID,
    note: str | None = None,
    community_id: UUID | None = None,
) -> PlaybookTask:
    """Note what came of speaking to a member.

    A leader names their community: they close its leader's tasks alone. Raises TaskNotFound,
    TaskClosed, InvalidInput.
    """
    said = None if note is None else checked_text(note, field="note", longest=LONGEST_NOTE)
    row = await tx.session.scalar(
        select(PlaybookTask)
        .where(PlaybookTask.id == task_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None or not _may_see(row, community_id):
        raise TaskNotFound()
    if row.state is not TaskState.OPEN:
        raise TaskClosed()
    row.state, row.result, row.note = TaskState.DONE, result, said
    row.closed_at, row.closed_by = tx.now, by
    await tx.session.flush()
    return row


def _may_see(row: PlaybookTask, community_id: UUID | None) -> bool:
    return community_id is None or (row.for_leader and row.community_id == community_id)


async def tasks_page(
    read: Read,
    *,
    state: TaskState,
    first: int,
    after: tuple[datetime, UUID] | None = None,
    community_id: UUID | None = None,
) -> list[PlaybookTask]:
    """Tasks of a state, the soonest due first; one more than `first` if there are more.

    With a community, only those for its leader.
    """
    query = select(PlaybookTask).where(PlaybookTask.state == state)
    if community_id is not None:
        query = query.where(
            PlaybookTask.community_id == community_id, PlaybookTask.for_leader.is_(True)
        )
    if after is not None:
        query = query.where(tuple_(PlaybookTask.due_at, PlaybookTask.id) > tuple_(*after))
    query = query.order_by(PlaybookTask.due_at, PlaybookTask.id).limit(first + 1)
    return list(await read.session.scalars(query))
