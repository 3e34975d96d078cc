"""News through Redis that nobody waits for: whatever they tell of is in PostgreSQL already."""

import asyncio
import math
from time import monotonic

from app.kernel.log import logger
from app.kernel.redis import AWAY, Redis

# A commit waits no longer for its news to leave: the attempts of the redis package take seconds
# while Redis is dead, and a silent one would hold us for ever. Then it is left alone for a while.
SAY_SECONDS = 0.5
PAUSE_SECONDS = 1.0

log = logger(__name__)


class News:
    """What one process says on a channel; nothing while Redis is away or does not answer."""

    def __init__(self, redis: Redis, channel: str) -> None:
        """Nothing is said yet."""
        self._redis = redis
        self._channel = channel
        self._silent_until = -math.inf

    async def __call__(self, message: bytes = b"") -> None:
        """Publish a message, or give up soon; raises nothing."""
        now = monotonic()
        if now < self._silent_until:
            return
        was_away = self._silent_until > -math.inf
        if was_away:
            # One finds out whether Redis is back; the others do not wait with it.
            self._silent_until = now + PAUSE_SECONDS
        try:
            async with asyncio.timeout(SAY_SECONDS):
                await self._redis.publish(self._channel, message)
        except AWAY as error:
            if not was_away:
                log.warning(
                    "news wait for redis", channel=self._channel, error=type(error).__name__
                )
            self._silent_until = monotonic() + PAUSE_SECONDS
        else:
            self._silent_until = -math.inf
