"""A published route, compiled once: what a request needs is a dictionary away."""

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
from modelyard_router.domain.records import PredictionRecords
from modelyard_router.errors import UnusableRoute

STABLE: Final = "stable"
WEIGHT_TOLERANCE: Final = 1e-6
Header = tuple[bytes, bytes]


@dataclass(frozen=True, eq=False)
class Target:
    """One version behind a route."""

    variant: str
    version: int
    digest: str
    weight: float
    addresses: tuple[tuple[str, int], ...]
    """Host and port of each replica."""
    infer_head: tuple[bytes, ...]
    """Per replica, the head of an infer request up to the value of content-length."""
    contract: Contract
    records: PredictionRecords
    headers: tuple[Header, ...]
    cost_usd: float
    rule: str
    """Why a request came here, when nothing failed."""
    answer_head: bytes
    """Of an answer at the first attempt: the status line and every header that is the same for all of them."""


@dataclass(frozen=True, eq=False)
class Route:
    published: RoutePublished
    name: str
    model: str
    targets: tuple[Target, ...]
    """The challengers first, so that their weights are monotone; the stable one last."""
    bounds: tuple[float, ...]
    assigner: Assigner
    only: Target | None
    """The target that has all the weight: no hash is needed."""
    contract: Contract | None
    """Of all targets, when they agree on one."""
    timeout_s: float
    others: Mapping[str, tuple[Target, ...]] = field(default_factory=dict)
    """Per variant, the targets to fall back on: same contract, the heaviest first."""

    def choose(self, unit: str) -> Target:
        """The unit's target: sticky, and monotone in the challengers' weights."""
        return self.only or self.targets[bisect_right(self.bounds, self.assigner.bucket(unit))]


def compile_route(published: RoutePublished, serving_token: str = "") -> Route:
    """UnusableRoute says what is wrong with the table."""
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


def _address(url: str, where: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.query or parts.username:
        raise UnusableRoute(f"{where}: {url!r} is not an address such as http://host:port", field="targets.urls")
    return parts.hostname, port


def _infer_head(model: str, address: tuple[str, int], token: str) -> bytes:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return (
        f"POST /v2/models/{model}/infer HTTP/1.1\r\nhost: {host}:{address[1]}\r\n"
        f"authorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: "
    ).encode()


def _headers(published: RoutePublished, target: RouteTarget) -> tuple[Header, ...]:
    """The part of an answer's headers that is fixed for a target. ValueErrors of odd names become UnusableRoute."""
    values: dict[str, str] = {
        "model": published.model,
        "version": str(target.version),
        "digest": target.digest,
        "route": published.route,
        "variant": target.variant,
    }
    for name, value in values.items():
        if not value.isascii() or not value.isprintable():
            raise UnusableRoute(f"route {published.route}: {name} {value!r} cannot stand in a header", field=name)
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
