"""Refusals about tiers."""

from app.kernel.errors import Refusal


class TierNotFound(Refusal):
    """There is no tier of this code."""

    code = "TIER_NOT_FOUND"
    zh = "没有代码为{tier}的等级"
    en = "There is no tier {tier}."


class RunAlreadyPublished(Refusal):
    """The month's run is published or being published, and is not calculated anew."""

    code = "RUN_ALREADY_PUBLISHED"
    zh = "{month}的等级结算已发布"
    en = "The tier run of {month} has been published."


class TiersMissing(Refusal):
    """No tiers are set up."""

    code = "TIERS_MISSING"
    zh = "尚未设置会员等级"
    en = "No tiers are set up."


class RunNotDue(Refusal):
    """The month has not begun, so that its run can be previewed but not published."""

    code = "RUN_NOT_DUE"
    zh = "{month}尚未开始，只能预览"
    en = "{month} has not begun: its tier run can only be previewed."
