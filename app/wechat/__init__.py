"""WeChat's server interface: the client, and the fake server that development logs in with."""

from app.wechat.client import WeChat, WeChatSession
from app.wechat.errors import WeChatRefused, WeChatUnavailable
from app.wechat.fake import fake_routes

__all__ = ["WeChat", "WeChatRefused", "WeChatSession", "WeChatUnavailable", "fake_routes"]
