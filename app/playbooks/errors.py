"""Refusals of playbooks and their tasks."""

from app.kernel.errors import Refusal

PLAYBOOK_WORDS = {
    "DRAFT": "草稿",
    "ACTIVE": "启用",
    "RETIRED": "已停用",
}


class PlaybookNotFound(Refusal):
    """There is no such playbook."""

    code = "PLAYBOOK_NOT_FOUND"
    zh = "找不到该预案"
    en = "There is no such playbook."


class PlaybookMoveNotAllowed(Refusal):
    """The version cannot go from its state to the one asked for."""

    code = "PLAYBOOK_MOVE_NOT_ALLOWED"
    zh = "预案不能从{state}变为{to}"
    en = "The playbook cannot go from {state} to {to}."
    words = PLAYBOOK_WORDS


class PlaybookSuperseded(Refusal):
    """Somebody made a newer version meanwhile."""

    code = "PLAYBOOK_SUPERSEDED"
    zh = "预案已有更新的第{version}版，请在其上修改"
    en = "There is a newer version {version} of this playbook: change that one."


class PlaybookNeedsApproval(Refusal):
    """The version gives more than its author alone may answer for, and nobody has approved it."""

    code = "PLAYBOOK_NEEDS_APPROVAL"
    zh = "该预案一次预警最多可给每位成员{worth}元，超过{limit}元须先由另一位同事审批"
    en = (
        "One alert can bring a member ¥{worth} by this playbook; above ¥{limit} somebody else "
        "than its author must approve it first."
    )


class PlaybookNeedsAnother(Refusal):
    """Whoever wrote a version may not approve it."""

    code = "PLAYBOOK_NEEDS_ANOTHER"
    zh = "起草人不能审批自己的预案，请由另一位同事审批"
    en = "Whoever wrote the playbook may not approve it; ask somebody else."


class TaskNotFound(Refusal):
    """There is no such task, or it is not the caller's to see."""

    code = "TASK_NOT_FOUND"
    zh = "找不到该任务"
    en = "There is no such task."


class TaskClosed(Refusal):
    """The task is over."""

    code = "TASK_CLOSED"
    zh = "该任务已结束"
    en = "This task is over."
