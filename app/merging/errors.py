"""Refusals of merging; those of members' own are in their slice."""

from app.kernel.errors import Refusal


class MergeBusy(Refusal):
    """Somebody was writing for one of the two for longer than a merge waits."""

    code = "MERGE_BUSY"
    zh = "账号正在使用中，请稍后再试"
    en = "One of the two accounts is busy; try again in a moment."
