"""Leaky buckets of cost that all API processes share, in Redis, with few round trips.

A bucket holds up to `maximum` and is filled by `restore` a second; what a request costs is taken
out. Each process spends on credit: it remembers how full it last saw a bucket, admits small sums by
that, and tells Redis ten times a second, all buckets in one call. A sum that would take its unsaid
spending beyond a fiftieth of the bucket is asked for first. So what is admitted exceeds `maximum`
and what was restored by a fiftieth a process at most (and by what the process has given back since
it last told); what is overspent the bucket owes, and it fills up from there.

While Redis is away each process goes by what it last saw: same numbers, but a bucket a process.
The script takes several keys at once, so all of them lie in one slot of a Redis Cluster: a request
is charged to its caller and its address together, or to neither.
"""

import asyncio
import hashlib
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from redis.exceptions import NoScriptError

from app.kernel.log import logger
from app.kernel.redis import AWAY, Redis

CREDIT = 50
TELL_SECONDS = 0.1
# How long one look at a bucket is good for refusing.
FRESH_SECONDS = 0.1
TIMEOUT_SECONDS = 0.1
# After a failure Redis is left alone for so long.
PAUSE_SECONDS = 1.0
KEPT = 10_000
AT_ONCE = 200
PREFIX = "{linli:cost}:"

# For each key: maximum, restore a second, what is owed in any case, what is asked for. The sums
# asked for are taken from all or from none. Answers whether they were, and each level.
SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local levels, enough = {}, 1
for i, key in ipairs(KEYS) do
  local at = (i - 1) * 4
  local maximum, restore = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local owed, asked = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local level = maximum
  local seen = redis.call('HMGET', key, 'level', 'at')
  if seen[1] then
    local passed = math.max(0, now - tonumber(seen[2]))
    level = math.min(maximum, tonumber(seen[1]) + passed * restore / 1000)
  end
  level = math.min(maximum, level - owed)
  if asked > level then enough = 0 end
  levels[i] = level
end
local answer = {enough}
for i, key in ipairs(KEYS) do
  local at = (i - 1) * 4
  local maximum, restore = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local level = levels[i] - enough * tonumber(ARGV[at + 4])
  redis.call('HSET', key, 'level', tostring(level), 'at', now)
  redis.call('PEXPIRE', key, math.ceil((maximum - level) / restore * 1000) + 1000)
  answer[i + 1] = math.floor(level)
end
return answer
"""
DIGEST = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Rate:
    """How much a bucket holds, and how much is restored a second."""

    maximum: int
    restore: int

    @property
    def credit(self) -> int:
        """How much one process may spend before it has told Redis."""
        return max(1, self.maximum // CREDIT)


@dataclass(slots=True, eq=False)
class Bucket:
    """What this process knows of one bucket."""

    key: str
    rate: Rate
    credit: int
    # As last seen, and when.
    level: float
    at: float
    # Spent here and not yet told, and what is being told.
    unsaid: int = 0
    underway: int = 0
    seen: float = -math.inf
    answers: int = 0

    def available(self, now: float) -> float:
        """What is in it, by what is known; below 0 when it was overspent."""
        level = self.level + (now - self.at) * self.rate.restore
        known = min(self.rate.maximum, level) - self.unsaid - self.underway
        return min(self.rate.maximum, known)

    def settle(self, level: float, now: float) -> None:
        """Take over a level."""
        self.level, self.at = level, now

    def learn(self, level: float, now: float, answers: int) -> None:
        """Take over what Redis told to one who asked after so many answers.

        Of several who asked meanwhile the last to be heard may have been served first, when the
        bucket held more.
        """
        if self.answers != answers:
            level = min(level, self.level + (now - self.at) * self.rate.restore)
        self.answers += 1
        self.settle(level, now)
        self.seen = now


class Buckets:
    """The buckets of one process."""

    def __init__(self, redis: Redis | None) -> None:
        """Share the buckets by this Redis, or with nobody."""
        self._redis = redis
        self._known: OrderedDict[str, Bucket] = OrderedDict()
        self._unsaid: dict[str, Bucket] = {}
        self._telling: asyncio.Task[None] | None = None
        self._is_resting = self._is_ending = False
        self._silent_until = -math.inf

    def get(self, key: str, rate: Rate) -> Bucket:
        """The bucket of a key; one that is new here is taken to be full until Redis says more."""
        bucket = self._known.get(key)
        if bucket is None:
            bucket = Bucket(key, rate, rate.credit, rate.maximum, monotonic())
            self._known[key] = bucket
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return bucket

    async def take(self, buckets: Sequence[Bucket], amount: int) -> bool:
        """Take an amount out of each bucket; False, and nothing taken, if one holds too little."""
        now = monotonic()
        for bucket in buckets:
            if bucket.available(now) < amount:
                if now - bucket.seen < FRESH_SECONDS:
                    return False
                break
            if max(0, bucket.unsaid) + bucket.underway + amount > bucket.credit:
                break
        else:
            self.spend(buckets, amount)
            return True
        return await self._ask(buckets, amount)

    def spend(self, buckets: Sequence[Bucket], amount: int) -> None:
        """Take an amount out, or put one below 0 in, without asking."""
        for bucket in buckets:
            bucket.unsaid += amount
            self._unsaid[bucket.key] = bucket
        if self._telling is None and self._unsaid:
            self._telling = asyncio.get_running_loop().create_task(self._tell_on())

    async def close(self) -> None:
        """Tell Redis what is still unsaid."""
        self._is_ending = True
        if self._telling is not None:
            if self._is_resting:  # what is being told would be told twice
                self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
        await self._tell()
        self._is_ending = False

    async def _tell_on(self) -> None:
        try:
            while self._unsaid and not self._is_ending:
                self._is_resting = True
                await asyncio.sleep(TELL_SECONDS)
                self._is_resting = False
                await self._tell()
        finally:
            self._telling = None

    async def _tell(self) -> None:
        unsaid, self._unsaid = list(self._unsaid.values()), {}
        for start in range(0, len(unsaid), AT_ONCE):
            await self._ask([b for b in unsaid[start : start + AT_ONCE] if b.unsaid], 0)

    async def _ask(self, buckets: Sequence[Bucket], amount: int) -> bool:
        """Tell what is unsaid, and take an amount if all hold it."""
        if not buckets:
            return True
        said = [bucket.unsaid for bucket in buckets]
        heard = [bucket.answers for bucket in buckets]
        for bucket, owed in zip(buckets, said, strict=True):
            bucket.unsaid, bucket.underway = bucket.unsaid - owed, bucket.underway + owed
        answer: list[int] | None = None
        told = False
        try:
            answer = await self._call(buckets, said, amount)
            told = True
        finally:
            for bucket, owed in zip(buckets, said, strict=True):
                bucket.underway -= owed
                if not told:  # cancelled: say it again
                    bucket.unsaid += owed
                    self._unsaid[bucket.key] = bucket
        now = monotonic()
        if answer is None:
            return _alone(buckets, said, amount, now)
        for bucket, level, before in zip(buckets, answer[1:], heard, strict=True):
            bucket.learn(level, now, before)
        return bool(answer[0])

    async def _call(
        self, buckets: Sequence[Bucket], said: Sequence[int], amount: int
    ) -> list[int] | None:
        """What Redis answers; None while it is away."""
        now = monotonic()
        if self._redis is None or now < self._silent_until:
            return None
        # Whoever comes meanwhile does not wait as well, unless Redis was there a moment ago.
        was_away = self._silent_until > -math.inf
        if was_away:
            self._silent_until = now + PAUSE_SECONDS
        given: list[str] = [PREFIX + bucket.key for bucket in buckets]
        for bucket, owed in zip(buckets, said, strict=True):
            rate = bucket.rate
            given += [str(rate.maximum), str(rate.restore), str(owed), str(amount)]
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                try:
                    answer = await self._redis.evalsha(DIGEST, len(buckets), *given)
                except NoScriptError:
                    answer = await self._redis.eval(SCRIPT, len(buckets), *given)
        except AWAY as error:
            if not was_away:
                log.warning("rate limits go on without redis", error=type(error).__name__)
            self._silent_until = monotonic() + PAUSE_SECONDS
            return None
        self._silent_until = -math.inf
        return answer


def _alone(buckets: Sequence[Bucket], said: Sequence[int], amount: int, now: float) -> bool:
    """What the script does, on what this process knows."""
    for bucket, owed in zip(buckets, said, strict=True):
        level = min(bucket.rate.maximum, bucket.level + (now - bucket.at) * bucket.rate.restore)
        bucket.settle(min(bucket.rate.maximum, level - owed), now)
    enough = all(bucket.level >= amount for bucket in buckets)
    for bucket in buckets if enough else ():
        bucket.level -= amount
    return enough
