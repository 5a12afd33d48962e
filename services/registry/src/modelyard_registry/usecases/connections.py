"""Connections to providers: set, read and deleted, each change with a line of history and an event."""

from typing import Any
from uuid import uuid4

from modelyard_contracts.connections import Connection
from modelyard_contracts.messages import ConnectionChange, ConnectionChanged
from modelyard_registry.domain.connections import MAX_USERS, ConnectionInUse, StaleConnection, StoredConnection
from modelyard_registry.domain.errors import ConnectionNotFound
from modelyard_registry.domain.lineage import Relation
from modelyard_registry.domain.names import workspace_key
from modelyard_registry.domain.ports import Deps, Records, Unit
from modelyard_registry.domain.values import NewResource, Origin, Resource, ResourceKey
from modelyard_registry.usecases.history import note

CHANGED = "connection_{}"
"""Change in the history: `connection_created`, `connection_replaced` or `connection_deleted`."""


def set_connection(
    deps: Deps, key: ResourceKey, wanted: Connection, *, expected_revision: int, origin: Origin
) -> StoredConnection:
    """Create a connection (`expected_revision` 0) or replace it; an equal one changes nothing.

    StaleConnection when it is at another revision; WorkspaceNotFound when its workspace does not exist.
    """
    document = wanted.model_dump(mode="json")
    with deps.storage.transaction() as unit:
        unit.resources.get(workspace_key(key.workspace))
        unit.resources.add(NewResource(key, "", "", {}), origin)
        resource = unit.resources.lock(key)
        stored = unit.connections.get(resource)
        there = stored is not None and stored.document is not None
        if stored is not None and stored.document == document:
            return stored
        _check_revision(key, stored if there else None, expected_revision)
        revision = stored.revision + 1 if stored else 1
        unit.connections.save(resource, revision, document, origin)
        change = ConnectionChange.REPLACED if there else ConnectionChange.CREATED
        _publish(unit, resource, change, revision, origin, document)
        return find_connection(unit, key)


def delete_connection(deps: Deps, key: ResourceKey, *, expected_revision: int, origin: Origin) -> None:
    """Delete a connection that no version names, except retired ones; its history stays.

    ConnectionInUse names the versions; StaleConnection and ConnectionNotFound as for others.
    """
    with deps.storage.transaction() as unit:
        resource = unit.resources.lock(key)
        stored = find_connection(unit, key)
        _check_revision(key, stored, expected_revision)
        if users := users_of(unit, key):
            raise ConnectionInUse(key, users)
        unit.connections.save(resource, stored.revision + 1, None, origin)
        _publish(unit, resource, ConnectionChange.DELETED, stored.revision + 1, origin, {})


def find_connection(records: Records, key: ResourceKey) -> StoredConnection:
    """The connection; ConnectionNotFound also for a deleted one."""
    stored = records.connections.get(records.resources.get(key))
    if stored is None or stored.document is None:
        raise ConnectionNotFound(key)
    return stored


def users_of(records: Records, key: ResourceKey) -> tuple[str, ...]:
    """Versions that name it, as `model@3`; at most one more than an answer shows."""
    return tuple(records.lineage.users((Relation.CONNECTION, key.reference), MAX_USERS + 1))


def _check_revision(key: ResourceKey, stored: StoredConnection | None, expected: int) -> None:
    current = stored.revision if stored else 0
    if expected != current:
        raise StaleConnection(key, expected, current)


def _publish(
    unit: Unit,
    resource: Resource,
    change: ConnectionChange,
    revision: int,
    origin: Origin,
    document: dict[str, Any],
) -> None:
    """The history keeps every revision; the event names the connection only. The caller holds the lock."""
    key = resource.key
    event = ConnectionChanged(
        event_id=uuid4(),
        occurred_at=origin.at,
        correlation_id=origin.correlation_id,
        cause_id=origin.cause_id,
        model=key.event_key,
        workspace=key.workspace,
        connection=key.reference,
        revision=revision,
        change=change,
        actor=origin.actor,
        reason=origin.reason,
    )
    detail = {"connection_revision": revision, **document}
    note(unit, resource, CHANGED.format(change.value), origin, detail, event_id=event.event_id)
    unit.queue(event, event.key)
    unit.record_change(key)
