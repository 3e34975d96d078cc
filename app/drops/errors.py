"""Refusals of drops."""

from app.kernel.errors import NotBefore, Refusal

DROP_WORDS = {
    "SCHEDULED": "待开始",
    "OPEN": "进行中",
    "SOLD_OUT": "已抢光",
    "CLOSED": "已结束",
    "CANCELLED": "已取消",
}


class DropNotFound(Refusal):
    """There is no such drop."""

    code = "DROP_NOT_FOUND"
    zh = "找不到该活动"
    en = "There is no such drop."


class NotOpen(Refusal):
    """The drop is not open at this instant."""

    code = "NOT_OPEN"
    zh = "活动未开始或已结束"
    en = "The drop has not opened yet or is over."


class AlreadyClaimed(Refusal):
    """The member already has their one coupon of this drop."""

    code = "ALREADY_CLAIMED"
    zh = "您已经领取过了"
    en = "You have already claimed yours."


class SoldOut(Refusal):
    """Nothing is left."""

    code = "SOLD_OUT"
    zh = "已抢光"
    en = "Everything has been claimed."


class NotInAudience(Refusal):
    """The drop is for others: of another community, of a higher tier, or its guests."""

    code = "NOT_IN_AUDIENCE"
    zh = "该活动不面向您"
    en = "This drop is for other members."


class NotYetYours(NotBefore):
    """Higher tiers claim before this member, or have claimed all that was set apart so far."""

    code = "NOT_YET_YOURS"
    zh = "还没轮到您，{at}起可抢"
    en = "It is not your turn yet: come at {at}."


class EarlyAccessBegun(Refusal):
    """Members are claiming early, or may: what was set apart for them stays as it is."""

    code = "EARLY_ACCESS_BEGUN"
    zh = "提前抢已开始，不能再修改"
    en = "Early access has begun and cannot be changed any more."


class DropNotScheduled(Refusal):
    """Only a drop that has neither opened nor ended can be opened."""

    code = "DROP_NOT_SCHEDULED"
    zh = "活动当前为{state}，无法开启"
    en = "The drop is {state} and cannot be opened."
    words = DROP_WORDS


class DropNotOpen(Refusal):
    """Only a drop that is open can be closed."""

    code = "DROP_NOT_OPEN"
    zh = "活动当前为{state}，无法结束"
    en = "The drop is {state} and cannot be closed."
    words = DROP_WORDS


class DropNotCancellable(Refusal):
    """A drop that has ended can no longer be cancelled."""

    code = "DROP_NOT_CANCELLABLE"
    zh = "活动当前为{state}，无法取消"
    en = "The drop is {state} and cannot be cancelled."
    words = DROP_WORDS


class TooManyClaims(Refusal):
    """More claims wait already than this server takes; nothing was decided, so come again."""

    code = "TOO_MANY_CLAIMS"
    zh = "抢的人太多了，请稍后再试"
    en = "Too many are claiming at once; try again in a moment."
