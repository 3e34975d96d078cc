"""A server that speaks WeChat's protocol, for development: code `dev-<name>` is that openid."""

import re

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

_CODE = re.compile(r"dev-[A-Za-z0-9_.-]{1,64}", re.ASCII)


async def _jscode2session(request: Request) -> JSONResponse:
    given = request.query_params
    if given.get("grant_type") != "authorization_code":
        return JSONResponse({"errcode": 40002, "errmsg": "invalid grant_type"})
    if not given.get("appid"):
        return JSONResponse({"errcode": 40013, "errmsg": "invalid appid"})
    if not given.get("secret"):
        return JSONResponse({"errcode": 40125, "errmsg": "invalid appsecret"})
    code = given.get("js_code", "")
    if not _CODE.fullmatch(code):
        return JSONResponse({"errcode": 40029, "errmsg": "invalid code"})
    return JSONResponse({"openid": code.removeprefix("dev-"), "session_key": "ZGV2ZWxvcG1lbnQ="})


def fake_routes(prefix: str = "/dev/wechat") -> list[Route]:
    """The routes of the fake server, below a prefix of the development server."""
    return [Route(f"{prefix}/sns/jscode2session", _jscode2session, methods=["GET"])]
