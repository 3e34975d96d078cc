"""Redis or Valkey, one server or a cluster, reached so that its silence does not last for ever.

A host that vanishes says nothing: no reset comes, and a read without a limit waits for good. So
each read has one, and whoever only listens asks now and then whether anybody is there.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import RedisCluster as AsyncCluster
from redis.asyncio.cluster import ClusterNode as AsyncNode
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ConstantBackoff
from redis.cluster import ClusterNode
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry

from app.kernel.redis_url import is_cluster, seeds, single

CONNECT_SECONDS = 2.0
SILENT_SECONDS = 3.0
"""How long an answer may take before the connection is given up."""
QUIET_SECONDS = 5.0
"""How long a channel may be quiet before it is asked whether it is alive."""
RETRY_SECONDS = 0.1

Redis = AsyncRedis | AsyncCluster
"""What an event loop talks to."""
BlockingRedis = redis.Redis | redis.RedisCluster
"""What threads talk to."""
# A cluster of which no node answers raises what is none of RedisError.
AWAY = (RedisError, RedisClusterException, OSError, TimeoutError)
"""What any call raises while Redis is away, silent, or not able to do its part."""


class Silent(RedisError):
    """A channel on which not even a ping is answered."""


def _limits() -> dict[str, Any]:
    return {"socket_connect_timeout": CONNECT_SECONDS, "socket_timeout": SILENT_SECONDS}


def connect(url: str) -> Redis:
    """A client for event loops; nothing is connected yet."""
    limits = _limits()
    retry = AsyncRetry(ConstantBackoff(RETRY_SECONDS), 1)
    if not is_cluster(url):
        return AsyncRedis.from_url(url, retry=retry, **limits)
    (host, port), *others = seeds(url)
    nodes = [AsyncNode(*other) for other in others]
    found = single(url, host, port)
    return AsyncCluster.from_url(found, startup_nodes=nodes, retry=retry, **limits)


def connect_blocking(url: str) -> BlockingRedis:
    """A client for threads. One of a cluster connects here and now: it may raise one of AWAY."""
    limits = _limits()
    retry = Retry(ConstantBackoff(RETRY_SECONDS), 1)
    if not is_cluster(url):
        return redis.Redis.from_url(url, retry=retry, **limits)
    (host, port), *others = seeds(url)
    nodes = [ClusterNode(*other) for other in others]
    found = single(url, host, port)
    return redis.RedisCluster.from_url(found, startup_nodes=nodes, retry=retry, **limits)


async def hear(client: Redis, channel: str) -> AsyncGenerator[bytes | None]:
    """What is said on a channel: None as soon as we listen, then each message.

    Raises one of AWAY when the connection is lost, or does not answer a ping.
    """
    if isinstance(client, AsyncCluster):
        await client.initialize()
    async with client.pubsub() as line:
        await line.subscribe(channel)
        asked = False
        while True:
            message: dict[str, Any] | None = await line.get_message(timeout=QUIET_SECONDS)
            if message is None:
                if asked:
                    raise Silent(f"nothing is heard on {channel}")
                await line.ping()
                asked = True
                continue
            asked = False
            if message["type"] == "subscribe":
                yield None
            elif message["type"] == "message":
                yield message["data"]


async def close(client: Redis) -> None:
    """Return a client's connections, whatever state they are in."""
    try:
        async with asyncio.timeout(SILENT_SECONDS):
            await client.aclose()
    except AWAY:
        return
