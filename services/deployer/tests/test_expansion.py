"""Specifications and the plans made from them."""

from typing import Any

import pytest

from modelyard_contracts.manifest import Price
from modelyard_contracts.routes import RoutePlan, RouteSpec, Split, VersionLeaf
from modelyard_deployer.domain.expansion import NotReady, expand
from modelyard_deployer.domain.routes import Route, own_spec
from modelyard_deployer.domain.specs import NodeNotSupported, check_spec
from modelyard_deployer.domain.votes import Ballot
from modelyard_runtime.errors import Invalid

DIGEST = "sha256:" + "0" * 64
CHURN: dict[str, Any] = {"kind": "model", "model": "churn"}
PINNED: dict[str, Any] = {"kind": "version", "model": "scorer", "version": 3}


BALLOTS: dict[str, Ballot] = {}


class Leaves:
    """Two models: `churn` has a canary at 5 %, of `scorer` version 4 serves; `new` has no version yet."""

    def shares(self, model: str) -> dict[int, float]:
        return {"churn": {2: 0.05, 1: 0.95}, "scorer": {4: 1.0}}.get(model, {})

    def ballot(self, model: str) -> Ballot | None:
        return BALLOTS.get(model)

    def variant(self, model: str, version: int) -> str:
        return "canary" if (model, version) == ("churn", 2) else "stable"

    def leaf(self, model: str, version: int) -> VersionLeaf:
        price = Price(usd_per_call=0.001 * version)
        return VersionLeaf(
            model=model,
            version=version,
            digest=DIGEST,
            urls=(f"http://{model}-{version}",),
            feature_schema_id="fs-1",
            price=price,
        )


def plan(root: dict[str, Any]) -> RoutePlan:
    return expand(RouteSpec.model_validate({"root": root}), Leaves())


def test_a_model_leaf_becomes_its_canary_split_with_the_challenger_first() -> None:
    root = plan(CHURN).root
    assert isinstance(root, Split)
    assert [(arm.name, arm.weight) for arm in root.arms] == [("canary", 0.05), ("stable", 0.95)]
    leaves = [arm.node for arm in root.arms]
    assert [leaf.version for leaf in leaves if isinstance(leaf, VersionLeaf) and leaf.managed] == [2, 1]


def test_a_model_with_one_version_is_a_single_leaf_with_its_price() -> None:
    root = plan({"kind": "model", "model": "scorer"}).root
    assert isinstance(root, VersionLeaf)
    assert (root.version, root.variant, root.managed, root.urls) == (4, "stable", True, ("http://scorer-4",))
    assert root.price.usd_per_call == pytest.approx(0.004)


def test_nodes_around_the_leaves_are_kept() -> None:
    root = {
        "kind": "rules",
        "rules": [
            {
                "name": "eu",
                "when": {"fact": "header:x-region", "op": "eq", "value": "eu"},
                "node": {"kind": "fallback", "on": ["timeout"], "nodes": [CHURN, PINNED]},
            }
        ],
        "otherwise": {
            "kind": "shadow",
            "main": {
                "kind": "split",
                "unit": "session",
                "arms": [{"name": "b", "weight": 0.3, "node": PINNED}, {"name": "a", "weight": 0.7, "node": CHURN}],
            },
            "copies": [{"name": "next", "percent": 10, "node": PINNED}],
        },
    }
    made: Any = plan(root).root
    assert made.rules[0].node.on == ("timeout",)
    assert [node.kind for node in made.rules[0].node.nodes] == ["split", "version"]
    arms = made.otherwise.main.arms
    assert [(arm.name, arm.weight, arm.node.kind) for arm in arms] == [("b", 0.3, "version"), ("a", 0.7, "split")]
    assert (arms[0].node.variant, arms[0].node.managed) == ("b", False)
    assert (made.otherwise.copies[0].node.variant, made.otherwise.copies[0].percent) == ("next", 10)


def test_members_of_an_ensemble_are_expanded_and_keep_their_weights() -> None:
    members = [{"weight": 0.8, "node": CHURN}, {"weight": 0.2, "node": PINNED}]
    made: Any = plan({"kind": "ensemble", "combiner": "hard", "quorum": 2, "deadline_ms": 50, "members": members}).root
    assert (made.combiner, made.quorum, made.deadline_ms) == ("hard", 2, 50)
    assert [(member.weight, member.node.kind) for member in made.members] == [(0.8, "split"), (0.2, "version")]
    assert made.members[1].node.digest


def test_a_leaf_that_is_not_ready_is_named() -> None:
    with pytest.raises(NotReady, match="no version of new may serve"):
        plan({"kind": "fallback", "nodes": [CHURN, {"kind": "model", "model": "new"}]})


@pytest.mark.parametrize(
    "root",
    [
        {"kind": "cascade", "threshold": 0.9, "first": CHURN, "then": PINNED},
        {"kind": "prompt", "prompt": "greeting", "version": 1, "node": CHURN},
    ],
    ids=lambda root: root["kind"],
)
def test_nodes_that_this_release_does_not_execute_are_refused_with_their_place(root: dict[str, Any]) -> None:
    arms = [{"name": "a", "weight": 1.0, "node": root}]
    spec = RouteSpec.model_validate({"root": {"kind": "split", "arms": arms}})
    with pytest.raises(NodeNotSupported, match=f"{root['kind']} at root.arms\\[0\\].node") as refused:
        check_spec("r", spec, None)
    assert (refused.value.code, refused.value.field) == ("node_not_supported", "root.arms[0].node")


def test_a_route_carries_models_of_its_own_workspace_only() -> None:
    spec = RouteSpec.model_validate({"root": {"kind": "fallback", "nodes": [CHURN]}})
    check_spec("r", spec, None)
    with pytest.raises(Invalid, match="another workspace") as refused:
        check_spec("acme:r", spec, None)
    assert refused.value.field == "root.nodes[0].model"


def test_the_route_of_a_model_keeps_carrying_the_model() -> None:
    own = Route("churn", "churn", salt="s", spec=own_spec("churn", 2_000), own=True)
    check_spec("churn", RouteSpec.model_validate({"root": {"kind": "fallback", "nodes": [PINNED, CHURN]}}), own)
    with pytest.raises(Invalid, match="must keep a leaf"):
        check_spec("churn", RouteSpec.model_validate({"root": PINNED}), own)
