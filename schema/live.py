"""How subscriptions follow live topics: cursors in, facts out, failures as errors clients know."""

from collections.abc import AsyncGenerator

from app.kernel.errors import InvalidInput, Refusal
from app.kernel.live import CursorExpired, Fact, SlowFollower
from schema.context import Info
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


def live_cursor(seq: int) -> str:
    """The cursor that a client keeps."""
    return encode_cursor(seq)


async def followed(info: Info, topic: str, after: str | int | None) -> AsyncGenerator[Fact]:
    """The facts of a topic after a client's cursor (or a number taken by `live.head()`).

    Raises CursorTooOld or ConsumerTooSlow, after which the client subscribes anew.
    """
    seq = _seq(after) if isinstance(after, str) else after
    try:
        async for fact in info.context.live.follow(topic, after=seq):
            yield fact
    except CursorExpired:
        raise CursorTooOld() from None
    except SlowFollower:
        raise ConsumerTooSlow() from None


def _seq(cursor: str) -> int:
    seq = int(decode_cursor(cursor, int)[0])
    if not 0 <= seq < 2**63:
        raise InvalidInput(
            field="after", reason="this is not a cursor of this stream", reason_zh="游标无效"
        )
    return seq
