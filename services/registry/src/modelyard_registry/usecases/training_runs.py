"""Training runs of the platform among the runs of an experiment with the name of their model."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from modelyard_contracts import TrainingRunChanged
from modelyard_contracts.messages.training import RunState
from modelyard_registry.domain.ports import Deps, Unit
from modelyard_registry.domain.tracking import TRAINER, Lifecycle, Point, Run, RunStatus, TextKind
from modelyard_registry.domain.values import ResourceKey
from modelyard_registry.usecases.experiments import named_or_new
from modelyard_registry.usecases.runs import RUN_NAME

STATUS: Final = {
    RunState.REQUESTED: RunStatus.SCHEDULED,
    RunState.SNAPSHOTTING: RunStatus.RUNNING,
    RunState.TRAINING: RunStatus.RUNNING,
    RunState.REGISTERING: RunStatus.RUNNING,
    RunState.SUCCEEDED: RunStatus.FINISHED,
    RunState.FAILED: RunStatus.FAILED,
    RunState.CANCELLED: RunStatus.KILLED,
}
COST: Final = "cost_usd"


def record_run(deps: Deps, unit: Unit, model: ResourceKey, event: TrainingRunChanged) -> None:
    """Write the run as the event has it. An event that is older than the last one only moves the start.

    A refused request is no run: it stays in the history of the model.
    """
    if event.state is RunState.REFUSED:
        return
    known = unit.runs.get(model.workspace, event.run_id.hex, lock=True)
    at = _ms(event.occurred_at)
    if known is None:
        known = _add(deps, unit, model, event)
    elif known.revision is not None and event.revision <= known.revision:
        unit.runs.save(replace(known, start_ms=min(known.start_ms, at)))
        return
    status = STATUS[event.state]
    changed = replace(
        known,
        status=status,
        start_ms=min(known.start_ms, at),
        end_ms=at if status.final else None,
        revision=event.revision,
        version=event.version or known.version,
    )
    unit.runs.save(changed)
    _write_values(unit, changed, event, at)


def _add(deps: Deps, unit: Unit, model: ResourceKey, event: TrainingRunChanged) -> Run:
    experiment = named_or_new(deps, unit, model.workspace, model.name, TRAINER)
    at = _ms(event.occurred_at)
    run = Run(
        id=event.run_id.hex,
        experiment_id=experiment.id,
        name=f"{event.recipe}-{event.run_id.hex[:8]}",
        user_id=TRAINER,
        status=STATUS[event.state],
        lifecycle=Lifecycle.ACTIVE,
        start_ms=at,
        end_ms=None,
        created_by=TRAINER,
        model=model.reference,
    )
    unit.runs.add(run)
    return run


def _write_values(unit: Unit, run: Run, event: TrainingRunChanged, at: int) -> None:
    params = {"recipe": event.recipe, "trigger": event.trigger, "dataset_digest": event.dataset_digest}
    unit.runs.set_texts(run.id, TextKind.PARAM, {key: value for key, value in params.items() if value})
    tags = {
        RUN_NAME: run.name,
        "modelyard.model": run.model,
        "modelyard.state": event.state.value,
        "modelyard.reason": event.reason,
        "modelyard.correlation_id": str(event.correlation_id),
        "modelyard.version": None if run.version is None else str(run.version),
    }
    unit.runs.set_texts(run.id, TextKind.TAG, {key: value for key, value in tags.items() if value})
    numbers = {**event.metrics, **({COST: event.cost_usd} if event.state.final else {})}
    unit.runs.add_points(run.id, [Point(key, number, event.revision, at) for key, number in numbers.items()])


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000)
