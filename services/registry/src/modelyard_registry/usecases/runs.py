"""Runs: created, continued, filled with values, deleted and restored."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

from modelyard_registry.domain.errors import Deleted, ParamIsSet, RunNotFound, WrittenByTrainer
from modelyard_registry.domain.ports import Deps, Records, Unit
from modelyard_registry.domain.tracking import TRAINER, Lifecycle, Point, Run, RunStatus, TextKind
from modelyard_registry.usecases.experiments import experiment_in, find_experiment
from modelyard_runtime.errors import Invalid

RUN_NAME: Final = "mlflow.runName"
"""Tag that is the name of the run."""
MAX_LINKED: Final = 1_000
Links = Mapping[str, Sequence[Any]]
"""By the names of MLflow's fields, such as `dataset_inputs`, as the client sent them."""


def create_run(
    deps: Deps,
    workspace: str,
    experiment_id: str,
    *,
    name: str,
    user_id: str,
    start_ms: int | None,
    tags: Mapping[str, str],
    actor: str,
) -> Run:
    """Start a run. Deleted when its experiment is."""
    at = find_experiment(deps, workspace, experiment_id)
    id_ = uuid4().hex
    name = name or tags.get(RUN_NAME) or f"run-{id_[:8]}"
    with deps.storage.transaction() as unit:
        experiment = experiment_in(unit, workspace, str(at.id))
        if experiment.lifecycle is Lifecycle.DELETED:
            raise Deleted(f"the experiment {experiment.name!r}")
        started = now_ms(deps) if start_ms is None else start_ms
        run = Run(id_, experiment.id, name, user_id, RunStatus.RUNNING, Lifecycle.ACTIVE, started, None, actor)
        unit.runs.add(run)
        unit.runs.set_texts(id_, TextKind.TAG, {**tags, RUN_NAME: name})
        return run


def now_ms(deps: Deps) -> int:
    """Milliseconds since 1970."""
    return int(deps.clock().timestamp() * 1_000)


def run_in(records: Records, workspace: str, run_id: str, *, lock: bool = False) -> Run:
    """Return the run; RunNotFound. lock: other writers of the run wait for the end of the transaction."""
    found = records.runs.get(workspace, run_id, lock=lock)
    if found is None:
        raise RunNotFound(run_id, workspace)
    return found


def open_run(unit: Unit, workspace: str, run_id: str, *, only_tags: bool = False) -> Run:
    """Lock a run that takes values; Deleted or WrittenByTrainer otherwise."""
    run = run_in(unit, workspace, run_id, lock=True)
    if run.lifecycle is Lifecycle.DELETED:
        raise Deleted(f"run {run_id}")
    if run.created_by == TRAINER and run.model is not None and not only_tags:
        raise WrittenByTrainer(run_id)
    return run


def update_run(
    deps: Deps, workspace: str, run_id: str, *, status: RunStatus | None, end_ms: int | None, name: str | None
) -> Run:
    """Change the status, the end or the name; None leaves it. A run that runs again has no end."""
    with deps.storage.transaction() as unit:
        run = open_run(unit, workspace, run_id)
        end = end_ms if end_ms is not None else run.end_ms
        if status is not None and not status.final:
            end = None
        changed = replace(run, status=status or run.status, end_ms=end, name=name or run.name)
        unit.runs.save(changed)
        if name:
            unit.runs.set_texts(run_id, TextKind.TAG, {RUN_NAME: name})
        return changed


def set_lifecycle(deps: Deps, workspace: str, run_id: str, lifecycle: Lifecycle) -> None:
    """Delete or restore a run; repeats change nothing."""
    with deps.storage.transaction() as unit:
        run = run_in(unit, workspace, run_id, lock=True)
        if run.model is not None and run.created_by == TRAINER:
            raise WrittenByTrainer(run_id)
        unit.runs.save(replace(run, lifecycle=lifecycle))


def log(
    deps: Deps,
    workspace: str,
    run_id: str,
    *,
    points: Sequence[Point] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Add points of metrics, parameters and tags, all or nothing; repeats change nothing. ParamIsSet."""
    with deps.storage.transaction() as unit:
        run = open_run(unit, workspace, run_id, only_tags=not points and not params)
        _set_params(unit, run_id, params or {})
        unit.runs.set_texts(run_id, TextKind.TAG, tags or {})
        if name := (tags or {}).get(RUN_NAME):
            unit.runs.save(replace(run, name=name))
        if points:
            unit.runs.add_points(run_id, points)


def drop_tag(deps: Deps, workspace: str, run_id: str, key: str) -> None:
    """Remove a tag; Invalid when there is none."""
    with deps.storage.transaction() as unit:
        open_run(unit, workspace, run_id, only_tags=True)
        if not unit.runs.drop_tag(run_id, key):
            raise Invalid(f"key: run {run_id} has no tag {key[:80]!r}", field="key")


def link_inputs(deps: Deps, workspace: str, run_id: str, links: Links) -> None:
    """Append datasets and logged models that a run reads; repeats change nothing."""
    with deps.storage.transaction() as unit:
        run = open_run(unit, workspace, run_id)
        unit.runs.save(replace(run, inputs=_linked(run.inputs, links)))


def link_outputs(deps: Deps, workspace: str, run_id: str, links: Links) -> None:
    """Append logged models that a run makes; repeats change nothing."""
    with deps.storage.transaction() as unit:
        run = open_run(unit, workspace, run_id)
        unit.runs.save(replace(run, outputs=_linked(run.outputs, links)))


def _linked(held: Links, links: Links) -> Links:
    found = {name: list(known) for name, known in held.items()}
    for name, new in links.items():
        known = found.setdefault(name, [])
        known += [one for one in new if one not in known]
        if len(known) > MAX_LINKED:
            raise Invalid(f"{name}: a run has at most {MAX_LINKED}", field=name)
    return found


def _set_params(unit: Unit, run_id: str, params: Mapping[str, str]) -> None:
    if not params:
        return
    known = unit.runs.texts(run_id, TextKind.PARAM, params)
    for key, value in known.items():
        if value != params[key]:
            raise ParamIsSet(key, value, params[key])
    unit.runs.set_texts(run_id, TextKind.PARAM, {key: value for key, value in params.items() if key not in known})
