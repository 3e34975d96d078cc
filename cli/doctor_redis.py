"""What may be wrong with Redis, one server or a cluster, and with the balancers in front of us."""

from typing import Any
from urllib.parse import urlsplit

from redis.exceptions import AuthenticationError, ResponseError

from app.kernel.config import Settings
from app.kernel.forwarding import strangers
from app.kernel.redis import AsyncCluster, Redis, close, connect
from app.kernel.redis_url import CLUSTER, is_cluster, seeds, single
from cli.findings import Finding, guarded, ok, warning, wrong

OLDEST = (6, 2)
Facts = dict[str, Any]


async def look_at_redis(settings: Settings) -> list[Finding]:
    """Redis, and who sends X-Forwarded-For without being named, which it knows."""
    found = [await guarded("redis", lambda: _redis(settings), _away)]
    if found[0].state != "wrong":
        found.append(await guarded("proxies", lambda: _proxies(settings)))
    return found


def _away(check: str, error: Exception) -> Finding:
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, AuthenticationError) or "NOAUTH" in said or "WRONGPASS" in said:
        return wrong(
            check,
            said,
            "Put the right password into LINLI_REDIS_URL: redis://:password@host:6379/0.",
            "Redis 密码不对，请更正 LINLI_REDIS_URL 中的密码",
        )
    return wrong(
        check,
        said,
        "Is the server running, and is LINLI_REDIS_URL right? Queries and claims go on without "
        "it; jobs wait.",
        "连不上 Redis：请确认服务已启动、LINLI_REDIS_URL 正确。查询与领券不受影响，后台任务会等待",
    )


async def _redis(settings: Settings) -> Finding:
    url = settings.redis_url or ""
    facts = await _facts(url)
    name = str(facts.get("server_name", "redis")).title()
    version = str(facts.get("valkey_version", facts["redis_version"]))
    said = f"{name} {version}"
    found = _kind(url, facts, said) or _role(facts, said) or _age(facts, said)
    if found is not None:
        return found
    if is_cluster(url):
        said = f"{said}, a cluster"
    await _write(url)
    return _keeping(facts, said) or ok("redis", said)


async def _facts(url: str) -> Facts:
    """What the server says of itself, and of its cluster if it is in one."""
    places = seeds(url) if is_cluster(url) else [None]
    lost: Exception | None = None
    for place in places:
        client = connect(url if place is None else single(url, *place))
        try:
            facts: Facts = await client.info()
            if facts.get("cluster_enabled"):
                answer: Any = await client.execute_command("CLUSTER", "INFO")
                facts |= _read(answer)
        except Exception as error:  # another of the nodes that are named may answer
            lost = error
        else:
            return facts
        finally:
            await close(client)
    raise lost or LookupError("no node is named")


def _read(answer: bytes) -> Facts:
    """The lines `name:value` of an answer."""
    lines = [line.partition(":") for line in answer.decode().splitlines()]
    return {name: value.strip() for name, _, value in lines}


def _kind(url: str, facts: Facts, said: str) -> Finding | None:
    """One server where a cluster is meant, the other way round, or a cluster that is not whole."""
    clustered = bool(facts.get("cluster_enabled"))
    if clustered and not is_cluster(url):
        scheme, _, rest = url.partition(":")
        shown = f"{scheme}{CLUSTER}:{rest}" if not urlsplit(url).password else f"{scheme}{CLUSTER}:"
        return wrong(
            "redis",
            f"{said} is a node of a cluster, and LINLI_REDIS_URL means a single server",
            f"Write LINLI_REDIS_URL={shown}…, and name a second node behind a comma.",
            "这是 Redis 集群的节点：请把 LINLI_REDIS_URL 写成 redis+cluster://主机:端口,主机:端口",
        )
    if is_cluster(url) and not clustered:
        return wrong(
            "redis",
            f"{said} is a single server, and LINLI_REDIS_URL means a cluster",
            f"Leave {CLUSTER} out of LINLI_REDIS_URL.",
            "这是单机 Redis，不是集群：请去掉 LINLI_REDIS_URL 中的 +cluster",
        )
    if clustered and facts.get("cluster_state") != "ok":
        covered = facts.get("cluster_slots_ok", 0)
        return wrong(
            "redis",
            f"{said}, a cluster that is {facts.get('cluster_state')}: {covered} of 16384 slots",
            "Bring back the nodes that are missing: `CLUSTER NODES` in redis-cli names them.",
            "集群不完整：请用 redis-cli 执行 CLUSTER NODES，恢复缺失的节点",
        )
    return None


def _role(facts: Facts, said: str) -> Finding | None:
    if facts.get("role") == "master" or facts.get("cluster_enabled"):
        return None
    return wrong(
        "redis",
        f"{said} is a replica, which takes no writes",
        "Set LINLI_REDIS_URL to the primary.",
        "这是只读副本，请把 LINLI_REDIS_URL 指向主节点",
    )


def _age(facts: Facts, said: str) -> Finding | None:
    numbers = str(facts["redis_version"]).split(".")
    if (int(numbers[0]), int(numbers[1])) >= OLDEST:
        return None
    return wrong(
        "redis",
        f"{said} is too old",
        "Use Redis 6.2 or newer, or Valkey.",
        "版本过旧，请使用 Redis 6.2 以上或 Valkey",
    )


def _keeping(facts: Facts, said: str) -> Finding | None:
    """Jobs wait there: what it forgets is lost."""
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        return warning(
            "redis",
            f"{said} may throw jobs away (maxmemory-policy {policy})",
            "Set maxmemory-policy noeviction.",
            "内存不足时会丢弃任务，请设置 maxmemory-policy noeviction",
        )
    if not facts.get("aof_enabled"):
        return warning(
            "redis",
            f"{said} keeps no log: a restart loses the jobs that wait (appendonly no)",
            "Set appendonly yes.",
            "未开启持久化，重启会丢失排队任务，请设置 appendonly yes",
        )
    return None


async def _write(url: str) -> None:
    """Whether it takes a write: not when its memory or its disk is full."""
    client = connect(url)
    try:
        await _initialized(client)
        await client.set("linli:doctor", "1", px=1_000)
    finally:
        await close(client)


async def _initialized(client: Redis) -> None:
    if isinstance(client, AsyncCluster):
        await client.initialize()


async def _proxies(settings: Settings) -> Finding:
    client = connect(settings.redis_url or "")
    try:
        await _initialized(client)
        unnamed = await strangers(client, settings.trusted_proxies)
    except ResponseError as error:
        raise LookupError(str(error)) from None
    finally:
        await close(client)
    if unnamed:
        listed = ", ".join(unnamed[:5]) + (", …" if len(unnamed) > 5 else "")
        return warning(
            "proxies",
            f"X-Forwarded-For came within a day from {listed}, not in LINLI_TRUSTED_PROXIES",
            "If these are your balancers, name them there: until then all who come through one "
            "share its limits. If not, somebody tries to hide their address, in vain.",
            f"{listed} 不在 LINLI_TRUSTED_PROXIES 中：若是自己的负载均衡，请列入，否则共用限额",
        )
    return ok("proxies", settings.trusted_proxies or "none, and nobody says that they are one")
