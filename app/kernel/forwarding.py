"""Who calls, when balancers stand between: what of `X-Forwarded-For` is believed.

Each balancer writes the address that it was called from behind those that it was given, so only
the last entries are by balancers that we know; whatever stands before them a caller can have made
up. Hence: from the end, as far as the entries are balancers that are named, and one further.
"""

import asyncio
from collections.abc import Iterable, Mapping, MutableMapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from time import monotonic
from typing import Any, cast

from app.kernel.clock import system_clock
from app.kernel.log import logger
from app.kernel.redis import AWAY, Redis

ANYBODY = "*"
MOST_HOPS = 16
REMEMBERED = 4_096
STRANGERS = "linli:strangers"
"""Redis's hash of who sends `X-Forwarded-For` and is not named, with the instant of the last."""
TOLD_AGAIN = 3_600.0
KEPT = timedelta(days=1)
MOST_STRANGERS = 100
SAY_SECONDS = 1.0

log = logger(__name__)


def address_of(text: str) -> str | None:
    """The address of an entry, with or without a port, brackets and zone; None if it is none.

    >>> address_of(" 192.0.2.7:4711 "), address_of("[2001:DB8::7]:443"), address_of("fe80::1%eth0")
    ('192.0.2.7', '2001:db8::7', 'fe80::1')
    >>> address_of("::ffff:192.0.2.7"), address_of("unknown"), address_of("192.0.2.7.evil")
    ('192.0.2.7', None, None)
    """
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(found)


class Balancers:
    """The balancers that are named in LINLI_TRUSTED_PROXIES."""

    def __init__(self, named: str) -> None:
        """Of addresses and networks with commas between, or `*`: whoever calls is one."""
        names = [name.strip() for name in named.split(",") if name.strip()]
        self._anybody = ANYBODY in names
        self._networks: list[IPv4Network | IPv6Network] = [
            ip_network(name) for name in names if name != ANYBODY
        ]
        self._knows = lru_cache(REMEMBERED)(self._is_named)

    def believes(self, peer: str | None) -> bool:
        """Whether a peer's header is believed."""
        return self._anybody or (peer is not None and self._knows(peer))

    def caller(self, peer: str | None, headers: Iterable[bytes]) -> str | None:
        """Who calls: the first from the end that is no balancer of ours.

        What is no address ends the search: then it is the last balancer that we know of. With `*`
        the last entry counts alone, for nobody could say who wrote those before it.

        >>> ours = Balancers("10.0.0.0/8")
        >>> ours.caller("10.0.0.1", [b"192.0.2.66, 198.51.100.7, 10.0.0.2"])
        '198.51.100.7'
        >>> ours.caller("203.0.113.9", [b"198.51.100.7"]), ours.caller("10.0.0.1", [b"unknown"])
        ('203.0.113.9', '10.0.0.1')
        """
        known = peer if peer is None else address_of(peer) or peer
        if not self.believes(known):
            return known
        entries = b",".join(headers).decode("latin-1").rsplit(",", MOST_HOPS)
        for entry in reversed(entries[-MOST_HOPS:]):
            found = address_of(entry)
            if found is None:
                return known
            known = found
            if self._anybody or not self._knows(found):
                return known
        return known

    def _is_named(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._networks)


class Forwarding:
    """Puts the caller in the place of the balancer, in each request and socket of a process."""

    def __init__(self, trusted_proxies: str, redis: Redis | None = None) -> None:
        """Believe who is named; of the others Redis is told, so that `linli doctor` can tell."""
        self._balancers = Balancers(trusted_proxies)
        self._redis = redis
        self._told: dict[str, float] = {}
        self._telling: set[asyncio.Task[None]] = set()

    def apply(self, scope: MutableMapping[str, Any]) -> None:
        """Set the scope's client and scheme from the headers, as far as they are believed."""
        values = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        client = scope.get("client")
        peer = client[0] if client else None
        if not self._balancers.believes(None if peer is None else address_of(peer) or peer):
            if values and peer is not None:
                self._strange(peer)
            return
        caller = self._balancers.caller(peer, values) if values else peer
        if caller is not None and caller != peer:
            scope["client"] = (caller, 0)
        for name, value in scope["headers"]:
            if name == b"x-forwarded-proto":
                scheme = value.decode("latin-1").rpartition(",")[2].strip()
                if scheme in ("http", "https"):
                    socket = scope["type"] == "websocket"
                    scope["scheme"] = scheme.replace("http", "ws") if socket else scheme

    def _strange(self, peer: str) -> None:
        """Tell of a peer that may be a balancer which somebody forgot to name."""
        now = monotonic()
        told = self._told.get(peer)
        if told is not None and now - told < TOLD_AGAIN:
            return
        if told is None and len(self._told) >= MOST_STRANGERS:
            return
        self._told[peer] = now
        log.warning("X-Forwarded-For is not believed", peer=peer, setting="LINLI_TRUSTED_PROXIES")
        if self._redis is not None:
            task = asyncio.get_running_loop().create_task(_tell(self._redis, peer))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)


async def _tell(redis: Redis, peer: str) -> None:
    at = system_clock().isoformat(timespec="seconds")
    with suppress(*AWAY):
        async with asyncio.timeout(SAY_SECONDS):
            await redis.hset(STRANGERS, peer, at)
            await redis.expire(STRANGERS, KEPT)


async def strangers(redis: Redis, trusted_proxies: str) -> list[str]:
    """Who has sent `X-Forwarded-For` within a day and is not named. Raises one of AWAY."""
    found = cast("Mapping[bytes, bytes]", await redis.hgetall(STRANGERS))
    named = Balancers(trusted_proxies)
    since = system_clock() - KEPT
    return sorted(
        peer.decode()
        for peer, at in found.items()
        if datetime.fromisoformat(at.decode()) > since and not named.believes(peer.decode())
    )
