"""Requests that are not served, and what the client is told."""

from collections.abc import Sequence

import orjson

from app.kernel.errors import Refusal

Header = tuple[bytes, bytes]


class DeadlineExceeded(Refusal):
    """A query or subscription took longer than this installation allows."""

    code = "DEADLINE_EXCEEDED"
    zh = "请求超时，请稍后重试"
    en = "The request took too long; try again."


class MutationTimedOut(Refusal):
    """A mutation took too long: whether it was done is not known, but it is whole or not at all."""

    code = "DEADLINE_EXCEEDED"
    zh = "请求超时，结果未知；请用同一幂等键重试"
    en = (
        "The request took too long; whether it was done is not known. "
        "Send it again with the same idempotency key."
    )


class Overloaded(Refusal):
    """More requests wait than this process takes."""

    code = "OVERLOADED"
    zh = "系统繁忙，请稍后重试"
    en = "The server is busy; try again in a moment."


class TooManyOperations(Refusal):
    """A socket has as many operations under way as it may have."""

    code = "TOO_MANY_OPERATIONS"
    zh = "此连接上的操作过多，请先结束一些"
    en = "Too many operations on this socket; complete some first."


class SessionOver(Refusal):
    """The session behind a stream ended, or its token expired."""

    code = "SESSION_ENDED"
    zh = "登录已失效，请重新登录"
    en = "The session has ended; sign in again."


class NotServed(Exception):
    """An HTTP request that never becomes a GraphQL one."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Sequence[Header] = (),
        close: bool = False,
    ) -> None:
        """Refuse with a status and one error; `close` where the body was not read to its end."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = [*headers, (b"connection", b"close")] if close else list(headers)


class ClientGone(Exception):
    """Nobody is there any more to be answered."""


def malformed(message: str) -> NotServed:
    """A body or parameters that are no GraphQL request."""
    return NotServed(400, "BAD_REQUEST", message)


def errors_of(message: str, code: str) -> bytes:
    """A GraphQL response of one error, without data."""
    return orjson.dumps({"errors": [{"message": message, "extensions": {"code": code}}]})
