"""Refusals of the points ledger."""

from app.kernel.errors import Refusal


class NotEnoughPoints(Refusal):
    """The account holds fewer points than asked for."""

    code = "NOT_ENOUGH_POINTS"
    zh = "积分不足：需要{needed}，可用{available}"
    en = "Not enough points: {needed} needed, {available} available."


class PointsInDebt(Refusal):
    """Points owed after a refund must be earned back before any can be redeemed."""

    code = "POINTS_IN_DEBT"
    zh = "退款后尚欠{debt}积分，补足后才能使用"
    en = "{debt} points are owed after a refund; they must be earned back first."


class AlreadyCheckedIn(Refusal):
    """The member has checked in today."""

    code = "ALREADY_CHECKED_IN"
    zh = "今天已经签到过了"
    en = "You have already checked in today."


class SpendNotFound(Refusal):
    """There is no such spending to refund."""

    code = "SPEND_NOT_FOUND"
    zh = "找不到该笔积分消费"
    en = "There is no such spending of points."


class RefundExceedsSpend(Refusal):
    """More points would be returned than were spent and not yet returned."""

    code = "REFUND_EXCEEDS_SPEND"
    zh = "退还积分超过可退数量{left}"
    en = "Only {left} points of this spending can still be returned."
