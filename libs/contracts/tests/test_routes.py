"""Route plans and specifications: what is accepted, what is refused and how the refusal reads."""

from typing import Any

import pytest
from pydantic import ValidationError

from modelyard_contracts.documents import read, write
from modelyard_contracts.references import InvalidReference, Reference, workspace_of
from modelyard_contracts.routes import MAX_DEPTH, RoutePlan, RouteSpec, unsupported, walk

LEAF = {"kind": "version", "model": "churn", "version": 1, "digest": f"sha256:{'a' * 64}", "feature_schema_id": "fs-1"}
MODEL = {"kind": "model", "model": "acme:churn"}


def split(*weights: float, node: Any = LEAF) -> dict[str, Any]:
    arms = [{"name": f"arm{place}", "weight": weight, "node": node} for place, weight in enumerate(weights)]
    return {"kind": "split", "arms": arms}


def every_node(leaf: Any) -> dict[str, Any]:
    when = {
        "all": [{"fact": "header:x-tier", "op": "eq", "value": "gold"}, {"not": {"fact": "entity", "op": "exists"}}]
    }
    return {
        "kind": "rules",
        "rules": [{"name": "gold", "when": when, "node": {"kind": "fallback", "nodes": [leaf, leaf]}}],
        "otherwise": {"kind": "shadow", "main": split(0.1, 0.9, node=leaf), "copies": [{"name": "next", "node": leaf}]},
    }


def test_a_plan_survives_writing_and_reading() -> None:
    plan = RoutePlan.model_validate({"root": every_node(LEAF)})
    assert read(RoutePlan, write(plan)) == plan
    assert write(read(RoutePlan, write(plan))) == write(plan)


def test_a_specification_names_models_and_pinned_versions() -> None:
    pinned = {"kind": "version", "model": "churn", "version": 3}
    spec = RouteSpec.model_validate({"root": {"kind": "fallback", "nodes": [MODEL, pinned]}})
    assert [place for place, _ in walk(spec.root)] == ["root", "root.nodes[0]", "root.nodes[1]"]


@pytest.mark.parametrize(
    ("document", "root", "says"),
    [
        (RoutePlan, split(0.5, 0.4), "weights add up to 0.9"),
        (RoutePlan, MODEL, "root: a plan's leaves are versions"),
        (RoutePlan, {"kind": "version", "model": "churn", "version": 1}, "root: needs digest"),
        (RouteSpec, LEAF, "root: give model and version only"),
        (RouteSpec, {"kind": "version", "model": "Churn", "version": 1}, "model"),
        (RouteSpec, {"kind": "teleport"}, "teleport"),
        (
            RouteSpec,
            {"kind": "rules", "rules": [{"name": "a", "when": {}, "node": MODEL}], "otherwise": MODEL},
            "one of",
        ),
        (
            RouteSpec,
            {
                "kind": "rules",
                "rules": [{"name": "a", "when": {"fact": "entity", "op": "lt", "value": "x"}, "node": MODEL}],
                "otherwise": MODEL,
            },
            "compares with a number",
        ),
    ],
)
def test_a_tree_that_cannot_be_meant_is_refused(document: Any, root: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        document.model_validate({"root": root})


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"members": [{"weight": 0, "node": MODEL}]}, "members: all weights are 0"),
        ({"members": [{"node": MODEL}, {"weight": 0, "node": MODEL}], "quorum": 2}, "quorum: 2 of 1 members"),
        ({"members": [{"node": MODEL}] * 17}, "at most 16 items"),
        ({"members": [{"weight": 2, "node": MODEL}]}, "less than or equal to 1"),
    ],
)
def test_an_ensemble_that_cannot_vote_is_refused(fields: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        RouteSpec.model_validate({"root": {"kind": "ensemble", **fields}})


def test_a_tree_that_is_too_deep_is_refused() -> None:
    root: Any = MODEL
    for _ in range(MAX_DEPTH):
        root = {"kind": "fallback", "nodes": [root]}
    with pytest.raises(ValidationError, match="more than 8 nodes deep"):
        RouteSpec.model_validate({"root": root})


@pytest.mark.parametrize(
    ("node", "kind"),
    [
        ({"kind": "cascade", "threshold": 0.9, "first": MODEL, "then": MODEL}, "cascade"),
        ({"kind": "prompt", "prompt": "greet", "version": 1, "node": MODEL}, "prompt"),
    ],
)
def test_nodes_of_a_later_release_are_named_with_their_place(node: Any, kind: str) -> None:
    spec = RouteSpec.model_validate({"root": split(1.0, node=node)})
    assert str(unsupported(spec.root)).startswith(f"{kind} at root.arms[0].node: not executed by this release")
    assert unsupported(RouteSpec.model_validate({"root": every_node(MODEL)}).root) is None


def test_references_name_a_workspace_unless_it_is_the_default() -> None:
    assert Reference.parse("churn") == Reference("default", "churn") == Reference.parse("default:churn")
    assert (str(Reference("acme", "churn")), Reference("acme", "churn").slug) == ("acme:churn", "acme~churn")
    assert (workspace_of("churn"), workspace_of("acme:churn")) == ("default", "acme")


@pytest.mark.parametrize("text", ["", ":", "a:", ":a", "a:b:c", "A", "a/b", "a b", "ä", "a" * 129, "-a", "a\n"])
def test_a_reference_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference, match="is not a name"):
        Reference.parse(text)
