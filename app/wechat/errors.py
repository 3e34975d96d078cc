"""Refusals of WeChat's server."""

from app.kernel.errors import Refusal


class WeChatRefused(Refusal):
    """WeChat did not accept the code: it is wrong, used or too old (errcode {errcode})."""

    code = "WECHAT_REFUSED"
    zh = "微信登录凭证无效或已使用（{errcode}）"
    en = "WeChat did not accept the code ({errcode})."


class WeChatUnavailable(Refusal):
    """WeChat could not be reached or is busy; trying again later helps."""

    code = "WECHAT_UNAVAILABLE"
    zh = "微信服务暂时不可用，请稍后再试"
    en = "WeChat is not available; try again later."
