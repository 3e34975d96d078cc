"""Who is exempt from the rate limits: `LINLI_RATE_LIMIT_EXEMPT`."""

import base64
import binascii
import ipaddress
from dataclasses import dataclass
from uuid import UUID

KINDS = ("member", "staff", "partner")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Exemptions:
    """Callers by `kind:uuid`, staff by login name, partner keys by name, and networks."""

    callers: frozenset[str] = frozenset()
    logins: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    def covers(self, address: str) -> bool:
        """True for an address of one of the networks."""
        if not self.networks:
            return False
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
            found = found.ipv4_mapped
        return any(found in network for network in self.networks)


def parse_exemptions(text: str) -> Exemptions:
    """Read `member:<id>, staff:<id or login>, partner:<id or name>, address:<IP or CIDR>`.

    An id is the UUID or the opaque id that GraphQL answers; an address may stand without its kind.
    Raises ValueError naming the entry that is none of these.
    """
    callers: set[str] = set()
    names: dict[str, set[str]] = {"staff": set(), "partner": set()}
    networks: list[Network] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        network = _network(entry)
        kind, _, value = entry.partition(":")
        if network is not None:
            networks.append(network)
        elif kind not in KINDS or not value.strip():
            raise ValueError(_wrong(entry))
        elif (key := _uuid(value.strip())) is not None:
            callers.add(f"{kind}:{key}")
        elif kind in names:
            names[kind].add(value.strip())
        else:
            raise ValueError(_wrong(entry))
    return Exemptions(
        frozenset(callers),
        frozenset(name.casefold() for name in names["staff"]),
        frozenset(names["partner"]),
        tuple(networks),
    )


def _network(entry: str) -> Network | None:
    text = entry.removeprefix("address:").strip()
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        if entry.startswith("address:"):
            raise ValueError(_wrong(entry)) from None
        return None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        pass
    try:
        decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
        return UUID(decoded.partition(":")[2])
    except (ValueError, binascii.Error):
        return None


def _wrong(entry: str) -> str:
    return (
        f"{entry!r} names nobody: write member:<id>, staff:<id or login>, partner:<id or name> "
        "or address:<IP or CIDR>, several separated by commas"
    )
