"""The client of WeChat's server interface (`/sns/jscode2session`)."""

from dataclasses import dataclass
from typing import Any

import httpx2

from app.kernel.config import Settings
from app.wechat.errors import WeChatRefused, WeChatUnavailable

# Codes of WeChat's documentation for code2Session: wrong or used code, blocked user.
_REFUSED = {40029, 40163, 40226}
TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class WeChatSession:
    """Who a login code speaks for. The session key stays out: it must never leave the server."""

    openid: str
    unionid: str | None


class WeChat:
    """Calls WeChat under this installation's app id."""

    def __init__(self, settings: Settings) -> None:
        """Open no connection yet."""
        self.app_id = settings.wechat_app_id
        self._secret = settings.wechat_secret.get_secret_value()
        self._client = httpx2.AsyncClient(base_url=settings.wechat_url, timeout=TIMEOUT)

    async def code_to_session(self, js_code: str) -> WeChatSession:
        """Exchange the code of `wx.login()`.

        Raises WeChatRefused, WeChatUnavailable.
        """
        try:
            response = await self._client.get(
                "/sns/jscode2session",
                params={
                    "appid": self.app_id,
                    "secret": self._secret,
                    "js_code": js_code,
                    "grant_type": "authorization_code",
                },
            )
            body: dict[str, Any] = response.raise_for_status().json()
        except (httpx2.HTTPError, ValueError) as error:
            raise WeChatUnavailable() from error
        errcode = int(body.get("errcode") or 0)
        if errcode in _REFUSED:
            raise WeChatRefused(errcode=errcode)
        openid = body.get("openid")
        if errcode or not isinstance(openid, str):
            raise WeChatUnavailable()
        return WeChatSession(openid, body.get("unionid"))

    async def close(self) -> None:
        """Return the connections."""
        await self._client.aclose()
