"""Addresses of Redis as settings have them; light, for whatever reads settings reads this."""

from urllib.parse import urlsplit

CLUSTER = "+cluster"
SCHEMES = ("redis://", "rediss://", "unix://", "redis+cluster://", "rediss+cluster://")
PORT = 6379


def is_cluster(url: str) -> bool:
    """True of an address by which a cluster is meant.

    >>> is_cluster("redis+cluster://a:7000,b:7000"), is_cluster("redis://a")
    (True, False)
    """
    return CLUSTER in url.partition(":")[0]


def seeds(url: str) -> list[tuple[str, int]]:
    """The nodes that a cluster's address names; the others are learned from any of them.

    Raises ValueError for a port that is none.

    >>> seeds("redis+cluster://:secret@a:7000,b,[::1]:7001")
    [('a', 7000), ('b', 6379), ('::1', 7001)]
    """
    named = urlsplit(url).netloc.rpartition("@")[2]
    parts = [urlsplit(f"//{part}") for part in named.split(",")]
    return [(part.hostname or "", part.port or PORT) for part in parts]


def single(url: str, host: str, port: int) -> str:
    """The address of one node, to be asked as a server of its own.

    >>> single("rediss+cluster://:secret@a:7000,b:7000", "b", 7000)
    'rediss://:secret@b:7000'
    """
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    plain = parts._replace(
        scheme=parts.scheme.replace(CLUSTER, ""), netloc=f"{credentials}{at}{place}"
    )
    return plain.geturl()
