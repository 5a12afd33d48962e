"""Logged models: made by runs, with artifacts of their own, before or without registration."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from uuid import uuid4

from modelyard_registry.domain.errors import LoggedModelNotFound
from modelyard_registry.domain.ports import Deps, Records
from modelyard_registry.domain.tracking import Lifecycle, LoggedModel
from modelyard_registry.usecases.experiments import find_experiment
from modelyard_registry.usecases.runs import open_run

PENDING: Final = "LOGGED_MODEL_PENDING"
READY: Final = "LOGGED_MODEL_READY"
FAILED: Final = "LOGGED_MODEL_UPLOAD_FAILED"
STATUSES: Final = (PENDING, READY, FAILED)


def create_logged_model(
    deps: Deps,
    workspace: str,
    experiment_id: str,
    *,
    name: str,
    model_type: str,
    source_run_id: str | None,
    tags: Mapping[str, str],
    params: Mapping[str, str],
    actor: str,
) -> LoggedModel:
    """Create one without files; they follow, then `change_logged_model` finalizes it."""
    experiment = find_experiment(deps, workspace, experiment_id)
    now = deps.clock()
    id_ = f"m-{uuid4().hex}"
    made = LoggedModel(
        id=id_,
        experiment_id=experiment.id,
        source_run_id=source_run_id,
        name=name or f"model-{id_[2:10]}",
        model_type=model_type,
        status=PENDING,
        lifecycle=Lifecycle.ACTIVE,
        tags=dict(tags),
        params=dict(params),
        created_at=now,
        updated_at=now,
        created_by=actor,
    )
    with deps.storage.transaction() as unit:
        if source_run_id is not None:
            open_run(unit, workspace, source_run_id)
        unit.logged_models.add(made)
    return made


def logged_model_in(records: Records, workspace: str, model_id: str, *, lock: bool = False) -> LoggedModel:
    """Return the model; LoggedModelNotFound."""
    found = records.logged_models.get(workspace, model_id, lock=lock)
    if found is None:
        raise LoggedModelNotFound(model_id, workspace)
    return found


def change_logged_model(
    deps: Deps,
    workspace: str,
    model_id: str,
    *,
    status: str | None = None,
    lifecycle: Lifecycle | None = None,
    tags: Mapping[str, str | None] | None = None,
    params: Mapping[str, str] | None = None,
) -> LoggedModel:
    """Finalize, delete, tag, or add parameters; None leaves it. A tag of None is removed."""
    with deps.storage.transaction() as unit:
        found = logged_model_in(unit, workspace, model_id, lock=True)
        kept = {key: value for key, value in {**found.tags, **(tags or {})}.items() if value is not None}
        changed = replace(
            found,
            status=status or found.status,
            lifecycle=lifecycle or found.lifecycle,
            tags=kept,
            params={**found.params, **(params or {})},
            updated_at=deps.clock(),
        )
        unit.logged_models.save(changed)
        return changed
