"""Experiments: named sets of runs in a workspace."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from modelyard_registry.domain.errors import Deleted, ExperimentExists, ExperimentNotFound
from modelyard_registry.domain.names import workspace_key
from modelyard_registry.domain.ports import Deps, Records, Unit
from modelyard_registry.domain.tracking import (
    DEFAULT_EXPERIMENT,
    DEFAULT_ID,
    MAX_KEY,
    Experiment,
    Lifecycle,
    check_value,
)
from modelyard_runtime.errors import Invalid

MAX_ID_DIGITS: Final = 9


def create_experiment(deps: Deps, workspace: str, name: str, tags: Mapping[str, str], actor: str) -> Experiment:
    """Create it; ExperimentExists when the name is taken, also by a deleted one."""
    _check_name(name)
    with deps.storage.transaction() as unit:
        made = _add(deps, unit, workspace, name, tags, actor)
        if made is None:
            known = unit.experiments.named(workspace, name)
            raise ExperimentExists(name, known.lifecycle if known else Lifecycle.ACTIVE)
        return made


def find_experiment(deps: Deps, workspace: str, experiment_id: str) -> Experiment:
    """Return the experiment; ExperimentNotFound. DEFAULT_ID is the one of runs without a stated experiment."""
    if experiment_id == DEFAULT_ID:
        return default_experiment(deps, workspace)
    with deps.storage.read() as records:
        return experiment_in(records, workspace, experiment_id)


def experiment_in(records: Records, workspace: str, experiment_id: str) -> Experiment:
    """Return the experiment with this number; ExperimentNotFound."""
    plain = experiment_id.isascii() and experiment_id.isdigit() and len(experiment_id) <= MAX_ID_DIGITS
    found = records.experiments.get(workspace, int(experiment_id)) if plain else None
    if found is None:
        raise ExperimentNotFound(experiment_id, workspace)
    return found


def default_experiment(deps: Deps, workspace: str) -> Experiment:
    """Return the default experiment of a workspace, which comes into being at its first use."""
    with deps.storage.read() as records:
        found = records.experiments.named(workspace, DEFAULT_EXPERIMENT)
    if found is not None:
        return found
    with deps.storage.transaction() as unit:
        return named_or_new(deps, unit, workspace, DEFAULT_EXPERIMENT, "registry")


def named_or_new(deps: Deps, unit: Unit, workspace: str, name: str, actor: str) -> Experiment:
    """Return the experiment with this name, and create it if there is none."""
    found = unit.experiments.named(workspace, name) or _add(deps, unit, workspace, name, {}, actor)
    if found is None:  # another transaction created it at the same time
        raise ExperimentNotFound(name, workspace)
    return found


def change_experiment(
    deps: Deps, workspace: str, experiment_id: str, *, name: str | None = None, lifecycle: Lifecycle | None = None
) -> Experiment:
    """Rename, delete or restore; None leaves it as it is."""
    at = find_experiment(deps, workspace, experiment_id)
    with deps.storage.transaction() as unit:
        found = experiment_in(unit, workspace, str(at.id))
        if name is not None and name != found.name:
            _check_name(name)
            if (taken := unit.experiments.named(workspace, name)) is not None:
                raise ExperimentExists(name, taken.lifecycle)
        changed = replace(
            found, name=name or found.name, lifecycle=lifecycle or found.lifecycle, updated_at=deps.clock()
        )
        unit.experiments.save(changed)
        return changed


def tag_experiment(deps: Deps, workspace: str, experiment_id: str, tags: Mapping[str, str | None]) -> None:
    """Set tags; None removes one. Deleted when the experiment is."""
    at = find_experiment(deps, workspace, experiment_id)
    with deps.storage.transaction() as unit:
        found = experiment_in(unit, workspace, str(at.id))
        if found.lifecycle is Lifecycle.DELETED:
            raise Deleted(f"the experiment {found.name!r}")
        kept = {key: value for key, value in {**found.tags, **tags}.items() if value is not None}
        unit.experiments.save(replace(found, tags=kept, updated_at=deps.clock()))


def _add(deps: Deps, unit: Unit, workspace: str, name: str, tags: Mapping[str, str], actor: str) -> Experiment | None:
    unit.resources.get(workspace_key(workspace))  # WorkspaceNotFound
    now = deps.clock()
    return unit.experiments.add(Experiment(0, workspace, name, Lifecycle.ACTIVE, dict(tags), now, now, actor))


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > MAX_KEY:
        raise Invalid(f"name: write 1 to {MAX_KEY} characters", field="name")
    check_value(name, "name")
