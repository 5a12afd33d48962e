"""One version of a route, with everything about it that is the same for every request."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from modelyard_contracts.manifest import Price
from modelyard_contracts.signature import Task
from modelyard_router.domain.contract import Contract
from modelyard_router.domain.records import PredictionRecords

Header = tuple[bytes, bytes]
STABLE: Final = "stable"


class Address(NamedTuple):
    """Where a replica listens."""

    host: str
    port: int
    tls: bool = False


class GroupHead(NamedTuple):
    """The head of an infer request before and after the versions that it names."""

    before: bytes
    after: bytes


@dataclass(frozen=True, eq=False)
class Leaf:
    """A leaf of a route's plan."""

    route: str
    path: str
    """Steps of the plan that lead here, such as `rules:eu/split:canary`; empty for a plan of one leaf."""
    rule: str
    """Why a request was sent here if nothing failed: `all`, `weight:0.05` or the name of a rule."""
    variant: str
    model: str
    version: int
    digest: str
    share: float
    """Product of the weights on the path."""
    timeout_s: float | None
    """For one attempt; None: the time that the route has left."""
    price: Price
    cost_usd: float
    """Price of one call."""
    addresses: tuple[Address, ...]
    """One per replica."""
    infer_head: tuple[bytes, ...]
    """For each replica, the head of an infer request up to the value of content-length."""
    group_head: "tuple[GroupHead, ...]"
    """For each replica, the parts of the same head with other versions besides."""
    generate_head: tuple[bytes, ...]
    """The same for generate_stream."""
    contract: Contract
    records: PredictionRecords
    headers: tuple[Header, ...]
    """Headers that are the same for every answer."""
    answer_head: bytes
    """Status line and constant headers of first-attempt answers, precomputed."""

    @property
    def generates(self) -> bool:
        return self.contract.signature.output.task is Task.TEXT

    @property
    def embeds(self) -> bool:
        return self.contract.signature.output.task is Task.EMBEDDING


@dataclass(frozen=True, eq=False)
class Group:
    """Members of an ensemble that the same model servers answer for: one call asks all of them."""

    members: tuple[int, ...]
    """Indexes among the members of the ensemble."""
    leaves: tuple[Leaf, ...]
    """With equal addresses and contracts."""
    heads: tuple[bytes, ...]
    """For each replica, the head of the call up to the value of content-length."""
