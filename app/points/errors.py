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


class ShareNotFound(Refusal):
    """Nobody has shared this code, or who did takes no part any more."""

    code = "SHARE_NOT_FOUND"
    zh = "邀请码无效"
    en = "This invitation code is not valid."


class OwnInvitation(Refusal):
    """A member does not invite themselves."""

    code = "OWN_INVITATION"
    zh = "不能接受自己的邀请"
    en = "You cannot accept your own invitation."


class AlreadyInvited(Refusal):
    """The person was invited by somebody else, or under another account."""

    code = "ALREADY_INVITED"
    zh = "您已接受过邀请"
    en = "You have already accepted an invitation."


class NotANewcomer(Refusal):
    """Only who has not ordered yet can be invited."""

    code = "NOT_A_NEWCOMER"
    zh = "邀请仅限尚未下单的新邻居"
    en = "Invitations are for those who have not ordered yet."


class InvitationRing(Refusal):
    """The inviter was invited by this member, or by somebody whom they invited."""

    code = "INVITATION_RING"
    zh = "不能接受您所邀请之人的邀请"
    en = "You cannot accept an invitation from somebody who goes back to yours."


class TooManyInvitations(Refusal):
    """As many of the inviter's invitations as a month allows were accepted this month."""

    code = "TOO_MANY_INVITATIONS"
    zh = "邀请人本月的{limit}个名额已满"
    en = "All {limit} of the inviter's invitations of this month are taken."
