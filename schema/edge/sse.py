"""GraphQL over server-sent events: one operation a request, "distinct connections mode".

The protocol is that of the npm client graphql-sse: each answer is an event `next`, the end is an
event `complete`, mistakes in the operation come as a `next` too. A comment goes out when nothing
else does, so that proxies keep the connection and a client that is gone is found out.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

from app.kernel.errors import Locale
from schema.edge.callers import Admission, Callers, Ended
from schema.edge.exchanges import Exchange
from schema.edge.negotiation import Media
from schema.edge.refusals import Header, SessionOver, errors_of
from schema.engine import Answer, presented
from schema.engine.fanout import SubscriptionFailed

PING_SECONDS = 12.0
# A client that reads nothing for so long has its connection closed; it resumes from its cursor.
STUCK_SECONDS = 30.0
_COMPLETE = b"event: complete\ndata: \n\n"
_PING = b":\n\n"
_HEADERS: tuple[Header, ...] = ((b"x-accel-buffering", b"no"),)


async def answers(stream: AsyncGenerator[bytes], locale: Locale) -> AsyncGenerator[bytes]:
    """The responses of a subscription that has begun, its last error among them."""
    try:
        async with aclosing(stream) as responses:
            async for response in responses:
                yield response
    except SubscriptionFailed as failure:
        yield Answer(None, failure.errors, has_data=False).encode()
    except Exception as error:  # whatever ends the stream, the client sees its masked form
        yield Answer(None, [presented(error, locale)], has_data=False).encode()


async def single(answer: bytes) -> AsyncGenerator[bytes]:
    """The stream of an operation that has one response."""
    yield answer


class Stream:
    """An event stream being written."""

    def __init__(self, exchange: Exchange, callers: Callers, admission: Admission) -> None:
        """Nothing is sent yet."""
        self._exchange = exchange
        self._callers = callers
        self._admission = admission
        self._over: asyncio.Future[Ended | None] = asyncio.get_running_loop().create_future()

    async def write(self, responses: AsyncGenerator[bytes]) -> None:
        """Send each response as it comes, until there are no more, or nobody to send them to."""
        admission = self._admission
        unwatch = self._callers.watch(admission.caller, admission.expires_at, self._stop)
        leaving = asyncio.create_task(self._wait_for_leaving())
        try:
            await self._exchange.begin(200, Media.STREAM, _HEADERS)
            async with aclosing(responses):
                await self._write_each(responses)
            await self._end()
        except TimeoutError:
            self._exchange.outcome = "stuck"
            _abort(self._exchange)
            await asyncio.wait({leaving}, timeout=1)
        except asyncio.CancelledError:
            # The server is stopping: an end without `complete` tells the client to come again.
            await self._send(b"", more=False)
            raise
        finally:
            unwatch()
            leaving.cancel()

    async def _write_each(self, responses: AsyncGenerator[bytes]) -> None:
        while not self._over.done():
            coming = asyncio.ensure_future(anext(responses, None))
            try:
                response = await self._next(coming)
            finally:
                if not coming.done():
                    coming.cancel()
                    with contextlib.suppress(asyncio.CancelledError, Exception):
                        await coming
            if response is None:
                return
            await self._send(b"event: next\ndata: " + response + b"\n\n")

    async def _next(self, coming: "asyncio.Future[bytes | None]") -> bytes | None:
        """The next response; None when there is none, or the stream is over."""
        while True:
            done, _ = await asyncio.wait(
                {coming, self._over},
                timeout=PING_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if coming in done:
                return coming.result()
            if done:
                return None
            await self._send(_PING)

    async def _end(self) -> None:
        ended = self._over.result() if self._over.done() else None
        if ended is not None:
            said = errors_of(SessionOver().message(self._exchange.locale), ended.value)
            await self._send(b"event: next\ndata: " + said + b"\n\n")
        await self._send(_COMPLETE, more=False)

    async def _send(self, data: bytes, *, more: bool = True) -> None:
        message = {"type": "http.response.body", "body": data, "more_body": more}
        async with asyncio.timeout(STUCK_SECONDS):
            await self._exchange.send(message)

    async def _wait_for_leaving(self) -> None:
        with contextlib.suppress(Exception):
            while (await self._exchange.receive())["type"] != "http.disconnect":
                pass
        self._stop(None)

    def _stop(self, reason: Ended | None) -> None:
        if not self._over.done():
            self._over.set_result(reason)


def _abort(exchange: Exchange) -> None:
    """Drop the connection. ASGI has no word for it, and a close would wait for the reader."""
    cycle = getattr(exchange.send, "__self__", None)
    abort = getattr(getattr(cycle, "transport", None), "abort", None)
    if callable(abort):
        abort()
