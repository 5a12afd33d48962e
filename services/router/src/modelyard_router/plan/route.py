"""A compiled route."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from modelyard_contracts import RoutePublished
from modelyard_router.domain.contract import Contract
from modelyard_router.domain.leaves import Leaf
from modelyard_router.plan.facts import Facts
from modelyard_router.plan.nodes import EnsembleNode, Node, SplitNode
from modelyard_router.plan.planner import Candidate, Decision, Trace, decide, decide_vote, substitutes


@dataclass(frozen=True, eq=False)
class Route:
    """A route table, compiled once."""

    published: RoutePublished
    name: str
    model: str
    workspace: str
    root: Node
    leaves: tuple[Leaf, ...]
    contract: Contract | None
    """The contract of all leaves, or None when they differ."""
    timeout_s: float
    needs_facts: bool
    """Whether choosing takes more than the entity or the request id; else the fast path may choose."""
    by_request: bool
    """Whether the unit of `choose` is the request id; else it is the entity key, if there is one."""
    only: Leaf | None
    """The leaf with all the weight, or the lead of the vote: no hash is needed."""
    vote: EnsembleNode | None = None
    """The root, if it is an ensemble of versions."""
    _simple: Mapping[Leaf, Decision] = field(default_factory=dict)

    def choose(self, unit: str) -> Leaf:
        """The leaf of a unit, for routes without `needs_facts`: sticky, and monotone in the challengers' weights."""
        if self.only is not None:
            return self.only
        split: SplitNode = self.root  # type: ignore[assignment]  # by definition of needs_facts
        return split.arms[split.place(unit)[0]]  # type: ignore[return-value]

    def decision_for(self, leaf: Leaf) -> Decision:
        """The decision after `choose`."""
        return self._simple[leaf]

    def decide(self, facts: Facts, trace: Trace | None = None) -> Decision:
        """Choose versions for a request with these facts."""
        return decide(self.root, facts, trace)

    def decision_of(self, leaf: Leaf) -> Decision:
        """The decision when a caller names the version: no other one steps in."""
        return Decision((Candidate(leaf),))

    def of_version(self, version: int) -> Leaf | None:
        """The first leaf of the route's own model with this version number."""
        found = (leaf for leaf in self.leaves if leaf.version == version and leaf.model == self.model)
        return next(found, None)


def simple_decisions(root: Node, leaves: Iterable[Leaf]) -> dict[Leaf, Decision]:
    """For a leaf, a split of leaves or a vote of leaves: the decision for each leaf that may be chosen."""
    if isinstance(root, EnsembleNode):
        return {root.leaves[0]: decide_vote(root)}
    if not isinstance(root, SplitNode):
        return {leaf: Decision((Candidate(leaf),)) for leaf in leaves}
    decisions = {}
    for place, arm in enumerate(root.arms):
        if isinstance(arm, Leaf):
            decisions[arm] = Decision((Candidate(arm), *substitutes(root, place, arm)))
    return decisions
