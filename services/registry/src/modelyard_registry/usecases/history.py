"""The history of a resource: each change is one line in it and, when it is the registry's own, one event."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

from modelyard_contracts import ControlMessage, ResourceChange, ResourceChanged
from modelyard_registry.domain.names import WORKSPACE
from modelyard_registry.domain.ports import Deps, Unit
from modelyard_registry.domain.stages import Signal, next_stage
from modelyard_registry.domain.values import Entry, Origin, Resource, Version
from modelyard_runtime.tracing import current_correlation_id


def origin_of(deps: Deps, actor: str, reason: str = "") -> Origin:
    """The origin of a change that a caller makes, under the correlation id of the request if it has one."""
    return Origin(actor, reason, deps.clock(), current_correlation_id() or uuid4())


def publish(unit: Unit, resource: Resource, change: ResourceChange, origin: Origin, **fields: Any) -> ResourceChanged:
    """Record a change of the registry and queue its event. The caller holds the lock of the resource."""
    position, revision = unit.history.next_entry(resource, published=True)
    aliases = {alias.alias: alias.version for alias in unit.aliases.all(resource) if alias.version is not None}
    event = ResourceChanged(
        event_id=uuid4(),
        occurred_at=origin.at,
        correlation_id=origin.correlation_id,
        cause_id=origin.cause_id,
        model=resource.key.event_key,
        workspace=resource.key.workspace,
        kind=resource.key.kind,
        name=resource.key.name,
        revision=revision or 0,
        change=change,
        actor=origin.actor,
        reason=origin.reason,
        aliases=aliases,
        **fields,
    )
    unit.history.append(resource, _entry(event, position, origin))
    unit.queue(event, event.key)
    if resource.key.kind != WORKSPACE:
        unit.record_change(resource.key)
    return event


def _entry(event: ResourceChanged, position: int, origin: Origin) -> Entry:
    detail: dict[str, Any] = {"aliases": dict(event.aliases)}
    if event.change is ResourceChange.TAGS_CHANGED or event.semver:
        detail |= {"semver": event.semver, "tags": dict(event.tags)}
    return Entry(
        position=position,
        recorded_at=origin.at,
        detail=detail,
        **event.model_dump(exclude={"aliases", "model", "workspace", "kind", "name", "semver", "tags"}),
    )


def note_event(
    unit: Unit, resource: Resource, event: ControlMessage, change: str, origin: Origin, *, version: int | None
) -> None:
    """Record another service's event with its evidence; publishes nothing. The caller holds the lock."""
    position, _ = unit.history.next_entry(resource, published=False)
    entry = Entry(
        position=position,
        revision=None,
        change=change,
        actor=origin.actor,
        reason=origin.reason,
        event_id=event.event_id,
        correlation_id=event.correlation_id,
        cause_id=event.cause_id,
        occurred_at=event.occurred_at,
        recorded_at=origin.at,
        version=version,
        detail=event.model_dump(mode="json", exclude={"event_id", "occurred_at", "correlation_id", "cause_id"}),
    )
    unit.history.append(resource, entry)


def note(
    unit: Unit,
    resource: Resource,
    change: str,
    origin: Origin,
    detail: Mapping[str, Any],
    *,
    version: int | None = None,
    event_id: UUID | None = None,
) -> None:
    """Record a change without an event, such as a new key, or with an event of its own. The caller holds the lock."""
    position, _ = unit.history.next_entry(resource, published=False)
    entry = Entry(
        position=position,
        revision=None,
        change=change,
        actor=origin.actor,
        reason=origin.reason,
        event_id=event_id or uuid4(),
        correlation_id=origin.correlation_id,
        cause_id=origin.cause_id,
        occurred_at=origin.at,
        recorded_at=origin.at,
        version=version,
        detail=dict(detail),
    )
    unit.history.append(resource, entry)


def move(unit: Unit, resource: Resource, version: Version, signal: Signal, origin: Origin) -> UUID:
    """Move a version by the table and publish it; returns the event's id. IllegalMove when the table has no such move.

    The caller holds the lock of the resource.
    """
    stage = next_stage(version.stage, signal)
    first = signal is Signal.FINALIZED
    event = publish(
        unit,
        resource,
        ResourceChange.VERSION_REGISTERED if first else ResourceChange.VERSION_MOVED,
        origin,
        version=version.version,
        digest=version.digest,
        semver=version.semver,
        tags=dict(version.tags),
        stage=stage,
        previous_stage=version.stage,
    )
    unit.versions.set_stage(resource, version.version, stage, event.event_id)
    return event.event_id


def save_labels(unit: Unit, resource: Resource, version: Version, origin: Origin) -> None:
    """Store the tags and the semver label of a version and publish them. The caller holds the lock."""
    unit.versions.set_labels(resource, version.version, version.semver, version.tags)
    publish(
        unit,
        resource,
        ResourceChange.TAGS_CHANGED,
        origin,
        version=version.version,
        digest=version.digest,
        stage=version.stage,
        semver=version.semver,
        tags=dict(version.tags),
    )
