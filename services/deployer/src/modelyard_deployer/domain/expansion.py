"""Expand a route specification into the plan that routers execute. Pure."""

from typing import Protocol

from modelyard_contracts.messages.base import Part
from modelyard_contracts.routes import (
    Arm,
    Ensemble,
    Fallback,
    Member,
    ModelLeaf,
    RoutePlan,
    RouteSpec,
    Rules,
    Shadow,
    Split,
    VersionLeaf,
)
from modelyard_deployer.domain.traffic import STABLE
from modelyard_deployer.domain.votes import Ballot


class NotReady(Exception):
    """A leaf cannot be published yet: no version of its model may serve, or its version never had a ready replica."""

    retryable = True


class Leaves(Protocol):
    """The versions that may serve, with their addresses."""

    def shares(self, model: str) -> dict[int, float]:
        """Map version to traffic share, the challenger first; empty when no version may serve."""

    def ballot(self, model: str) -> Ballot | None:
        """Members and weights where several versions answer together; None where the stable version answers alone."""

    def variant(self, model: str, version: int) -> str:
        """`stable` or `canary`."""

    def leaf(self, model: str, version: int) -> VersionLeaf:
        """Digest, addresses, signature id and price of a version. Raises NotReady before its first ready replica."""


def expand(spec: RouteSpec, leaves: Leaves) -> RoutePlan:
    """Return the plan of a specification: each model leaf becomes its stable version, its vote, or a canary split.

    Raises NotReady, naming the leaf that cannot be published yet.
    """
    return RoutePlan(root=_node(spec.root, leaves, STABLE))


def _node(node: Part, leaves: Leaves, name: str) -> Part:
    """Expand a node. name: the enclosing arm, used as the variant of a pinned version."""
    match node:
        case ModelLeaf():
            return _managed(node.model, leaves)
        case VersionLeaf():
            found = leaves.leaf(node.model, node.version)
            return found.model_copy(update={"variant": name, "timeout_ms": node.timeout_ms, "managed": False})
        case Split():
            return node.model_copy(update={"arms": tuple(_child(arm, leaves, arm.name) for arm in node.arms)})
        case Rules():
            rules = tuple(_child(rule, leaves, name) for rule in node.rules)
            return node.model_copy(update={"rules": rules, "otherwise": _node(node.otherwise, leaves, name)})
        case Fallback():
            return node.model_copy(update={"nodes": tuple(_node(inner, leaves, name) for inner in node.nodes)})
        case Shadow():
            copies = tuple(_child(copy, leaves, copy.name) for copy in node.copies)
            return node.model_copy(update={"main": _node(node.main, leaves, name), "copies": copies})
        case Ensemble():
            members = tuple(_child(member, leaves, name) for member in node.members)
            return node.model_copy(update={"members": members})
        case _:
            raise TypeError(f"{type(node).__name__}: unsupported node, should have failed check_spec")


def _child(holder: Part, leaves: Leaves, name: str) -> Part:
    """An arm, rule, copy or member with its node expanded."""
    return holder.model_copy(update={"node": _node(getattr(holder, "node"), leaves, name)})  # noqa: B009  Part declares no `node`


def _managed(model: str, leaves: Leaves) -> Part:
    traffic = leaves.shares(model)
    if not traffic:
        raise NotReady(f"no version of {model} may serve")
    *challengers, stable = traffic
    ballot = leaves.ballot(model)
    answers = _managed_leaf(model, stable, leaves) if ballot is None else _vote(model, ballot, leaves)
    nodes = {**{version: _managed_leaf(model, version, leaves) for version in challengers}, stable: answers}
    if not challengers:
        return answers
    arms = tuple(Arm(name=leaves.variant(model, v), weight=share, node=nodes[v]) for v, share in traffic.items())
    return Split(arms=arms)


def _vote(model: str, ballot: Ballot, leaves: Leaves) -> Part:
    """The members answer together, or one of them is drawn for each request; the lead is the first."""
    nodes = {version: _managed_leaf(model, version, leaves) for version in ballot.weights}
    if len(nodes) == 1:
        return next(iter(nodes.values()))
    if ballot.answer == "draw":
        arms = [Arm(name=f"v{version}", weight=ballot.weights[version], node=node) for version, node in nodes.items()]
        return Split(unit="request", draw=True, arms=tuple(arms))
    members = [Member(weight=ballot.weights[version], node=node) for version, node in nodes.items()]
    return Ensemble(combiner=ballot.combiner, deadline_ms=ballot.deadline_ms, members=tuple(members))


def _managed_leaf(model: str, version: int, leaves: Leaves) -> VersionLeaf:
    found = leaves.leaf(model, version)
    return found.model_copy(update={"variant": leaves.variant(model, version), "managed": True})
