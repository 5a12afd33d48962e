"""Compile the plan of a published route into nodes that a request walks."""

import json
from collections.abc import Sequence
from typing import Any

from modelyard_contracts import RoutePublished
from modelyard_contracts.documents import RELEASE, DocumentError, read
from modelyard_contracts.routes import (
    Ensemble,
    Fallback,
    RoutePlan,
    Rules,
    Shadow,
    Split,
    VersionLeaf,
    unsupported,
)
from modelyard_contracts.signature import Signature, Task
from modelyard_router.domain.assignment import Assigner, upper_bounds
from modelyard_router.domain.contract import Contract
from modelyard_router.domain.errors import UnusableRoute
from modelyard_router.domain.leaves import Leaf
from modelyard_router.plan.conditions import compile_condition
from modelyard_router.plan.groups import groups_of
from modelyard_router.plan.leaf import ANYWHERE_PRIVATE, ModelServers, Place, answer_head, compile_leaf
from modelyard_router.plan.nodes import (
    CopyNode,
    EnsembleNode,
    FallbackNode,
    MemberNode,
    Node,
    RulesNode,
    ShadowNode,
    SplitNode,
)
from modelyard_router.plan.route import Route, simple_decisions


def compile_route(published: RoutePublished, servers: ModelServers = ANYWHERE_PRIVATE) -> Route:
    """Compile a table; UnusableRoute names the field and the problem."""
    if not 0 < published.timeout_ms <= 3_600_000:
        raise UnusableRoute(
            f"route {published.route}: timeout_ms must be above 0 and at most an hour", field="timeout_ms"
        )
    compiler = _Compiler(published, servers)
    root = compiler.node(_plan_of(published).root, Place(), "root")
    leaves = tuple(compiler.leaves)
    contracts = {leaf.contract for leaf in leaves}
    simple = _is_simple(root)
    loaded = [leaf for leaf in leaves if leaf.share > 0]
    return Route(
        published=published,
        name=published.route,
        model=published.model,
        workspace=published.workspace,
        root=root,
        leaves=leaves,
        contract=contracts.pop() if len(contracts) == 1 else None,
        timeout_s=published.timeout_ms / 1000,
        needs_facts=not simple,
        by_request=isinstance(root, SplitNode) and root.unit == "request",
        only=loaded[0] if simple and (len(loaded) == 1 or isinstance(root, EnsembleNode)) else None,
        vote=root if simple and isinstance(root, EnsembleNode) else None,
        _simple=simple_decisions(root, leaves) if simple else {},
    )


def _is_simple(root: Node) -> bool:
    if isinstance(root, SplitNode):
        return root.unit != "session" and all(isinstance(arm, Leaf) for arm in root.arms)
    if isinstance(root, EnsembleNode):
        return bool(root.leaves)
    return isinstance(root, Leaf)


def _plan_of(published: RoutePublished) -> RoutePlan:
    try:
        plan = read(RoutePlan, published.plan)
    except DocumentError as error:
        raise UnusableRoute(f"route {published.route}: {_newer(published.plan, str(error))}", field="plan") from error
    if problem := unsupported(plan.root):
        raise UnusableRoute(f"route {published.route}: {problem}", field="plan")
    return plan


def _newer(plan: str, problem: str) -> str:
    """The problem, with the release that can read the plan if the plan names a later one."""
    try:
        needed = str(json.loads(plan).get("min_release") or "")
    except (ValueError, AttributeError, RecursionError):
        return problem
    if "needs Modelyard" in problem or not needed or _release(needed) <= _release(RELEASE):
        return problem
    return f"{problem}; the plan needs Modelyard {needed} or newer, this is {RELEASE}"


def _release(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


class _Compiler:
    """Compiles the nodes of one table."""

    def __init__(self, published: RoutePublished, servers: ModelServers) -> None:
        self._published, self._servers = published, servers
        self._contracts: dict[str, Contract] = {}
        self.leaves: list[Leaf] = []

    def node(self, node: Any, place: Place, where: str) -> Node:
        """where: the node in the plan, such as `root.arms[0].node`, for errors."""
        if isinstance(node, VersionLeaf):
            return self._leaf(node, place, where)
        if isinstance(node, Split):
            return self._split(node, place, where)
        if isinstance(node, Rules):
            return self._rules(node, place, where)
        if isinstance(node, Fallback):
            return self._fallback(node, place, where)
        if isinstance(node, Shadow):
            return self._shadow(node, place, where)
        if isinstance(node, Ensemble):
            return self._ensemble(node, place, where)
        raise UnusableRoute(f"{where}: {type(node).__name__} is not executed by this release", field="plan")

    def _leaf(self, node: VersionLeaf, place: Place, where: str) -> Leaf:
        leaf = compile_leaf(self._published, node, place, self._contract(node, where), self._servers, where)
        self.leaves.append(leaf)
        return leaf

    def _split(self, node: Split, place: Place, where: str) -> SplitNode:
        arms = [
            self.node(arm.node, place.into_arm(arm.name, arm.weight, draw=node.draw), f"{where}.arms[{i}].node")
            for i, arm in enumerate(node.arms)
        ]
        weights = tuple(arm.weight for arm in node.arms)
        return SplitNode(
            unit=node.unit,
            names=tuple(arm.name for arm in node.arms),
            bounds=upper_bounds(weights),
            weights=weights,
            assigner=Assigner(self._published.salt, place.salted(self._published.route)),
            arms=tuple(arms),
        )

    def _rules(self, node: Rules, place: Place, where: str) -> RulesNode:
        rules = [
            (
                rule.name,
                compile_condition(rule.when),
                self.node(rule.node, place.into_rule(rule.name), f"{where}.rules[{i}].node"),
            )
            for i, rule in enumerate(node.rules)
        ]
        otherwise = self.node(node.otherwise, place.into_rule("otherwise"), f"{where}.otherwise")
        return RulesNode(tuple(rules), otherwise)

    def _fallback(self, node: Fallback, place: Place, where: str) -> FallbackNode:
        nodes = [
            self.node(inner, place.into(f"fallback:{i}"), f"{where}.nodes[{i}]") for i, inner in enumerate(node.nodes)
        ]
        return FallbackNode(place.path, frozenset(node.on), node.retry_budget, node.max_attempts, tuple(nodes))

    def _shadow(self, node: Shadow, place: Place, where: str) -> ShadowNode:
        main = self.node(node.main, place.into("shadow:main"), f"{where}.main")
        copies = [
            CopyNode(
                name=copy.name,
                share=copy.percent / 100,
                assigner=Assigner(self._published.salt, f"{self._published.route}/shadow:{copy.name}"),
                node=self.node(copy.node, place.into_copy(copy.name), f"{where}.copies[{i}].node"),
            )
            for i, copy in enumerate(node.copies)
        ]
        return ShadowNode(main, tuple(copies))

    def _ensemble(self, node: Ensemble, place: Place, where: str) -> EnsembleNode:
        first_leaf = len(self.leaves)
        total = sum(member.weight for member in node.members)
        members = tuple(
            MemberNode(member.weight, self.node(member.node, place.into_member(i, member.weight / total), inner))
            for i, member in enumerate(node.members)
            if member.weight > 0
            for inner in [f"{where}.members[{i}].node"]
        )
        check_members(node, self.leaves[first_leaf:], where)
        deadline_s = None if node.deadline_ms is None else node.deadline_ms / 1000
        groups, head = groups_of(members), _answer_head(members)
        return EnsembleNode(place.path, node.combiner, node.quorum, deadline_s, members, groups, head)

    def _contract(self, node: VersionLeaf, where: str) -> Contract:
        schema_id = node.feature_schema_id or ""
        if schema_id not in self._contracts:
            self._contracts[schema_id] = Contract(schema_id, _signature(self._published, schema_id, where))
        return self._contracts[schema_id]


def _answer_head(members: Sequence[MemberNode]) -> bytes:
    leaves = [member.node for member in members if isinstance(member.node, Leaf)]
    if len(leaves) < len(members):
        return b""
    return answer_head(leaves[0].headers, leaves[0].rule, sum(leaf.cost_usd for leaf in leaves), len(leaves))


def check_members(node: Ensemble, members: Sequence[Leaf], where: str) -> None:
    """UnusableRoute unless the combiner fits the outputs of all members, these agree, and enough have replicas."""
    reachable = sum(bool(leaf.addresses) for leaf in members)
    if reachable < node.quorum:
        raise UnusableRoute(
            f"{where}: {reachable} members have urls, the quorum is {node.quorum}; deploy the others or lower it",
            field="urls",
        )
    combiner = node.combiner
    outputs = {(leaf.contract.signature.task, leaf.contract.classes): leaf for leaf in members}
    (task, _), *others = outputs
    fitting = {"mean"} if task is Task.REGRESSION else {"soft", "hard"} if task.classifies else set()
    if combiner not in fitting:
        remedy = f"use {' or '.join(sorted(fitting))}" if fitting else "members need classes or values"
        raise UnusableRoute(f"{where}.combiner: {combiner} cannot combine {task} outputs; {remedy}", field="plan")
    if others:
        one, other = list(outputs.values())[:2]
        raise UnusableRoute(
            f"{where}.members: version {other.version} of {other.model} has other classes or another task than "
            f"version {one.version} of {one.model}; members of an ensemble need the same output",
            field="plan",
        )


def _signature(published: RoutePublished, schema_id: str, where: str) -> Signature:
    where = f"route {published.route}, {where}"
    document = published.signatures.get(schema_id)
    if document is None:
        raise UnusableRoute(f"{where}: signature {schema_id} is not in the table", field="signatures")
    try:
        return read(Signature, document)
    except DocumentError as error:
        raise UnusableRoute(f"{where}: signature {schema_id}: {error}", field="signatures") from error
