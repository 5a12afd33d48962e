"""Compiled nodes of a plan. Immutable; `plan/planner.py` walks them."""

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from modelyard_router.domain.assignment import Assigner
from modelyard_router.domain.leaves import Group, Leaf
from modelyard_router.plan.conditions import Check


@dataclass(frozen=True, eq=False)
class SplitNode:
    """Sticky choice by weight."""

    unit: str
    names: tuple[str, ...]
    bounds: tuple[float, ...]
    """Upper bounds of the arms' buckets."""
    weights: tuple[float, ...]
    assigner: Assigner
    arms: "tuple[Node, ...]"

    def place(self, unit: str) -> tuple[int, float]:
        """The arm of a unit, and its bucket in [0, 1)."""
        bucket = self.assigner.bucket(unit)
        return bisect_right(self.bounds, bucket), bucket


@dataclass(frozen=True, eq=False)
class RulesNode:
    """The first rule whose condition holds."""

    rules: "tuple[tuple[str, Check, Node], ...]"
    otherwise: "Node"


@dataclass(frozen=True, eq=False)
class FallbackNode:
    """Nodes in order, while the failure is one of `on`."""

    path: str
    """With the route, the name of its retry budget."""
    on: frozenset[str]
    retry_budget: float
    max_attempts: int
    nodes: "tuple[Node, ...]"


@dataclass(frozen=True, eq=False)
class CopyNode:
    """A share of the requests that is sent a second time."""

    name: str
    share: float
    assigner: Assigner
    node: "Node"


@dataclass(frozen=True, eq=False)
class ShadowNode:
    """`main` answers, the copies are only logged."""

    main: "Node"
    copies: tuple[CopyNode, ...]


@dataclass(frozen=True, eq=False)
class MemberNode:
    """A voter of an ensemble."""

    weight: float
    node: "Node"


@dataclass(frozen=True, eq=False)
class EnsembleNode:
    """All members answer, a combiner makes one answer of theirs."""

    path: str
    combiner: str
    quorum: int
    deadline_s: float | None
    """For all members together; None: the time that the route has left."""
    members: tuple[MemberNode, ...]
    groups: tuple[Group, ...] = ()
    """Members that one call asks; each of the others is asked by a call of its own."""
    answer_head: bytes = b""
    """Status line and constant headers of an answer by all members at the first attempt; empty unless all are versions.
    """

    @cached_property
    def leaves(self) -> tuple[Leaf, ...]:
        """The members, if all of them are versions; else empty."""
        found = tuple(member.node for member in self.members if isinstance(member.node, Leaf))
        return found if len(found) == len(self.members) else ()

    @cached_property
    def group(self) -> Group | None:
        """All members, if one call asks them."""
        return self.groups[0] if self.groups and len(self.groups[0].members) == len(self.members) else None


Node = Leaf | SplitNode | RulesNode | FallbackNode | ShadowNode | EnsembleNode
