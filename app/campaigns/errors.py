"""Refusals of campaigns."""

from app.kernel.errors import Refusal

CAMPAIGN_WORDS = {
    "DRAFT": "草稿",
    "SCHEDULED": "待开始",
    "RUNNING": "进行中",
    "PAUSED": "已暂停",
    "COMPLETED": "已完成",
    "CANCELLED": "已取消",
}


class CampaignNotFound(Refusal):
    """There is no such campaign."""

    code = "CAMPAIGN_NOT_FOUND"
    zh = "找不到该营销活动"
    en = "There is no such campaign."


class CampaignMoveNotAllowed(Refusal):
    """The campaign cannot go from its state to the one asked for."""

    code = "CAMPAIGN_MOVE_NOT_ALLOWED"
    zh = "营销活动不能从{state}变为{to}"
    en = "The campaign cannot go from {state} to {to}."
    words = CAMPAIGN_WORDS
