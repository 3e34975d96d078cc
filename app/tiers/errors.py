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


class RunNotPreviewed(Refusal):
    """Only a run whose preview is finished is published by hand: what moves has to be seen."""

    code = "RUN_NOT_PREVIEWED"
    zh = "{month}的等级结算尚未完成预览"
    en = "The tier run of {month} has no finished preview yet."


class BenefitNotFound(Refusal):
    """There is no benefit of this code, or it is not given any more."""

    code = "BENEFIT_NOT_FOUND"
    zh = "没有代码为{benefit}的权益"
    en = "There is no benefit {benefit}."


class BenefitNotInTier(Refusal):
    """The member's tier does not have the benefit."""

    code = "BENEFIT_NOT_IN_TIER"
    zh = "当前等级不含“{benefit_zh}”"
    en = "{benefit_en} is not among the benefits of your tier."


class BenefitUsedUp(Refusal):
    """Fewer uses are left in this window than were asked for."""

    code = "BENEFIT_USED_UP"
    zh = "“{benefit_zh}”本期剩余{left}次，{again_zh}"
    en = "{benefit_en}: {left} left in this window; {again_en}."


class BookingNeeded(Refusal):
    """The benefit is given at booked times only."""

    code = "BOOKING_NEEDED"
    zh = "“{benefit_zh}”需要先预约"
    en = "{benefit_en} has to be booked."


class ReferenceUsed(Refusal):
    """The partner's reference stands for another use of the benefit already."""

    code = "REFERENCE_USED"
    zh = "该合作方单号已登记"
    en = "This reference stands for another use already."


class SlotNotFound(Refusal):
    """There is no such time to book, or not for the member's neighbourhood."""

    code = "SLOT_NOT_FOUND"
    zh = "找不到该预约时段"
    en = "There is no such time to book."


class SlotFull(Refusal):
    """Fewer places are left at this time than were asked for."""

    code = "SLOT_FULL"
    zh = "该时段名额不足"
    en = "This time has no place left for you."


class SlotCancelled(Refusal):
    """The time was called off."""

    code = "SLOT_CANCELLED"
    zh = "该时段已取消"
    en = "This time was cancelled."


class SlotTooSmall(Refusal):
    """More places are booked than there would be."""

    code = "SLOT_TOO_SMALL"
    zh = "已有{booked}个名额被预约，不能少于此数"
    en = "{booked} places are booked; there cannot be fewer."


class BenefitOfAnother(Refusal):
    """A partner records uses of its own benefits alone."""

    code = "BENEFIT_OF_ANOTHER"
    zh = "该权益不由此合作方提供"
    en = "This benefit is not given by this partner."


class SlotBegun(Refusal):
    """The time has begun: it is neither booked nor cancelled any more."""

    code = "SLOT_BEGUN"
    zh = "该时段已开始"
    en = "This time has begun."


class SlotNotBegun(Refusal):
    """Nobody can have come, or stayed away, before the time begins."""

    code = "SLOT_NOT_BEGUN"
    zh = "该时段尚未开始"
    en = "This time has not begun."


class AlreadyBooked(Refusal):
    """The member has a booking of this time."""

    code = "ALREADY_BOOKED"
    zh = "已预约该时段"
    en = "You have booked this time already."


class BookingNotFound(Refusal):
    """There is no such booking of the member's."""

    code = "BOOKING_NOT_FOUND"
    zh = "找不到该预约"
    en = "There is no such booking."


class UseNotFound(Refusal):
    """There is no such use of a benefit."""

    code = "USE_NOT_FOUND"
    zh = "找不到该权益使用记录"
    en = "There is no such use of a benefit."


class UseNotReversible(Refusal):
    """The use is reversed or cancelled already, or is a booking that is still open."""

    code = "USE_NOT_REVERSIBLE"
    zh = "该记录不能撤销"
    en = "This use cannot be taken back."
