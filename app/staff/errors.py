"""Refusals of staff accounts."""

from app.kernel.errors import Refusal


class LoginRefused(Refusal):
    """The login or the password is wrong, or the account is disabled; which one is not said."""

    code = "LOGIN_REFUSED"
    zh = "账号或密码不正确"
    en = "The login or the password is wrong."


class LoginTaken(Refusal):
    """Another account has this login."""

    code = "LOGIN_TAKEN"
    zh = "该账号名已被使用"
    en = "Another account has this login."


class LeaderNeedsCommunity(Refusal):
    """A leader's account is for one community, and only a leader's is."""

    code = "LEADER_NEEDS_COMMUNITY"
    zh = "团长账号须且仅能绑定一个小区"
    en = "A LEADER's account is for one community, and no other role's is."


class WeakPassword(Refusal):
    """The password is too short."""

    code = "WEAK_PASSWORD"
    zh = "密码至少需要12个字符"
    en = "A password needs at least 12 characters."


class NoticeNotFound(Refusal):
    """There is no such notice."""

    code = "NOTICE_NOT_FOUND"
    zh = "找不到该通知"
    en = "There is no such notice."
