"""Checks of a route specification that need no other service."""

from modelyard_contracts.references import workspace_of
from modelyard_contracts.routes import ModelLeaf, RouteSpec, VersionLeaf, unsupported, walk
from modelyard_deployer.domain.routes import Route
from modelyard_runtime.errors import Invalid


class NodeNotSupported(Invalid):
    """The specification has a node that this release does not support."""

    code = "node_not_supported"


def check_spec(name: str, spec: RouteSpec, before: Route | None) -> None:
    """Raise Invalid or NodeNotSupported, naming the node.

    before: the current route, if any. A model's own route must keep a leaf of the model, or rollouts have no effect.
    """
    if problem := unsupported(spec.root):
        raise NodeNotSupported(problem, field=problem.split(" at ", 1)[1].split(":", 1)[0])
    for place, node in walk(spec.root):
        if isinstance(node, ModelLeaf | VersionLeaf) and workspace_of(node.model) != workspace_of(name):
            raise Invalid(
                f"{place}.model: {node.model} is in another workspace than the route {name}; "
                "a route carries models of its own workspace",
                field=f"{place}.model",
            )
    managed = {node.model for _, node in walk(spec.root) if isinstance(node, ModelLeaf)}
    if before is not None and before.own and before.model not in managed:
        raise Invalid(
            f"root: {name} is the route of the model {before.model} and must keep a leaf "
            f'{{"kind": "model", "model": "{before.model}"}}; use another route name',
            field="root",
        )
