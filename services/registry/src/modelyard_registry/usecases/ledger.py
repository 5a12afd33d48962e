"""The history of a model: every change is one line in it and, if it is ours to tell, one event."""

from typing import Any
from uuid import UUID, uuid4

from modelyard_contracts import ControlMessage, ResourceChange, ResourceChanged
from modelyard_registry.domain.ports import Unit
from modelyard_registry.domain.stages import Signal, next_stage
from modelyard_registry.domain.values import Entry, Story, Version


def tell(unit: Unit, model: str, change: ResourceChange, story: Story, **fields: Any) -> ResourceChanged:
    """Write a change of ours into the history and queue its event. The caller holds the lock of the model."""
    position, revision = unit.records.next_entry(model, told=True)
    event = ResourceChanged(
        event_id=uuid4(),
        occurred_at=story.at,
        correlation_id=story.correlation_id,
        cause_id=story.cause_id,
        model=model,
        name=model,
        revision=revision or 0,
        change=change,
        actor=story.actor,
        reason=story.reason,
        aliases={alias.alias: alias.version for alias in unit.records.aliases(model) if alias.version is not None},
        **fields,
    )
    unit.records.append(_entry(event, position, story))
    unit.queue(event, model)
    return event


def _entry(event: ResourceChanged, position: int, story: Story) -> Entry:
    return Entry(
        position=position,
        recorded_at=story.at,
        detail={"aliases": dict(event.aliases)},
        **event.model_dump(exclude={"aliases", "workspace", "kind", "name", "semver", "tags"}),
    )


def note(unit: Unit, event: ControlMessage, change: str, story: Story, *, version: int | None) -> None:
    """Write down what another service told, with its evidence; tells nothing itself. The caller holds the lock."""
    position, _ = unit.records.next_entry(event.model, told=False)
    entry = Entry(
        model=event.model,
        position=position,
        revision=None,
        change=change,
        actor=story.actor,
        reason=story.reason,
        event_id=event.event_id,
        correlation_id=event.correlation_id,
        cause_id=event.cause_id,
        occurred_at=event.occurred_at,
        recorded_at=story.at,
        version=version,
        detail=event.model_dump(mode="json", exclude={"event_id", "occurred_at", "correlation_id", "cause_id"}),
    )
    unit.records.append(entry)


def move(unit: Unit, version: Version, signal: Signal, story: Story) -> UUID:
    """Move a version by the table and tell it; IllegalMove where the table has no such move. Returns the event's id."""
    stage = next_stage(version.stage, signal)
    first = signal is Signal.FINALIZED
    event = tell(
        unit,
        version.model,
        ResourceChange.VERSION_REGISTERED if first else ResourceChange.VERSION_MOVED,
        story,
        version=version.version,
        digest=version.digest,
        stage=stage,
        previous_stage=version.stage,
    )
    unit.records.move(version.model, version.version, stage, event.event_id)
    return event.event_id
