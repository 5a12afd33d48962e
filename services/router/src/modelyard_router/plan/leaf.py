"""Compile a leaf of a plan: addresses, request heads and headers that are the same for every request."""

from typing import Final, NamedTuple, Self
from urllib.parse import quote, urlsplit

from modelyard_contracts import RoutePublished
from modelyard_contracts.routes import WEIGHT_TOLERANCE, VersionLeaf
from modelyard_router.domain.addresses import DEFAULT, AllowedAddresses
from modelyard_router.domain.contract import Contract
from modelyard_router.domain.errors import UnusableRoute
from modelyard_router.domain.leaves import Address, GroupHead, Header, Leaf
from modelyard_router.domain.records import PredictionRecords

PORTS: Final = {"http": 80, "https": 443}


class ModelServers(NamedTuple):
    """What the router knows of all model servers."""

    token: str = ""
    """Sent to each of them, and to no address that is not allowed."""
    allowed: AllowedAddresses = AllowedAddresses.parse(DEFAULT)


ANYWHERE_PRIVATE: Final = ModelServers()
"""Without a token."""


class Place(NamedTuple):
    """A position in a plan."""

    path: str = ""
    rule: str = "all"
    share: float = 1.0
    arms: str = ""
    """Names of the split arms above, so that splits inside of splits assign independently."""
    drawn: float = 0.0
    """Weight with which a member of an adaptive model is drawn to answer alone; 0 elsewhere."""
    needs_urls: bool = True
    """False where others answer for a version without replicas."""

    def into(self, step: str) -> Self:
        return self._replace(path=f"{self.path}/{step}" if self.path else step)

    def into_arm(self, name: str, weight: float, *, draw: bool = False) -> Self:
        rule = self.rule if weight >= 1 - WEIGHT_TOLERANCE or self.rule != "all" else f"weight:{weight:g}"
        return self.into(f"split:{name}")._replace(
            rule=rule,
            share=self.share * weight,
            arms=f"{self.arms}/{name}" if self.arms else f"/{name}",
            drawn=weight if draw else 0.0,
        )

    def into_rule(self, name: str) -> Self:
        return self.into(f"rules:{name}")._replace(rule=name)

    def into_copy(self, name: str) -> Self:
        return self.into(f"shadow:{name}")._replace(rule=f"shadow:{name}", share=0.0)

    def into_member(self, place: int, share: float) -> Self:
        return self.into(f"ensemble:{place}")._replace(share=self.share * share, needs_urls=False)

    def salted(self, route: str) -> str:
        """The name under which a split at this position hashes its units."""
        return f"{route}{self.arms}"


def compile_leaf(
    published: RoutePublished, node: VersionLeaf, place: Place, contract: Contract, servers: ModelServers, where: str
) -> Leaf:
    """UnusableRoute names what cannot be used."""
    where = f"route {published.route}, {where}"
    if place.share > 0 and place.needs_urls and not node.urls:
        raise UnusableRoute(f"{where}: has weight but no urls", field="urls")
    addresses = tuple(_address(url, servers.allowed, where) for url in node.urls)
    token, own = servers.token, f"{_versions_path(node.model)}{node.version}"
    alone = own.partition("/versions/")[0]  # a version that generates text never shares its server
    digest = node.digest or ""
    headers = _headers(published, node, digest)
    cost_usd = node.price.usd_per_call
    return Leaf(
        route=published.route,
        path=place.path,
        rule=place.rule,
        variant=node.variant,
        model=node.model,
        version=node.version,
        digest=digest,
        share=place.share,
        timeout_s=None if node.timeout_ms is None else node.timeout_ms / 1000,
        price=node.price,
        cost_usd=cost_usd,
        addresses=addresses,
        infer_head=tuple(_request_head(own, "infer", address, token) for address in addresses),
        group_head=tuple(_group_head(node.model, address, token) for address in addresses),
        generate_head=tuple(_request_head(alone, "generate_stream", address, token) for address in addresses),
        contract=contract,
        records=_records(published, node, place, digest),
        headers=headers,
        answer_head=answer_head(headers, place.rule, cost_usd),
    )


def _records(published: RoutePublished, node: VersionLeaf, place: Place, digest: str) -> PredictionRecords:
    return PredictionRecords(
        model=node.model,
        version=node.version,
        digest=digest,
        route=published.route,
        sequence=published.sequence,
        variant=node.variant,
        feature_schema_id=node.feature_schema_id or "",
        cost_usd=node.price.usd_per_call,
        path=place.path,
        workspace=published.workspace,
        drawn=place.drawn,
    )


def _address(url: str, allowed: AllowedAddresses, where: str) -> Address:
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        parts, port = urlsplit(""), 0
    usable = parts.scheme in PORTS and parts.hostname and parts.path in ("", "/") and not parts.query
    if not usable or parts.username or not _printable(parts.hostname or ""):
        raise UnusableRoute(f"{where}: {url!r} is not an address such as http://host:port", field="urls")
    if not allowed.allow(parts.hostname or ""):
        raise UnusableRoute(
            f"{where}: {url[:200]!r} is outside of the networks where model servers may be; "
            "add its host or network to ROUTER_UPSTREAM_NETWORKS if it is one",
            field="urls",
        )
    return Address(parts.hostname or "", port, parts.scheme == "https")


def _versions_path(model: str) -> str:
    """The path before the version: a server of several versions needs it."""
    return f"/v2/models/{quote(model, safe=':')}/versions/"


def _request_head(path: str, call: str, address: Address, token: str) -> bytes:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return (
        f"POST {path}/{call} HTTP/1.1\r\nhost: {host}:{address.port}\r\n"
        f"authorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: "
    ).encode()


def _group_head(model: str, address: Address, token: str) -> GroupHead:
    before = f"POST {_versions_path(model)}".encode()
    return GroupHead(before, _request_head("", "infer", address, token).removeprefix(b"POST "))


def _headers(published: RoutePublished, node: VersionLeaf, digest: str) -> tuple[Header, ...]:
    """Headers that are the same for every answer; UnusableRoute when a value is not printable ASCII."""
    values = {
        "model": node.model,
        "version": str(node.version),
        "digest": digest,
        "route": published.route,
        "variant": node.variant,
    }
    for name, value in values.items():
        if not _printable(value):
            raise UnusableRoute(f"route {published.route}: {name} {value!r} cannot be sent in a header", field=name)
    return tuple((f"x-modelyard-{name}".encode(), value.encode()) for name, value in values.items())


def _printable(value: str) -> bool:
    return value.isascii() and value.isprintable()


def answer_head(headers: tuple[Header, ...], rule: str, cost_usd: float, attempts: int = 1) -> bytes:
    """Status line and constant headers of answers at the first attempt."""
    fixed = (
        *headers,
        (b"x-modelyard-rule", rule.encode()),
        (b"x-modelyard-attempts", b"%d" % attempts),
        (b"x-modelyard-cost-usd", b"%g" % cost_usd),
        (b"content-type", b"application/json"),
    )
    return b"HTTP/1.1 200 OK\r\n" + b"".join([b"%b: %b\r\n" % header for header in fixed])
