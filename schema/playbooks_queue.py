"""What people do about alerts: the queue by what acting is worth, and tasks to speak to members."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

import strawberry

from app import churn, members, playbooks
from app.kernel.auth import Role
from app.kernel.db import Tx
from app.kernel.table import Json
from app.staff import subject
from schema.acting import acting_staff, answered
from schema.churn import WATCHERS, ChurnAlert, alert_of
from schema.churn_signals import spoken
from schema.context import Info
from schema.enums import describe
from schema.fields import field, mutation, query
from schema.guard import STAFF, bound_to, staff
from schema.nodes import Node, NodeLoader, global_id, key_of
from schema.paging import BY_INSTANT, After, Connection, First, amount, by_two
from schema.playbooks_alerts import AlertPlace, place_of

if TYPE_CHECKING:
    from schema.members import Member

KIND = "PlaybookTask"
SPEAKERS = staff(Role.CAMPAIGN_MANAGER, Role.SUPPORT, Role.LEADER)

describe(
    playbooks.TaskState,
    "Where a task stands.",
    name="PlaybookTaskState",
    OPEN="Somebody should speak to the member.",
    DONE="Somebody did, or tried.",
    CANCELLED="The alert ended before anybody did.",
)
describe(
    playbooks.TaskResult,
    "What came of speaking to a member.",
    name="PlaybookTaskResult",
    REACHED="They spoke.",
    NOT_REACHED="The member could not be reached.",
    DECLINED="The member did not want to be spoken to.",
)


@strawberry.type(description="An open alert with what acting on it is worth.")
class RankedAlert:
    alert: ChurnAlert = strawberry.field(description="The alert.")
    place: AlertPlace = strawberry.field(description="Where it stands, and why.")


def _ranked(pair: tuple[playbooks.AlertRank, churn.ChurnAlert]) -> RankedAlert:
    rank, alert = pair
    return RankedAlert(alert=alert_of(alert), place=place_of(rank))


@strawberry.type(description="A task to speak to a member, for staff or the community's leader.")
class PlaybookTask(Node):
    row: strawberry.Private[playbooks.PlaybookTask]
    level: playbooks.Level = strawberry.field(description="The alert's level that asks for it.")
    for_leader: bool = strawberry.field(
        description="Whether it is for the community's leader; else it is for staff."
    )
    state: playbooks.TaskState = strawberry.field(description="Where it stands.")
    created_at: datetime = strawberry.field(description="When it was made.")
    due_at: datetime = strawberry.field(description="By when it ought to be done.")
    closed_at: datetime | None = strawberry.field(description="When it ended.")
    result: playbooks.TaskResult | None = strawberry.field(description="What came of it.")
    note: str | None = strawberry.field(description="What whoever did it has noted.")

    @field(description="What to say, in the reader's language.")
    async def script(self, info: Info) -> str:
        is_zh = info.context.locale == "zh-CN"
        return self.row.script_zh if is_zh else self.row.script_en

    @field(description="Why the member is at risk, in the reader's language; at most 10.")
    async def reasons(self, info: Info) -> list[str]:
        return spoken(self.row.reasons, info.context.locale)[:10]

    @field(description="The member to speak to.")
    async def member(self, info: Info) -> Annotated["Member", strawberry.lazy("schema.members")]:
        from schema.members import member_of  # the Member type has a part of alerts in it

        row = await info.context.one(members.by_id, self.row.member_id)
        if row is None:
            raise LookupError(f"member {self.row.member_id} of a task")
        return member_of(row)


def task_of(row: playbooks.PlaybookTask) -> PlaybookTask:
    """The GraphQL value of a task."""
    return PlaybookTask(
        id=global_id(KIND, row.id),
        row=row,
        level=row.level,
        for_leader=row.for_leader,
        state=row.state,
        created_at=row.created_at,
        due_at=row.due_at,
        closed_at=row.closed_at,
        result=row.result,
        note=row.note,
    )


async def load_task(info: Info, key: UUID) -> PlaybookTask | None:
    """A task, for staff; for leaders, those of their community that are for its leader."""
    caller = info.context.caller
    if not STAFF.test(caller):
        return None
    row = await info.context.one(playbooks.tasks_by_id, key)
    if row is None:
        return None
    home = bound_to(caller)
    theirs = home is None or (row.for_leader and row.community_id == home)
    return task_of(row) if theirs else None


NODES: dict[str, NodeLoader] = {KIND: load_task}


BY_WORTH: Final = by_two(amount, UUID)


@strawberry.type(description="Queries of the queue and of tasks.")
class PlaybookQueueQuery:
    @query(
        WATCHERS,
        description="Open alerts, those first about which acting is worth most: by the effect that "
        "a proven model expects, else by what is at stake.",
    )
    async def ranked_alerts(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[RankedAlert]:
        asked = BY_WORTH.asked(first, after)
        async with info.context.read() as read:
            rows = await playbooks.ranked_page(
                read,
                first=asked.size,
                after=asked.position,
            )
        return asked.page(
            rows, node=_ranked, key=lambda pair: (pair[0].priority_fen, pair[0].alert_id)
        )

    @query(
        STAFF,
        description="Tasks to speak to members, the soonest due first; a leader sees those that "
        "are for the leader of their community.",
    )
    async def playbook_tasks(
        self,
        info: Info,
        first: First = 20,
        after: After = None,
        state: Annotated[
            playbooks.TaskState, strawberry.argument(description="Only those that stand so.")
        ] = playbooks.TaskState.OPEN,
    ) -> Connection[PlaybookTask]:
        asked = BY_INSTANT.asked(first, after)
        async with info.context.read() as read:
            rows = await playbooks.tasks_page(
                read,
                state=state,
                first=asked.size,
                after=asked.position,
                community_id=bound_to(info.context.caller),
            )
        return asked.page(rows, node=task_of, key=lambda row: (row.due_at, row.id))


@strawberry.input(description="What came of a task.")
class CompletePlaybookTaskInput:
    task_id: strawberry.ID = strawberry.field(description="The task.")
    result: playbooks.TaskResult = strawberry.field(description="What came of it.")
    note: str | None = strawberry.field(
        default=None, description="What is worth knowing, up to 500 characters."
    )
    idempotency_key: str = strawberry.field(
        description="A key of the client's; sent again it gets the first answer."
    )


@strawberry.type(description="The task is done.")
class CompletePlaybookTaskSuccess:
    key: strawberry.Private[UUID]

    @field(description="The task as it is now.")
    async def task(self, info: Info) -> PlaybookTask:
        row = await info.context.one(playbooks.tasks_by_id, self.key)
        if row is None:
            raise LookupError(f"task {self.key}")
        return task_of(row)


@strawberry.type(description="Mutations of tasks.")
class PlaybookTasksMutation:
    @mutation(
        SPEAKERS,
        CompletePlaybookTaskSuccess,
        refusals=[playbooks.TaskNotFound, playbooks.TaskClosed],
        description="Notes what came of speaking to a member; leaders close their own community's.",
    )
    async def complete_playbook_task(
        self, info: Info, input: CompletePlaybookTaskInput
    ) -> CompletePlaybookTaskSuccess:
        staff_id, home = acting_staff(info), bound_to(info.context.caller)
        key = key_of(input.task_id, KIND, "taskId")

        async def work(tx: Tx) -> Json:
            row = await playbooks.complete_task(
                tx,
                task_id=key,
                result=input.result,
                by=staff_id,
                note=input.note,
                community_id=home,
            )
            return {"task": str(row.id)}

        await answered(info, input, work, about=subject(playbooks.PlaybookTask, key))
        return CompletePlaybookTaskSuccess(key=key)
