"""Response shapes of experiments, runs and logged models, as MLflow's protobuf messages write them in JSON."""

from collections.abc import Sequence
from datetime import datetime

from modelyard_registry.api.mlflow.fields import Json, as_pairs, shown_number
from modelyard_registry.domain.tracking import Experiment, LoggedModel, Point, Run, RunData
from modelyard_registry.usecases.run_artifacts import MODELS, RUNS, uri_of


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return int(moment.timestamp() * 1_000)


def experiment(found: Experiment) -> Json:
    """`Experiment`; artifacts lie below each run."""
    return {
        "experiment_id": str(found.id),
        "name": found.name,
        "artifact_location": f"mlflow-artifacts:/{RUNS}",
        "lifecycle_stage": found.lifecycle.value,
        "creation_time": milliseconds(found.created_at),
        "last_update_time": milliseconds(found.updated_at),
        "tags": as_pairs(found.tags),
        "workspace": found.workspace,
    }


def run_info(run: Run) -> Json:
    """`RunInfo`."""
    return {
        "run_id": run.id,
        "run_uuid": run.id,
        "run_name": run.name,
        "experiment_id": str(run.experiment_id),
        "user_id": run.user_id,
        "status": run.status.value,
        "start_time": run.start_ms,
        **({} if run.end_ms is None else {"end_time": run.end_ms}),
        "artifact_uri": uri_of(RUNS, run.id),
        "lifecycle_stage": run.lifecycle.value,
    }


def run(found: Run, data: RunData) -> Json:
    """`Run` with the latest value of each metric."""
    return {
        "info": run_info(found),
        "data": {
            "metrics": [point(one) for one in data.metrics.values()],
            "params": as_pairs(data.params),
            "tags": as_pairs(data.tags),
        },
        "inputs": dict(found.inputs),
        "outputs": dict(found.outputs),
    }


def point(found: Point) -> Json:
    """`Metric`."""
    about = {
        "model_id": found.model_id,
        "dataset_name": found.dataset_name,
        "dataset_digest": found.dataset_digest,
    }
    return {
        "key": found.key,
        "value": shown_number(found.number),
        "timestamp": found.timestamp_ms,
        "step": found.step,
        **{name: value for name, value in about.items() if value},
    }


def logged_model(found: LoggedModel, points: Sequence[tuple[str, Point]]) -> Json:
    """`LoggedModel`. points: run and point of each metric about it, rising in time."""
    latest = {(one.key, one.dataset_name, one.dataset_digest, run_id): (run_id, one) for run_id, one in points}
    return {
        "info": {
            "model_id": found.id,
            "experiment_id": str(found.experiment_id),
            "name": found.name,
            "creation_timestamp_ms": milliseconds(found.created_at),
            "last_updated_timestamp_ms": milliseconds(found.updated_at),
            "artifact_uri": uri_of(MODELS, found.id),
            "status": found.status,
            "model_type": found.model_type,
            **({"source_run_id": found.source_run_id} if found.source_run_id else {}),
            "tags": as_pairs(found.tags),
        },
        "data": {
            "params": as_pairs(found.params),
            "metrics": [{**point(one), "run_id": run_id} for run_id, one in latest.values()],
        },
    }
