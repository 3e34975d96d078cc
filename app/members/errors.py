"""Refusals of signing in and of a member's own data."""

from app.kernel.errors import Refusal, Wait


class MemberNotFound(Refusal):
    """There is no such member."""

    code = "MEMBER_NOT_FOUND"
    zh = "找不到该会员"
    en = "There is no such member."


class CommunityNotFound(Refusal):
    """There is no such community."""

    code = "COMMUNITY_NOT_FOUND"
    zh = "找不到该小区"
    en = "There is no such community."


class MemberNotActive(Refusal):
    """The member's account is frozen or closed."""

    code = "MEMBER_NOT_ACTIVE"
    zh = "该账号已冻结或注销"
    en = "This account is frozen or closed."


class BadPhoneNumber(Refusal):
    """The text is not a phone number."""

    code = "BAD_PHONE_NUMBER"
    zh = "手机号格式不正确"
    en = "This is not a phone number."


class CodeRefused(Refusal):
    """The one-time code is wrong, used up or too old."""

    code = "CODE_REFUSED"
    zh = "验证码错误或已过期"
    en = "The code is wrong or has expired."


class CodeSentRecently(Wait):
    """A code went to this phone less than a minute ago."""

    code = "CODE_SENT_RECENTLY"
    zh = "验证码已发送，请{seconds}秒后再试"
    en = "A code was sent; ask again in {seconds} seconds."


class IdentityTaken(Refusal):
    """The phone belongs to another member; merging the two is a matter of its own."""

    code = "IDENTITY_TAKEN"
    zh = "该手机号已属于另一位会员"
    en = "This phone belongs to another member."


class MemberClosed(Refusal):
    """The account was closed or merged into another, and stays so."""

    code = "MEMBER_CLOSED"
    zh = "该账号已注销或已合并"
    en = "This account was closed or merged into another."


class SameMember(Refusal):
    """Both are one member already."""

    code = "SAME_MEMBER"
    zh = "两个账号是同一会员"
    en = "Both are the same member already."


class AlreadyMerged(Refusal):
    """One of the two was merged into another member before."""

    code = "ALREADY_MERGED"
    zh = "其中一个账号已被合并"
    en = "One of the two was merged into another member before."


class OfferEnded(Refusal):
    """The offer to merge is not this member's, was altered, or is too old."""

    code = "OFFER_ENDED"
    zh = "合并确认已失效，请重新验证"
    en = "The offer to merge has ended; prove the other identity again."


class NotYourIdentity(Refusal):
    """What was proved is not an identity of this member."""

    code = "NOT_YOUR_IDENTITY"
    zh = "该验证不属于当前账号"
    en = "What you proved is not an identity of this account."


class NotClosing(Refusal):
    """The account is not about to be closed."""

    code = "NOT_CLOSING"
    zh = "该账号没有待注销申请"
    en = "This account is not about to be closed."


class ReasonNeeded(Refusal):
    """The reason is missing or longer than 200 characters."""

    code = "REASON_NEEDED"
    zh = "请填写原因（不超过200字）"
    en = "Say why, in at most 200 characters."


class SettingUnknown(Refusal):
    """There is no setting of this key."""

    code = "SETTING_UNKNOWN"
    zh = "没有名为{key}的设置项"
    en = "There is no setting called {key}."
