"""Refusals of packs, gifts and birthdays."""

from app.kernel.errors import Refusal

# A pack is also not given out while the batch of one of its coupons is not, or is too old.
PACK_WORDS = {
    "DRAFT": "草稿",
    "OPEN": "发放中",
    "CLOSED": "已结束",
    "APPROVED": "待发放",
    "ACTIVE": "发放中",
    "PAUSED": "已暂停",
    "EXHAUSTED": "已发完",
    "ENDED": "已结束",
    "REVOKED": "已作废",
    "EXPIRED": "已过期",
}

HOLD_WORDS = {
    "HELD": "已占用",
    "TAKEN": "已随订单领取",
    "RELEASED": "已放弃",
    "EXPIRED": "已过期",
    "RETURNED": "已退回",
}


class PackNotFound(Refusal):
    """There is no such pack."""

    code = "PACK_NOT_FOUND"
    zh = "找不到该礼包"
    en = "There is no such pack."


class PackNotOpen(Refusal):
    """The pack is not being given out."""

    code = "PACK_NOT_OPEN"
    zh = "礼包当前不可领取：{state}"
    en = "The pack is not being given out: it is {state}."
    words = PACK_WORDS


class PackMoveNotAllowed(Refusal):
    """The pack cannot go from its state to the one asked for."""

    code = "PACK_MOVE_NOT_ALLOWED"
    zh = "礼包不能从{state}变为{to}"
    en = "The pack cannot go from {state} to {to}."
    words = PACK_WORDS


class PackSoldOut(Refusal):
    """Every pack has been claimed."""

    code = "PACK_SOLD_OUT"
    zh = "礼包已领完"
    en = "Every pack has been claimed."


class PackAlreadyClaimed(Refusal):
    """The member has this pack, once ever or for this silence."""

    code = "PACK_ALREADY_CLAIMED"
    zh = "您已领取过该礼包"
    en = "You have claimed this pack already."


class PackForReturning(Refusal):
    """The pack is for members who come back after a silence."""

    code = "PACK_FOR_RETURNING"
    zh = "该礼包仅限久未下单的会员领取"
    en = "This pack is for members who come back after a silence."


class GiftNotFound(Refusal):
    """There is no such gift."""

    code = "GIFT_NOT_FOUND"
    zh = "找不到该礼品"
    en = "There is no such gift."


class GiftNotOpen(Refusal):
    """The gift's hours are to come or over."""

    code = "GIFT_NOT_OPEN"
    zh = "礼品不在领取时间内"
    en = "The gift is not being given at this hour."


class GiftOutOfStock(Refusal):
    """Every unit of the gift is held or taken."""

    code = "GIFT_OUT_OF_STOCK"
    zh = "礼品已领完"
    en = "Every unit of the gift is held or taken."


class GiftAlreadyHeld(Refusal):
    """The member holds or has taken this gift in this cycle."""

    code = "GIFT_ALREADY_HELD"
    zh = "您本期已领取过该礼品"
    en = "You hold this gift already, or took it in this cycle."


class HoldNotFound(Refusal):
    """The member holds no such gift."""

    code = "HOLD_NOT_FOUND"
    zh = "找不到该礼品占用"
    en = "There is no such hold."


class HoldNotUsable(Refusal):
    """The hold has ended: taken, released or expired."""

    code = "HOLD_NOT_USABLE"
    zh = "礼品占用已结束：{state}"
    en = "The hold has ended: it is {state}."
    words = HOLD_WORDS


class BirthdayChangedAlready(Refusal):
    """The birthday was changed once, and cannot be changed again."""

    code = "BIRTHDAY_CHANGED_ALREADY"
    zh = "生日只能修改一次"
    en = "A birthday can be changed once, and this one was."


class OccasionNotFound(Refusal):
    """There is no such festival, and it is not the birthday."""

    code = "OCCASION_NOT_FOUND"
    zh = "找不到该节日"
    en = "There is no such occasion."


class FestivalExists(Refusal):
    """There is a festival of this code."""

    code = "FESTIVAL_EXISTS"
    zh = "该节日代码已存在"
    en = "There is a festival of this code."
