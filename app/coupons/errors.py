"""Refusals of giving out and redeeming coupons."""

from app.kernel.errors import Refusal

BATCH_WORDS = {
    "DRAFT": "草稿",
    "APPROVED": "已批准",
    "ACTIVE": "发放中",
    "PAUSED": "已暂停",
    "EXHAUSTED": "已发完",
    "ENDED": "已结束",
    "REVOKED": "已作废",
}
COUPON_WORDS = {
    "WAITING": "尚未生效",
    "ACTIVE": "可用",
    "RESERVED": "已锁定在其他订单",
    "REDEEMED": "已使用",
    "RETURNED": "已退",
    "EXPIRED": "已过期",
    "REVOKED": "已作废",
}


class TemplateNotFound(Refusal):
    """There is no such coupon template."""

    code = "TEMPLATE_NOT_FOUND"
    zh = "找不到该优惠券模板"
    en = "There is no such coupon template."


class BatchNotFound(Refusal):
    """There is no such coupon batch."""

    code = "BATCH_NOT_FOUND"
    zh = "找不到该优惠券批次"
    en = "There is no such coupon batch."


class BatchNotActive(Refusal):
    """The batch is not giving out coupons."""

    code = "BATCH_NOT_ACTIVE"
    zh = "该批次当前为{state}，不能发券"
    en = "The batch is {state} and gives out no coupons."
    words = BATCH_WORDS


class BatchMoveNotAllowed(Refusal):
    """The batch cannot go from its state to the one asked for."""

    code = "BATCH_MOVE_NOT_ALLOWED"
    zh = "批次不能从{state}变为{to}"
    en = "The batch cannot go from {state} to {to}."
    words = BATCH_WORDS


class BatchNeedsAnother(Refusal):
    """Whoever drafted a batch may not approve it."""

    code = "BATCH_NEEDS_ANOTHER"
    zh = "起草人不能审批自己的批次，请由另一位同事审批"
    en = "Whoever drafted the batch may not approve it; ask somebody else."


class BatchTooSmall(Refusal):
    """The batch does not hold that many coupons, or not the money for them."""

    code = "BATCH_TOO_SMALL"
    zh = "批次剩余数量或预算只够{left}张"
    en = "The batch's quantity and budget leave {left} coupons."


class BatchHeldByDrop(Refusal):
    """Coupons of the batch are set aside for drops that have not ended."""

    code = "BATCH_HELD_BY_DROP"
    zh = "批次中有{held}张券留给未结束的活动，请先结束活动"
    en = "{held} coupons of the batch are set aside for drops; end those first."


class ValidityOver(Refusal):
    """The period in which the batch's coupons are valid has passed."""

    code = "VALIDITY_OVER"
    zh = "该批次优惠券的有效期已过"
    en = "The period in which these coupons are valid has passed."


class CouponNotFound(Refusal):
    """The member has no such coupon."""

    code = "COUPON_NOT_FOUND"
    zh = "找不到该优惠券"
    en = "There is no such coupon."


class CouponLimitReached(Refusal):
    """The member already has as many coupons of this template as one member may have."""

    code = "COUPON_LIMIT_REACHED"
    zh = "您领取的该优惠券已达上限"
    en = "You already have as many of this coupon as one member may have."


class CouponNotUsable(Refusal):
    """The coupon is used, expired, revoked or not valid yet."""

    code = "COUPON_NOT_USABLE"
    zh = "优惠券当前不可用：{state}"
    en = "The coupon cannot be used now: it is {state}."
    words = COUPON_WORDS


class BelowThreshold(Refusal):
    """The basket's lines in scope do not reach the coupon's threshold."""

    code = "BELOW_THRESHOLD"
    zh = "还差{missing}元才满足用券门槛"
    en = "The basket is ¥{missing} short of the coupon's threshold."


class NothingInScope(Refusal):
    """The coupon applies to nothing in the basket."""

    code = "NOTHING_IN_SCOPE"
    zh = "订单中没有可用此券的商品或运费"
    en = "The coupon applies to nothing in this basket."


class CannotCombine(Refusal):
    """The order already carries a coupon that this one may not be combined with."""

    code = "CANNOT_COMBINE"
    zh = "该券不能与订单已用的优惠券叠加"
    en = "This coupon cannot be combined with one already on the order."


class NotFirstOrder(Refusal):
    """The coupon is for a first order, and the member has ordered before."""

    code = "NOT_FIRST_ORDER"
    zh = "该券仅限首单使用，您已下过单"
    en = "This coupon is for a first order, and you have ordered before."


class CouponNotReserved(Refusal):
    """The coupon is not held for this order."""

    code = "COUPON_NOT_RESERVED"
    zh = "该优惠券未为此订单锁定"
    en = "The coupon is not reserved for this order."


class CodeNotFound(Refusal):
    """There is no such code."""

    code = "CODE_NOT_FOUND"
    zh = "兑换码不存在"
    en = "There is no such code."


class CodeTaken(Refusal):
    """The code has been entered already."""

    code = "CODE_TAKEN"
    zh = "兑换码已被使用"
    en = "The code has been used already."


class BatchUsedUp(Refusal):
    """The batch's quantity or budget is used up."""

    code = "BATCH_USED_UP"
    zh = "该批次优惠券已领完"
    en = "All coupons of this batch have been given out."
