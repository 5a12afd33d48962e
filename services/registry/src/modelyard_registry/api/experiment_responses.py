"""Response bodies about experiments and runs."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from modelyard_contracts import VersionStage
from modelyard_registry.domain.tracking import Experiment, Lifecycle, LoggedModel, Point, Run, RunData, RunStatus
from modelyard_registry.domain.values import ResourceKey, Version
from modelyard_registry.usecases.run_artifacts import Listed


class ExperimentOut(BaseModel):
    """runs: number of runs that are not deleted."""

    id: int
    workspace: str
    name: str
    lifecycle: Lifecycle
    tags: Mapping[str, str]
    runs: int
    created_at: datetime
    updated_at: datetime
    created_by: str

    @classmethod
    def of(cls, found: Experiment, runs: int) -> Self:
        return cls(runs=runs, **vars(found))


class MetricOut(BaseModel):
    """value: null for NaN and infinity, which `text` names."""

    step: int
    at: datetime
    value: float | None
    text: str

    @classmethod
    def of(cls, point: Point) -> Self:
        value = point.number if math.isfinite(point.number) else None
        return cls(step=point.step, at=moment(point.timestamp_ms), value=value, text=repr(point.number))


class RunOut(BaseModel):
    """metrics: the latest value of each. model: set for training runs of the platform. created_by: identity of the
    key; user: as the client states it."""

    id: str
    experiment_id: int
    name: str
    user: str
    status: RunStatus
    lifecycle: Lifecycle
    started_at: datetime
    ended_at: datetime | None
    created_by: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, MetricOut]
    model: str | None
    version: int | None

    @classmethod
    def of(cls, run: Run, data: RunData) -> Self:
        return cls(**_fields(run, data))


class LoggedModelOut(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    id: str
    name: str
    status: str
    model_type: str
    created_at: datetime

    @classmethod
    def of(cls, found: LoggedModel) -> Self:
        return cls(**{name: getattr(found, name) for name in cls.model_fields})


class RunVersionOut(BaseModel):
    """A version that was registered from a run."""

    model: str
    version: int
    stage: VersionStage

    @classmethod
    def of(cls, key: ResourceKey, version: Version) -> Self:
        return cls(model=key.reference, version=version.version, stage=version.stage)


class RunDetailOut(RunOut):
    inputs: Mapping[str, Any] = Field(description="datasets and logged models, as the client sent them")
    outputs: Mapping[str, Any]
    logged_models: Sequence[LoggedModelOut]
    versions: Sequence[RunVersionOut]

    @classmethod
    def detailed(
        cls, run: Run, data: RunData, models: Sequence[LoggedModelOut], versions: Sequence[RunVersionOut]
    ) -> Self:
        more = {"inputs": run.inputs, "outputs": run.outputs, "logged_models": models, "versions": versions}
        return cls(**_fields(run, data), **more)


class ArtifactOut(BaseModel):
    """size_bytes: null for a folder."""

    path: str
    size_bytes: int | None

    @classmethod
    def of(cls, line: Listed) -> Self:
        return cls(**vars(line))


def moment(milliseconds: int) -> datetime:
    """A moment from milliseconds since 1970; the last one of the calendar when they are beyond it."""
    try:
        return datetime.fromtimestamp(milliseconds / 1_000, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.max.replace(tzinfo=UTC)


def _fields(run: Run, data: RunData) -> dict[str, Any]:
    return {
        "id": run.id,
        "experiment_id": run.experiment_id,
        "name": run.name,
        "user": run.user_id,
        "status": run.status,
        "lifecycle": run.lifecycle,
        "started_at": moment(run.start_ms),
        "ended_at": None if run.end_ms is None else moment(run.end_ms),
        "created_by": run.created_by,
        "params": data.params,
        "tags": data.tags,
        "metrics": {key: MetricOut.of(point) for key, point in data.metrics.items()},
        "model": run.model,
        "version": run.version,
    }
