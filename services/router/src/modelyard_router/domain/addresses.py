"""Where model servers may be: the router sends the serving token and callers' features to no other address."""

import ipaddress
from dataclasses import dataclass
from typing import Final, Self

from modelyard_router.domain.errors import RouterError

LOCAL_NAMES: Final = "<local>"
"""Entry for host names without a dot, which a network resolves by itself: `deployer` in compose."""
DEFAULT: Final = f"127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7,localhost,{LOCAL_NAMES}"
"""This machine and private networks."""
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class InvalidAddresses(RouterError, ValueError):
    """An entry of the list is neither a network nor a host name."""


@dataclass(frozen=True)
class AllowedAddresses:
    """Networks, host names, and domains whose subdomains are allowed."""

    networks: tuple[Network, ...] = ()
    names: frozenset[str] = frozenset()
    domains: tuple[str, ...] = ()
    """Each with its leading dot."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read entries separated by commas: `10.0.0.0/8`, `models.example.com`, `*.svc.cluster.local`, `<local>`."""
        entries = [entry.strip().lower() for entry in text.split(",") if entry.strip()]
        networks = tuple(found for entry in entries if (found := _network(entry)) is not None)
        rest = [entry for entry in entries if _network(entry) is None]
        for entry in rest:
            if entry != LOCAL_NAMES and not _is_name(entry.removeprefix("*.")):
                raise InvalidAddresses(f"{entry!r} is no network, host name or `*.` and a domain")
        domains = tuple(entry[1:] for entry in rest if entry.startswith("*."))
        return cls(networks, frozenset(entry for entry in rest if not entry.startswith("*.")), domains)

    def allow(self, host: str) -> bool:
        """Whether a model server may be at `host`, as written in a URL."""
        if (address := _address(host)) is not None:
            return any(address in network for network in self.networks if network.version == address.version)
        name = host.lower().rstrip(".")
        if not _is_name(name):
            return False
        return name in self.names or name.endswith(self.domains) or ("." not in name and LOCAL_NAMES in self.names)


def _network(entry: str) -> Network | None:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address of a literal; an IPv4 address that is written as an IPv6 one counts as itself."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            return None
        return address.ipv4_mapped or address
    return address


def _is_name(name: str) -> bool:
    """Whether it is a host name. `2130706433`, `0x7f.1` and `127.1` are not: resolvers read them as addresses."""
    labels = name.split(".")
    if not all(label and label.replace("-", "").replace("_", "").isalnum() and label.isascii() for label in labels):
        return False
    return not (labels[-1][0].isdigit())
