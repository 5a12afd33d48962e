"""Choose versions for a request: pure, no I/O, no clock, no randomness."""

from typing import Any, Final, NamedTuple

from modelyard_router.domain.leaves import Leaf
from modelyard_router.plan.facts import Facts
from modelyard_router.plan.nodes import EnsembleNode, FallbackNode, Node, RulesNode, ShadowNode, SplitNode

UNAVAILABLE: Final = frozenset({"unavailable"})


class Candidate(NamedTuple):
    """A version, or an ensemble of versions, that may answer."""

    leaf: Leaf
    """The version; the first member of an ensemble, which leads it."""
    after: frozenset[str] = frozenset()
    """Failures of the attempt before, after which this one is tried; empty for the first candidate."""
    fallback: FallbackNode | None = None
    """Fallback node whose retry budget an attempt uses; None where another arm of a split steps in."""
    ensemble: "Ensemble | None" = None


class Member(NamedTuple):
    """A voter of an ensemble, with the versions that may answer for it."""

    weight: float
    candidates: tuple[Candidate, ...]


class Ensemble(NamedTuple):
    """The members to ask for one request."""

    node: EnsembleNode
    members: tuple[Member, ...]


class Copy(NamedTuple):
    """A copy of the request that is only logged."""

    name: str
    candidate: Candidate


class Decision(NamedTuple):
    """The versions to try, in order, and the copies to send."""

    candidates: tuple[Candidate, ...]
    copies: tuple[Copy, ...] = ()


Trace = list[dict[str, Any]]
"""One entry for each node that was walked, for `explain`."""


def decide(root: Node, facts: Facts, trace: Trace | None = None) -> Decision:
    """Walk a plan. The same facts always give the same decision."""
    walk = _Walk(facts, trace)
    candidates = walk.candidates(root)
    return Decision(tuple(candidates), tuple(walk.copies))


def decide_vote(node: EnsembleNode) -> Decision:
    """The decision of an ensemble whose members are versions: the same for all requests."""
    members = tuple(
        Member(member.weight, (Candidate(leaf),)) for member, leaf in zip(node.members, node.leaves, strict=True)
    )
    return Decision((Candidate(node.leaves[0], ensemble=Ensemble(node, members)),))


class _Walk:
    def __init__(self, facts: Facts, trace: Trace | None) -> None:
        self.facts, self.trace = facts, trace
        self.copies: list[Copy] = []

    def candidates(self, node: Node) -> list[Candidate]:
        """Never empty; the first one has no `after`."""
        if isinstance(node, Leaf):
            self._note("version", model=node.model, version=node.version, path=node.path)
            return [Candidate(node)]
        if isinstance(node, SplitNode):
            return self._split(node)
        if isinstance(node, RulesNode):
            return self._rules(node)
        if isinstance(node, FallbackNode):
            return self._fallback(node)
        if isinstance(node, EnsembleNode):
            return [self._ensemble(node)]
        return self._shadow(node)

    def _split(self, node: SplitNode) -> list[Candidate]:
        unit = self.facts.unit(node.unit)
        place, bucket = node.place(unit)
        self._note("split", unit=node.unit, bucket=round(bucket, 6), arm=node.names[place])
        chosen = self.candidates(node.arms[place])
        return chosen + substitutes(node, place, chosen[0].leaf)

    def _rules(self, node: RulesNode) -> list[Candidate]:
        for name, holds, inner in node.rules:
            matched = holds(self.facts)
            self._note("rule", name=name, matched=matched)
            if matched:
                return self.candidates(inner)
        self._note("rule", name="otherwise", matched=True)
        return self.candidates(node.otherwise)

    def _fallback(self, node: FallbackNode) -> list[Candidate]:
        found = self.candidates(node.nodes[0])
        for inner in node.nodes[1:]:
            first, *others = self._quietly(inner)
            found += [first._replace(after=node.on, fallback=node), *others]
        return found

    def _shadow(self, node: ShadowNode) -> list[Candidate]:
        found = self.candidates(node.main)
        for copy in node.copies:
            bucket = copy.assigner.bucket(self.facts.request_id)
            self._note("copy", name=copy.name, bucket=round(bucket, 6), sent=bucket < copy.share)
            if bucket < copy.share:
                self.copies.append(Copy(copy.name, self._quietly(copy.node)[0]))
        return found

    def _ensemble(self, node: EnsembleNode) -> Candidate:
        members = tuple(Member(member.weight, tuple(self._quietly(member.node))) for member in node.members)
        self._note(
            "ensemble",
            combiner=node.combiner,
            members=[
                {"weight": weight, "model": leaf.model, "version": leaf.version, "path": leaf.path}
                for weight, (leaf, *_) in ((member.weight, member.candidates[0]) for member in members)
            ],
        )
        return Candidate(members[0].candidates[0].leaf, ensemble=Ensemble(node, members))

    def _quietly(self, node: Node) -> list[Candidate]:
        """Candidates of a node that does not answer first: without a trace, and without copies of its own."""
        return _Walk(self.facts, None).candidates(node)

    def _note(self, node: str, **fields: Any) -> None:
        if self.trace is not None:
            self.trace.append({"node": node, **fields})


def substitutes(node: SplitNode, place: int, chosen: Leaf) -> list[Candidate]:
    """Other arms of a split that step in when no replica of the chosen arm can be reached: the heaviest first.

    Only leaves with replicas and the same contract: a split compares versions, it does not choose among inputs.
    """
    others = sorted((other for other in range(len(node.arms)) if other != place), key=lambda i: -node.weights[i])
    arms = [node.arms[other] for other in others]
    return [
        Candidate(arm, UNAVAILABLE)
        for arm in arms
        if isinstance(arm, Leaf) and arm.addresses and arm.contract is chosen.contract
    ]
