"""Cursors of live streams, and how a stream may fail, as clients know it."""

from app.kernel.errors import Refusal
from schema.context import Ctx
from schema.paging import decode_cursor, encode_cursor


class CursorTooOld(Refusal):
    """The cursor lies outside of what is kept."""

    code = "CURSOR_EXPIRED"
    zh = "游标已过期，请不带游标重新订阅"
    en = "This cursor is too old; subscribe without it."


class ConsumerTooSlow(Refusal):
    """The client did not keep up with the stream."""

    code = "SLOW_CONSUMER"
    zh = "连接过慢，请用最后的游标重新订阅"
    en = "The connection was too slow; subscribe again with the last cursor."


class StreamEnded(Refusal):
    """The server is about to stop."""

    code = "STREAM_ENDED"
    zh = "服务正在重启，请用最后的游标重新订阅"
    en = "The server is restarting; subscribe again with the last cursor."


def live_cursor(seq: int) -> str:
    """The cursor that a client keeps."""
    return encode_cursor(seq)


async def resumed(ctx: Ctx, after: str | None) -> int | None:
    """The number behind a client's cursor; None for a client that has none.

    Raises CursorTooOld for one from another time's log.
    """
    if after is None:
        return None
    (seq,) = decode_cursor(after, natural)
    await check_reached(ctx, seq)
    return seq


async def check_reached(ctx: Ctx, seq: int) -> None:
    """Raise CursorTooOld for a number that the log has not come to: it is of another log."""
    if seq > ctx.live.last and seq > await ctx.live.head():
        raise CursorTooOld()


def natural(value: object) -> int:
    """A place in a stream, as `decode_cursor` reads it; raises ValueError for what is none."""
    if not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError("not a place in a stream")
    return value
