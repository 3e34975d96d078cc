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
