"""Who may ask for how much: a bucket of cost for each caller, and a larger one for each address.

`take` charges what a request asks for; `settle` gives back what it did not use, so a careful client
is charged for what it got. Somebody not signed in has the bucket of the address alone. Subscribing
is charged once, with the cost of one event.
"""

import ipaddress
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from time import monotonic
from typing import Any

from graphql import GraphQLError

from app.kernel.auth import Caller, MemberCaller, PartnerCaller, StaffCaller
from app.kernel.config import Settings
from app.kernel.errors import Locale, Refusal
from app.kernel.exemptions import Exemptions, parse_exemptions
from app.kernel.log import logger
from app.kernel.redis import Redis
from schema.engine.buckets import Bucket, Buckets, Rate
from schema.engine.limits import too_dear

KINDS: dict[type, str] = {MemberCaller: "member", StaffCaller: "staff", PartnerCaller: "partner"}
# How long the ids of exempt names are taken for true.
NAMES_SECONDS = 60.0
# What an IPv6 customer has at least.
IPV6_PREFIX = 64
ADDRESSES = 8_192
# Seconds; a number that may be rounded.
_NEVER = 1e9
# The ids, as `kind:uuid`, of exempt login names and names of partner keys.
LookUp = Callable[[frozenset[str], frozenset[str]], Awaitable[set[str]]]
log = logger(__name__)


class Throttled(Refusal):
    """The caller, or everybody at the address, asks for more than is restored."""

    code = "THROTTLED"
    zh = "请求过于频繁，请{seconds}秒后再试"
    en = "Too many requests; try again in {seconds} seconds."


@dataclass(frozen=True, slots=True)
class Throttle:
    """The verdict on one request, and the figures of the caller's bucket, or of what held it up."""

    requested: int
    maximum: int
    available: int
    restore_rate: int
    allowed: bool
    # Whole seconds until the same request may pass; None if it never will: see `refusal_of`.
    retry_after: int | None = 0
    actual: int | None = None
    buckets: tuple[Bucket, ...] = ()


def extension(throttle: Throttle) -> dict[str, Any]:
    """The `cost` of an answer's extensions."""
    return {
        "requested": throttle.requested,
        "actual": throttle.actual,
        "throttle": {
            "maximum": throttle.maximum,
            "available": throttle.available,
            "restoreRate": throttle.restore_rate,
        },
    }


def refusal_of(throttle: Throttle, locale: Locale) -> GraphQLError:
    """The error of a request that was not allowed; 429 with `Retry-After` over HTTP.

    What asks for more than the whole bucket will never pass: that is COST_EXCEEDED, and a mistake.
    """
    if throttle.retry_after is None:
        error = too_dear(throttle.requested, throttle.maximum)
        if error is not None:
            return error
    seconds = throttle.retry_after or 1
    refusal = Throttled(seconds=seconds)
    return GraphQLError(
        refusal.message(locale), extensions={"code": refusal.code, "retryAfter": seconds}
    )


class Throttler:
    """The rate limits of one process."""

    def __init__(
        self, settings: Settings, redis: Redis | None, look_up: LookUp | None = None
    ) -> None:
        """Limit by the settings; `look_up` finds exempt callers that are given by name."""
        self._caller = Rate(settings.rate_limit_maximum, settings.rate_limit_restore)
        self._address = Rate(
            settings.rate_limit_address_maximum, settings.rate_limit_address_restore
        )
        self._buckets = Buckets(redis)
        exempt = parse_exemptions(settings.rate_limit_exempt)
        self._names = _Names(exempt, look_up)
        self._exempt_address = lru_cache(ADDRESSES)(exempt.covers)

    async def take(self, caller: Caller, address: str | None, requested: int) -> Throttle:
        """Charge a request before it is executed, or refuse it; raises nothing."""
        kind = KINDS.get(type(caller))
        name = None if kind is None else f"{kind}:{caller.id}"  # type: ignore[union-attr]
        if await self._is_exempt(name, address):
            rate = self._caller
            return Throttle(requested, rate.maximum, rate.maximum, rate.restore, True)
        buckets: tuple[Bucket, ...] = ()
        if name is not None:
            buckets = (self._buckets.get(name, self._caller),)
        if address is not None:
            buckets += (self._buckets.get(network_of(address), self._address),)
        if not buckets:
            rate = self._caller
            return Throttle(requested, rate.maximum, rate.maximum, rate.restore, True)
        allowed = await self._buckets.take(buckets, requested)
        return _verdict(buckets, requested, allowed)

    def settle(self, throttle: Throttle, actual: int) -> Throttle:
        """Give back what was asked for and not used; answers the figures as they are then.

        What came beyond what was asked for (a plain list longer than reckoned) is not charged.
        """
        back = max(0, throttle.requested - actual)
        if not throttle.allowed or not throttle.buckets:
            return replace(throttle, actual=actual)
        if back:
            self._buckets.spend(throttle.buckets, -back)
        return _verdict(throttle.buckets, throttle.requested, True, actual)

    async def close(self) -> None:
        """Tell Redis what it does not know yet, and stop."""
        await self._buckets.close()

    async def _is_exempt(self, name: str | None, address: str | None) -> bool:
        if address is not None and self._exempt_address(address):
            return True
        return name is not None and (
            name in self._names.callers or (self._names.is_due and await self._names.learn(name))
        )


class _Names:
    """Exempt callers; those given by name are looked up once a minute, while anybody asks."""

    def __init__(self, exempt: Exemptions, look_up: LookUp | None) -> None:
        self.callers = exempt.callers
        self._exempt = exempt
        self._look_up = look_up
        self._due = -math.inf if look_up and (exempt.logins or exempt.keys) else math.inf

    @property
    def is_due(self) -> bool:
        return monotonic() >= self._due

    async def learn(self, name: str) -> bool:
        """Look the names up again; True if the caller is among them."""
        if self._look_up is None or name.startswith("member:"):
            return False
        self._due = monotonic() + NAMES_SECONDS
        try:
            found = await self._look_up(self._exempt.logins, self._exempt.keys)
        except Exception as error:  # a database that is away must not throttle whom it should not
            log.warning("exempt names wait for the database", error=type(error).__name__)
            return False
        self.callers = self._exempt.callers | found
        return name in self.callers


@lru_cache(ADDRESSES)
def network_of(address: str) -> str:
    """The bucket of an address: itself, and for IPv6 the network that one customer has."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return f"address:{address[:64]}"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            network = ipaddress.ip_network((found, IPV6_PREFIX), strict=False)
            return f"address:{network.network_address}"
        found = found.ipv4_mapped
    return f"address:{found}"


def _verdict(
    buckets: tuple[Bucket, ...], requested: int, allowed: bool, actual: int | None = None
) -> Throttle:
    """The figures of the caller's own bucket, or of the one that is the longest to wait for."""
    now = monotonic()
    bucket, wait = buckets[0], 0
    if not allowed:
        bucket = max(buckets, key=lambda one: _wait(one, requested, now))
        wait = max(1, math.ceil(_wait(bucket, requested, now)))
    rate = bucket.rate
    return Throttle(
        requested,
        rate.maximum,
        max(0, int(bucket.available(now))),
        rate.restore,
        allowed,
        wait if requested <= rate.maximum else None,
        actual,
        buckets,
    )


def _wait(bucket: Bucket, requested: int, now: float) -> float:
    """Seconds until a bucket holds so much; infinite if it never does."""
    if requested > bucket.rate.maximum:
        return _NEVER
    return (requested - bucket.available(now)) / bucket.rate.restore
