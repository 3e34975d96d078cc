"""Dramatiq on Redis, set up so that a killed worker's messages come back within seconds."""

import threading
from collections.abc import Mapping
from typing import Any, cast

import dramatiq
import orjson
import structlog
from dramatiq import Actor, Message, MessageProxy, Worker
from dramatiq.asyncio import async_to_sync
from dramatiq.encoder import Encoder, MessageData
from dramatiq.errors import ConnectionClosed, DecodeError
from dramatiq.middleware import AsyncIO, Middleware, TimeLimit

from app.kernel.errors import Refusal
from app.kernel.log import logger
from app.kernel.redis import AWAY, BlockingRedis, connect_blocking
from app.kernel.redis_url import is_cluster
from workers.consuming import SureBroker, SureRetries
from workers.jobs import Job, Work

# A worker that has not been heard for this long is taken for dead (its consumers poll five times
# a second, also while a job runs), and one command in ten looks for the dead. With the defaults a
# killed worker's messages stay away for a minute and a half.
HEARTBEAT_MS = 5_000
MAINTENANCE_CHANCE = 100_000
NAMESPACE = "linli:jobs"
FIRST_RETRY_MS = 1_000
LONGEST_RETRY_MS = 3_600_000

log = logger(__name__)


class JsonEncoder(Encoder):
    """Messages as JSON; other than pickled ones they cannot carry code."""

    def encode(self, data: MessageData) -> bytes:
        """The message's bytes."""
        return orjson.dumps(data)

    def decode(self, data: bytes) -> MessageData:
        """The message of these bytes; DecodeError when they are none."""
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise DecodeError("not a message", data, error) from None


class JobLog(Middleware):
    """Binds the job's name and id to every log line that is written during it."""

    def before_process_message(self, broker: dramatiq.Broker, message: MessageProxy) -> None:
        """Begin: the event loop's task copies this thread's context."""
        structlog.contextvars.bind_contextvars(job=message.actor_name, job_id=message.message_id)

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: MessageProxy,
        *,
        result: object = None,
        exception: BaseException | None = None,
    ) -> None:
        """End, whatever came of it."""
        structlog.contextvars.clear_contextvars()


class CloseDatabase(Middleware):
    """Returns the pool's connections on the event loop they belong to, after the last job."""

    def __init__(self, work: Work) -> None:
        """Remember whose database it is."""
        self._work = work

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: Worker) -> None:
        """Close; the event loop stops only after this."""
        async_to_sync(self._work.database.close)()


def namespace_of(redis_url: str) -> str:
    """What the queues' keys begin with; in a cluster all of them have to lie on one node."""
    return f"{{{NAMESPACE}}}" if is_cluster(redis_url) else NAMESPACE


def make_broker(redis_url: str, work: Work, jobs: Mapping[str, Job]) -> SureBroker:
    """The broker of a worker process, with every job declared as an actor.

    Raises one of AWAY for a cluster that does not answer.
    """
    dramatiq.set_encoder(JsonEncoder())
    broker = SureBroker(
        client=connect_blocking(redis_url),
        namespace=namespace_of(redis_url),
        heartbeat_timeout=HEARTBEAT_MS,
        maintenance_chance=MAINTENANCE_CHANCE,
        middleware=[
            AsyncIO(),
            CloseDatabase(work),
            TimeLimit(),
            SureRetries(min_backoff=FIRST_RETRY_MS, max_backoff=LONGEST_RETRY_MS),
            JobLog(),
        ],
    )
    for item in jobs.values():
        _declare(broker, work, item)
    return broker


def _declare(broker: SureBroker, work: Work, item: Job) -> None:
    async def run(**given: object) -> None:
        try:
            await item.body(work, **given)
        except Refusal as refusal:
            # An expected no (already done, no longer open) does not change by trying again.
            log.info("job refused", refusal=refusal.code, text=str(refusal))

    Actor(
        run,
        broker=broker,
        actor_name=item.name,
        queue_name=item.queue,
        priority=0,
        options={
            "max_retries": item.retries,
            "time_limit": int(item.time_limit.total_seconds() * 1000),
        },
    )


class Sender:
    """Hands messages to Redis; used by the relay alone, so that no job is sent from memory."""

    def __init__(self, redis_url: str) -> None:
        """Connect on first use."""
        dramatiq.set_encoder(JsonEncoder())
        self._url = redis_url
        self._broker: SureBroker | None = None
        self._lock = threading.Lock()

    def send(self, messages: list[Message[Any]]) -> None:
        """Store the messages in their queues; ConnectionClosed when Redis does not take them."""
        with self._lock:
            broker = self._connected()
            for message in messages:
                broker.enqueue(message)

    def close(self) -> None:
        """Return the connections."""
        if self._broker is not None:
            cast("BlockingRedis", self._broker.client).close()

    def _connected(self) -> SureBroker:
        if self._broker is None:
            try:
                client = connect_blocking(self._url)
            except AWAY as error:
                raise ConnectionClosed(error) from error
            self._broker = SureBroker(
                client=client,
                namespace=namespace_of(self._url),
                heartbeat_timeout=HEARTBEAT_MS,
                # A sender has nothing in hand, so it leaves the dead to the workers.
                maintenance_chance=0,
                middleware=[],
            )
        return self._broker


def message_for(item: Job, given: Mapping[str, object]) -> Message[Any]:
    """The message that calls a job with these keywords."""
    return Message(
        queue_name=item.queue, actor_name=item.name, args=(), kwargs=dict(given), options={}
    )
