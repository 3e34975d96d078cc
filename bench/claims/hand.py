"""The same web process, with a claim's end point written by hand in front: the floor.

It checks the token and takes the claim to the same group commit, and does nothing else: no engine,
no limits, no deadline, no request ids, no metrics. What a claim costs there is HTTP, the token and
the claim itself; whatever serves GraphQL on top of these cannot be cheaper.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from app import drops
from app.kernel.auth import MemberCaller
from app.kernel.config import load_settings
from app.main import connect, create_app
from schema import Resources
from schema.nodes import key_of

# `{ __typename }`, by which the tokens become known, is shorter.
LEAST = 100
HEADERS = ((b"content-type", b"application/json"),)


@dataclass(frozen=True, slots=True)
class Hand:
    """Answers what is as long as a claim; the rest goes to the application behind it."""

    behind: ASGIApp
    resources: Resources

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the life of the process."""
        given = dict(scope.get("headers", ()))
        if int(given.get(b"content-length", b"0")) < LEAST:
            await self.behind(scope, receive, send)
            return
        body = await self._claimed(given[b"authorization"].decode(), await receive())
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, length]})
        await send({"type": "http.response.body", "body": body})

    async def _claimed(self, authorization: str, message: Mapping[str, Any]) -> bytes:
        caller = (await self.resources.callers.admit(authorization)).caller
        if not isinstance(caller, MemberCaller):
            raise TypeError("a token of no member")
        given = orjson.loads(message["body"])["variables"]
        asked = {"drop_id": given["id"], "idempotency_key": given["key"]}
        try:
            made = await self.resources.claims.claim(
                drop_id=key_of(given["id"], "Drop"),
                member_id=caller.id,
                key=given["key"],
                given=asked,
            )
        except drops.SoldOut:
            answer = {"__typename": "SoldOut", "code": drops.SoldOut.code}
        else:
            claim = {"claimedAt": made.claimed_at}
            answer = {"__typename": "ClaimDropSuccess", "claim": claim}
        return orjson.dumps({"data": {"claimDrop": answer}}, option=orjson.OPT_UTC_Z)


def _made() -> ASGIApp:
    settings = load_settings()
    parts = connect(settings)
    return Hand(create_app(settings, parts), parts.resources)


app = _made()
