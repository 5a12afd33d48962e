"""Set and delete the specification of a route."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

from modelyard_contracts import documents
from modelyard_contracts.policies import TEXT_TIMEOUT_MS, waits_for_others
from modelyard_contracts.routes import ModelLeaf, RouteSpec, VersionLeaf, walk
from modelyard_deployer.domain.ports import Deps, Records
from modelyard_deployer.domain.publication import Cause, publication
from modelyard_deployer.domain.routes import Route, Version
from modelyard_deployer.domain.specs import check_spec
from modelyard_deployer.domain.workloads import VersionKey
from modelyard_deployer.usecases.queries import find_version
from modelyard_runtime.errors import Conflict, Invalid, NotFound


def set_route(deps: Deps, name: str, spec: RouteSpec) -> Route:
    """Save a specification; the reconciler publishes its plan as soon as every leaf has an address.

    Raises Invalid, NotFound or Conflict, naming the node: it is unsupported, its model was never rolled out, or its
    version may not serve.
    """
    with deps.store.read() as records:
        before = records.routes.get(name)
        _check(records, name, spec, before)
    versions = _pinned_versions(deps, spec)
    spec = _timed(deps, spec, versions)
    with deps.store.write() as records:
        before = records.routes.get(name)
        _check(records, name, spec, before)
        for version in versions:
            records.versions.save(version)
        route = _with_spec(before, name, spec)
        records.routes.save(before, route)
    for model in route.models | (before.models if before else frozenset()):
        deps.notify(model)
    return route


def delete_route(deps: Deps, name: str) -> None:
    """Delete a route: routers stop serving it, its sequence is kept. Raises Conflict for a model's own route."""
    with deps.store.write() as records:
        route = find_route(records, name)
        if route.own:
            raise Conflict(
                f"{name} is the route of the model {route.model} and cannot be deleted; "
                "retire the model, or set another specification",
                field="route",
            )
        deleted = replace(route, deleted=True, plan="", problem="", sequence=route.sequence + 1)
        records.routes.save(route, deleted)
        records.routes.publish(publication(deleted, {}, Cause("the route was deleted"), deps.clock()))
    for model in route.models:
        deps.notify(model)


def find_route(records: Records, name: str) -> Route:
    """Return a route. Raises NotFound for an unknown name."""
    route = records.routes.get(name)
    if route is None or route.deleted:
        raise NotFound(f"no route {name}")
    return route


def _check(records: Records, name: str, spec: RouteSpec, before: Route | None) -> None:
    check_spec(name, spec, None if before is None or before.deleted else before)
    for place, node in walk(spec.root):
        if isinstance(node, ModelLeaf) and records.serving.get(node.model) is None:
            raise Invalid(
                f"{place}.model: no version of {node.model} has been rolled out yet; start a rollout first",
                field=f"{place}.model",
            )


def _pinned_versions(deps: Deps, spec: RouteSpec) -> list[Version]:
    """Versions that the specification pins, from the registry; each must be allowed to serve."""
    found: dict[VersionKey, Version] = {}
    for place, node in walk(spec.root):
        if isinstance(node, VersionLeaf):
            key = VersionKey(node.model, node.version)
            found[key] = found.get(key) or find_version(deps, node.model, node.version, field=f"{place}.version")
    return list(found.values())


def _timed(deps: Deps, spec: RouteSpec, pinned: Sequence[Version]) -> RouteSpec:
    """Without a time of its own, a route that carries a version which answers texts waits longer."""
    if "timeout_ms" in spec.model_fields_set:
        return spec
    with deps.store.read() as records:
        serving = (records.serving.get(node.model) for _, node in walk(spec.root) if isinstance(node, ModelLeaf))
        leading = [VersionKey(one.model, one.champion) for one in serving if one and one.champion]
        carried = [*pinned, *(found for key in leading if (found := records.versions.get(key)) is not None)]
    slow = any(waits_for_others(version.file.manifest) for version in carried)
    return spec.model_copy(update={"timeout_ms": TEXT_TIMEOUT_MS}) if slow else spec


def _with_spec(before: Route | None, name: str, spec: RouteSpec) -> Route:
    text = documents.write(spec).decode()
    leaves = [node for _, node in walk(spec.root) if isinstance(node, ModelLeaf | VersionLeaf)]
    if before is None:
        return Route(name, leaves[0].model, salt=uuid4().hex[:16], spec=text)
    if before.own:
        return replace(before, spec=text, problem="")
    return replace(before, model=leaves[0].model, spec=text, deleted=False, problem="")
