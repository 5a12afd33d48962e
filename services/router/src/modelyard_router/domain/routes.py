"""A published route, compiled once."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from pydantic import ValidationError

from modelyard_contracts import RoutePublished, RouteTarget
from modelyard_contracts.manifest import FeatureSchema
from modelyard_router.domain.assignment import Assigner, upper_bounds
from modelyard_router.domain.contract import Contract
from modelyard_router.domain.errors import UnusableRoute
from modelyard_router.domain.records import PredictionRecords

STABLE: Final = "stable"
WEIGHT_TOLERANCE: Final = 1e-6
Header = tuple[bytes, bytes]
Address = tuple[str, int]


@dataclass(frozen=True, eq=False)
class Target:
    """One version that a route sends requests to."""

    variant: str
    version: int
    digest: str
    weight: float
    addresses: tuple[Address, ...]
    """Host and port of each replica."""
    infer_head: tuple[bytes, ...]
    """For each replica, the head of an infer request up to the value of content-length."""
    contract: Contract
    records: PredictionRecords
    headers: tuple[Header, ...]
    cost_usd: float
    rule: str
    """Why a request was sent here if nothing failed."""
    answer_head: bytes
    """Status line and constant headers of first-attempt answers, precomputed."""


@dataclass(frozen=True, eq=False)
class Route:
    """A compiled route table."""

    published: RoutePublished
    name: str
    model: str
    targets: tuple[Target, ...]
    """Challengers first, so that raising their weights is monotone; stable last."""
    bounds: tuple[float, ...]
    assigner: Assigner
    only: Target | None
    """The target with all the weight, if there is one: no hash is needed."""
    contract: Contract | None
    """The contract of all targets, or None when they differ."""
    timeout_s: float
    others: Mapping[str, tuple[Target, ...]] = field(default_factory=dict)
    """For each variant, the targets to fall back on: same contract, heaviest first."""

    def choose(self, unit: str) -> Target:
        """The target of a unit: sticky, and monotone in the challengers' weights."""
        return self.only or self.targets[bisect_right(self.bounds, self.assigner.bucket(unit))]


def compile_route(published: RoutePublished, serving_token: str = "") -> Route:
    """Compile a table; UnusableRoute names the field and the problem."""
    if not published.targets:
        raise UnusableRoute(f"route {published.route}: no targets", field="targets")
    total = sum(target.weight for target in published.targets)
    if abs(total - 1) > WEIGHT_TOLERANCE or any(target.weight < 0 for target in published.targets):
        raise UnusableRoute(f"route {published.route}: weights add up to {total}, must be 1", field="targets.weight")
    if len({target.variant for target in published.targets}) != len(published.targets):
        raise UnusableRoute(f"route {published.route}: two targets have the same variant", field="targets.variant")
    if published.timeout_ms <= 0:
        raise UnusableRoute(f"route {published.route}: timeout_ms must be above 0", field="timeout_ms")
    contracts = {target.feature_schema_id: _contract(published, target) for target in published.targets}
    ordered = sorted(published.targets, key=lambda target: (target.variant == STABLE, target.variant))
    targets = tuple(
        _target(published, target, contracts[target.feature_schema_id], serving_token) for target in ordered
    )
    loaded = [target for target in targets if target.weight > 0]
    return Route(
        published=published,
        name=published.route,
        model=published.model,
        targets=targets,
        bounds=upper_bounds([target.weight for target in targets]),
        assigner=Assigner(published.salt, published.route),
        only=loaded[0] if len(loaded) == 1 else None,
        contract=next(iter(contracts.values())) if len(contracts) == 1 else None,
        timeout_s=published.timeout_ms / 1000,
        others={target.variant: _others(target, targets) for target in targets},
    )


def _others(target: Target, targets: tuple[Target, ...]) -> tuple[Target, ...]:
    fit = [other for other in targets if other is not target and other.contract is target.contract and other.addresses]
    return tuple(sorted(fit, key=lambda other: -other.weight))


def _contract(published: RoutePublished, target: RouteTarget) -> Contract:
    where = f"route {published.route}, variant {target.variant}"
    document = published.feature_schemas.get(target.feature_schema_id)
    if document is None:
        raise UnusableRoute(
            f"{where}: feature schema {target.feature_schema_id} is not in the table", field="feature_schemas"
        )
    try:
        schema = FeatureSchema.model_validate_json(document)
    except ValidationError as error:
        raise UnusableRoute(f"{where}: feature schema: {error.errors()[0]['msg']}", field="feature_schemas") from error
    if schema.id != target.feature_schema_id:
        raise UnusableRoute(
            f"{where}: the schema under {target.feature_schema_id} has the id {schema.id}", field="feature_schemas"
        )
    return Contract(schema)


def _target(published: RoutePublished, target: RouteTarget, contract: Contract, token: str) -> Target:
    where = f"route {published.route}, variant {target.variant}"
    if target.weight > 0 and not target.urls:
        raise UnusableRoute(f"{where}: has weight but no urls", field="targets.urls")
    addresses = tuple(_address(url, where) for url in target.urls)
    headers = _headers(published, target)
    rule = "all" if target.weight >= 1 - WEIGHT_TOLERANCE else f"weight:{target.weight:g}"
    return Target(
        variant=target.variant,
        version=target.version,
        digest=target.digest,
        weight=target.weight,
        addresses=addresses,
        infer_head=tuple(_infer_head(published.model, address, token) for address in addresses),
        contract=contract,
        records=PredictionRecords(
            model=published.model,
            version=target.version,
            digest=target.digest,
            route=published.route,
            sequence=published.sequence,
            variant=target.variant,
            feature_schema_id=target.feature_schema_id,
            cost_usd=target.cost_usd,
        ),
        headers=headers,
        cost_usd=target.cost_usd,
        rule=rule,
        answer_head=_answer_head(headers, rule, target.cost_usd),
    )


def _address(url: str, where: str) -> Address:
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.query or parts.username:
        raise UnusableRoute(f"{where}: {url!r} is not an address such as http://host:port", field="targets.urls")
    return parts.hostname, port


def _infer_head(model: str, address: Address, token: str) -> bytes:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return (
        f"POST /v2/models/{model}/infer HTTP/1.1\r\nhost: {host}:{address[1]}\r\n"
        f"authorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: "
    ).encode()


def _headers(published: RoutePublished, target: RouteTarget) -> tuple[Header, ...]:
    """Headers that are constant for a target; UnusableRoute when a value is not printable ASCII."""
    values: dict[str, str] = {
        "model": published.model,
        "version": str(target.version),
        "digest": target.digest,
        "route": published.route,
        "variant": target.variant,
    }
    for name, value in values.items():
        if not value.isascii() or not value.isprintable():
            raise UnusableRoute(f"route {published.route}: {name} {value!r} cannot be sent in a header", field=name)
    return tuple((f"x-modelyard-{name}".encode(), value.encode()) for name, value in values.items())


def _answer_head(headers: tuple[Header, ...], rule: str, cost_usd: float) -> bytes:
    fixed = (
        *headers,
        (b"x-modelyard-rule", rule.encode()),
        (b"x-modelyard-attempts", b"1"),
        (b"x-modelyard-cost-usd", b"%g" % cost_usd),
        (b"content-type", b"application/json"),
    )
    return b"HTTP/1.1 200 OK\r\n" + b"".join([b"%b: %b\r\n" % header for header in fixed])
