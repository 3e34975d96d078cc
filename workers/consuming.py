"""Taking messages from Redis so that none is left between the two, whatever becomes of the line.

What a consumer fetches leaves the queue and stands in a set of the worker's until it is done. If
the answer is lost on the way, the worker knows nothing of a message that Redis thinks it has, and
as long as the worker lives nobody else gets it. So each consumer looks into its set from time to
time, and puts back what is in nobody's hands. A request may also arrive long after it was given up
(a network that comes back delivers what it held), so looking once is not enough.
"""

import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import Any

from dramatiq import Broker, Consumer, Message, MessageProxy
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import compute_backoff
from dramatiq.errors import ConnectionClosed, DecodeError
from dramatiq.middleware import Retries

from app.kernel.log import logger
from app.kernel.redis import AWAY

AGAIN_SECONDS = 1.0
"""How long a consumer waits while Redis is away."""
LOOK_SECONDS = 10.0
"""How often it looks for messages that it should have and has not."""

log = logger(__name__)


def redis_id(message: Message[Any] | MessageProxy) -> str:
    """What Redis calls a message: each sending of it has an id of its own."""
    return str(message.options["redis_message_id"])


class SureBroker(RedisBroker):
    """A broker that knows which messages are in this process's hands."""

    def __init__(self, **given: Any) -> None:
        """As a RedisBroker is made."""
        super().__init__(**given)
        self.in_hand: defaultdict[str, set[str]] = defaultdict(set)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        """A consumer of a queue."""
        if queue_name in self.delay_queues:
            # Whoever starts a consumer of delayed messages anew has let go of those it had.
            self.in_hand[queue_name].clear()
        return SureConsumer(self, queue_name, prefetch, timeout)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Store a message in its queue.

        Raises ConnectionClosed while Redis does not take it.
        """
        try:
            return super().enqueue(message, delay=delay)
        except AWAY as error:
            raise ConnectionClosed(error) from error

    def mine(self, queue_name: str) -> set[str]:
        """The messages that Redis thinks this process has. Raises one of AWAY."""
        key = f"{self.namespace}:__acks__.{self.broker_id}.{queue_name}"
        client: Any = self.client
        return {item.decode() for item in client.smembers(key)}


class SureConsumer(Consumer):
    """The messages of one queue, for one thread; others acknowledge."""

    def __init__(self, broker: SureBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        """Fetch up to `prefetch` at once, and sleep up to `timeout` ms when there are none."""
        self._broker = broker
        self._commands: Any = broker
        self._queue = queue_name
        self._prefetch = prefetch
        self._timeout = timeout
        self._fetched: deque[Message[Any]] = deque()
        self._misses = 0
        self._looks_at = 0.0
        self._is_away = False

    def __next__(self) -> MessageProxy | None:
        """The next message, or None after a while without any."""
        if not self._fetched:
            self._fetch()
        if not self._fetched:
            return None
        return MessageProxy(self._fetched.popleft())

    def close(self) -> None:
        """Let go of what was fetched and not given to anybody: the next look puts it back."""
        self._in_hand.difference_update(redis_id(message) for message in self._fetched)
        self._fetched.clear()

    def ack(self, message: MessageProxy) -> None:
        """Say that a message is done. Raises ConnectionClosed while that cannot be said."""
        self._settle("do_ack", message)

    def nack(self, message: MessageProxy) -> None:
        """Say that it never will be. Raises ConnectionClosed while that cannot be said."""
        self._settle("do_nack", message)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Put messages back that were not begun. Raises ConnectionClosed."""
        ids = [redis_id(message) for message in messages]
        if not ids:
            return
        try:
            self._commands.do_requeue(self._queue, *ids)
        except AWAY as error:
            raise ConnectionClosed(error) from error
        self._in_hand.difference_update(ids)

    @property
    def _in_hand(self) -> set[str]:
        return self._broker.in_hand[self._queue]

    def _settle(self, command: str, message: MessageProxy) -> None:
        try:
            getattr(self._commands, command)(self._queue, redis_id(message))
        except AWAY as error:
            raise ConnectionClosed(error) from error
        # Only now: until Redis has forgotten it, it must not be taken for one that was lost.
        self._in_hand.discard(redis_id(message))

    def _fetch(self) -> None:
        """Fill up what is fetched; sleeps when there is nothing, or nobody to ask."""
        try:
            if time.monotonic() >= self._looks_at:
                self._put_back()
            wanted = self._prefetch - len(self._in_hand)
            found = self._commands.do_fetch(self._queue, wanted) if wanted > 0 else []
        except AWAY as error:
            self._wait(error)
            return
        if self._is_away:
            log.info("jobs go on", queue=self._queue)
            self._is_away = False
        # A message whose text Redis has lost is none.
        self._fetched.extend(self._readable(raw for raw in found if raw is not None))
        self._in_hand.update(redis_id(message) for message in self._fetched)
        if self._fetched:
            self._misses = 0
            return
        self._misses, pause = compute_backoff(self._misses, max_backoff=self._timeout)
        time.sleep(pause / 1000)

    def _readable(self, found: Iterable[bytes]) -> Iterator[Message[Any]]:
        """The messages that are some; of others the log tells, and they hold nobody up."""
        for raw in found:
            try:
                yield Message[Any].decode(raw)
            except DecodeError:
                log.exception("a job that cannot be read", queue=self._queue)

    def _put_back(self) -> None:
        """Put back what was handed to us and did not arrive."""
        # Looked at before Redis is: what is done meanwhile is known, and nothing new can come.
        known = frozenset(self._in_hand)
        lost = self._broker.mine(self._queue) - known
        if lost:
            self._commands.do_requeue(self._queue, *lost)
            log.warning("jobs came back", queue=self._queue, number=len(lost))
        self._looks_at = time.monotonic() + LOOK_SECONDS

    def _wait(self, error: Exception) -> None:
        if not self._is_away:
            log.warning("jobs wait for redis", queue=self._queue, error=type(error).__name__)
        self._is_away = True
        self._looks_at = 0.0
        time.sleep(AGAIN_SECONDS)


class SureRetries(Retries):
    """Tries a job again, also one that fails while Redis is away."""

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: object = None,
        exception: BaseException | None = None,
    ) -> None:
        """Send a failed job once more; waits until that is done.

        If this gave up, the job would count as done: it is acknowledged right after.
        """
        tries = message.options.get("retries", 0)
        while True:
            try:
                super().after_process_message(broker, message, result=result, exception=exception)
            except ConnectionClosed:
                message.options["retries"] = tries
                time.sleep(AGAIN_SECONDS)
            else:
                return
