"""Models, datasets, prompts and the workspaces they live in."""

from collections.abc import Mapping

from modelyard_contracts import ResourceChange
from modelyard_contracts.references import DEFAULT_WORKSPACE
from modelyard_registry.domain.errors import ResourceExists, StaleOwner
from modelyard_registry.domain.names import workspace_key
from modelyard_registry.domain.ports import Deps
from modelyard_registry.domain.values import NewResource, Origin, Resource, ResourceKey
from modelyard_registry.usecases.history import note, publish
from modelyard_runtime.errors import Invalid

DESCRIBED = "described"
"""Change in the history: another description or other labels."""
OWNER_CHANGED = "owner_changed"
"""Change in the history: another owner."""
COMPARED = ("description", "owner", "labels")


def create_resource(deps: Deps, wanted: NewResource, origin: Origin) -> tuple[Resource, bool]:
    """Return the resource and whether it is new.

    ResourceExists when the name is taken by other content, WorkspaceNotFound when its workspace does not exist.
    """
    with deps.storage.transaction() as unit:
        unit.resources.get(workspace_key(wanted.key.workspace))
        if not unit.resources.add(wanted, origin):
            return _same(unit.resources.get(wanted.key), wanted), False
        resource = unit.resources.lock(wanted.key)
        publish(unit, resource, ResourceChange.CREATED, origin)
        return unit.resources.get(wanted.key), True


def describe_resource(
    deps: Deps, key: ResourceKey, *, description: str | None, labels: Mapping[str, str | None], origin: Origin
) -> Resource:
    """Change the description and labels, and note it in the history. None leaves the description and drops a label."""
    with deps.storage.transaction() as unit:
        resource = unit.resources.lock(key)
        text = resource.description if description is None else description
        kept = {name: value for name, value in {**resource.labels, **labels}.items() if value is not None}
        if (text, kept) != (resource.description, dict(resource.labels)):
            unit.resources.describe(resource, text, kept)
            note(unit, resource, DESCRIBED, origin, {"description": text, "labels": kept})
        return unit.resources.get(key)


def change_owner(deps: Deps, key: ResourceKey, owner: str, *, expected_owner: str, origin: Origin) -> Resource:
    """Name another owner, and note it in the history; the owner that it has changes nothing.

    StaleOwner when the owner is neither `expected_owner` nor the wanted one already.
    """
    if not owner.strip():
        raise Invalid("owner: is empty; name the person or team that answers for it", field="owner")
    with deps.storage.transaction() as unit:
        resource = unit.resources.lock(key)
        if resource.owner == owner:
            return resource
        if resource.owner != expected_owner:
            raise StaleOwner(key, resource.owner)
        unit.resources.set_owner(resource, owner)
        note(unit, resource, OWNER_CHANGED, origin, {"owner": owner, "previous_owner": resource.owner})
        unit.record_change(key)
        return unit.resources.get(key)


def create_workspace(deps: Deps, name: str, description: str, owner: str, origin: Origin) -> tuple[Resource, bool]:
    """Return the workspace and whether it is new; ResourceExists when the name is taken by other content."""
    wanted = NewResource(workspace_key(name), description, owner, {})
    with deps.storage.transaction() as unit:
        if not unit.resources.add(wanted, origin):
            return _same(unit.resources.get(wanted.key), wanted), False
        publish(unit, unit.resources.lock(wanted.key), ResourceChange.CREATED, origin)
        return unit.resources.get(wanted.key), True


def seed_workspace(deps: Deps, origin: Origin) -> None:
    """Create the default workspace; repeats change nothing."""
    wanted = NewResource(workspace_key(DEFAULT_WORKSPACE), "", "", {})
    with deps.storage.transaction() as unit:
        unit.resources.add(wanted, origin)


def _same(found: Resource, wanted: NewResource) -> Resource:
    fields = [field for field in COMPARED if getattr(found, field) != getattr(wanted, field)]
    if fields:
        raise ResourceExists(found.key, fields)
    return found
