"""`/v1/traffic`, `/v1/alerts`, `/v1/predictions` and what a model's page shows over time."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, FastAPI, Path, Query
from pydantic import StringConstraints

from modelyard_contracts import DriftKind, Severity
from modelyard_contracts.references import REFERENCE_PATTERN
from modelyard_monitor.api.models import TrafficList
from modelyard_monitor.api.moments import Since, read_since
from modelyard_monitor.api.rejected_labels import add_rejected_labels
from modelyard_monitor.api.timelines import add_timelines
from modelyard_monitor.domain.alert_list import AlertList, AlertScope
from modelyard_monitor.domain.bins import Histograms, StabilityOverTime
from modelyard_monitor.domain.prediction_record import StoredPredictions
from modelyard_monitor.domain.traffic import TrafficOverTime
from modelyard_monitor.usecases.alerts import Alerts
from modelyard_monitor.usecases.bins import Bins
from modelyard_monitor.usecases.predictions import Predictions
from modelyard_monitor.usecases.rejected_labels import LabelsThatDoNotMatch
from modelyard_monitor.usecases.timelines import Timelines
from modelyard_monitor.usecases.traffic import Traffic
from modelyard_runtime.access import Principal
from modelyard_runtime.clock import Clock
from modelyard_runtime.http.access import allow, allowed_workspaces
from modelyard_runtime.http.moments import read_moment

HOUR: Final = timedelta(hours=1)
MAX_WINDOW_S: Final = 90 * 86_400
MAX_BUCKET_S: Final = 86_400 * 30
MAX_VERSION: Final = 2**31 - 1

Model = Annotated[str, Path(max_length=256, description="Reference of the model: `name` or `workspace:name`.")]
ModelFilter = Annotated[str | None, Query(pattern=REFERENCE_PATTERN, description="Only this model.")]
ModelNames = Annotated[
    tuple[Annotated[str, StringConstraints(max_length=256)], ...],
    Query(max_length=1_000, description="Only these models; may be repeated."),
]
Version = Annotated[int | None, Query(ge=1, le=MAX_VERSION, description="Only this version.")]
Feature = Annotated[
    str | None, Query(max_length=1_000, description="Only this feature; empty for the score and the classes.")
]
BucketSeconds = Annotated[int, Query(ge=1, le=MAX_BUCKET_S, description="Length of an interval.")]


@dataclass(frozen=True)
class Lookups:
    """Use cases of reads beyond the reports."""

    traffic: Traffic
    alerts: Alerts
    predictions: Predictions
    bins: Bins
    timelines: Timelines
    rejected_labels: LabelsThatDoNotMatch
    clock: Clock


def add_lookups(app: FastAPI, lookups: Lookups) -> None:
    """Add all routes; each declares the action that it needs."""
    app.include_router(_lists(lookups))
    app.include_router(_over_time(lookups))
    app.include_router(_bins(lookups))
    add_rejected_labels(app, lookups.rejected_labels, lookups.clock)
    add_timelines(app, lookups.timelines, lookups.clock)


def _lists(lookups: Lookups) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["overview"])

    @router.get("/traffic")
    async def traffic(
        caller: Annotated[Principal, Depends(allow("read", "model", over="any-workspace"))],
        since: Since = None,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 1_000,
        model: ModelNames = (),
    ) -> TrafficList:
        """Return the models with traffic since a moment (default: the last hour), busiest first."""
        start = read_since(since, lookups.clock() - HOUR)
        workspaces = allowed_workspaces(caller, "read", "model")
        found = await asyncio.to_thread(lookups.traffic.models, start, workspaces, limit, model)
        return TrafficList(since=start, items=tuple(found))

    @router.get("/alerts")
    async def alerts(
        caller: Annotated[Principal, Depends(allow("read", "alert", over="any-workspace"))],
        model: ModelFilter = None,
        since: Since = None,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
        after: Annotated[str, Query(max_length=128, description="`next_after` of the page before.")] = "",
        kind: Annotated[
            str,
            Query(max_length=64, description="Kind of a drift, such as `performance`, or an alert's name."),
        ] = "",
        severity: Severity | None = None,
    ) -> AlertList:
        """Return drifts and alerts of all models that the caller may read, newest first."""
        start = read_moment(since, "since")
        workspaces = allowed_workspaces(caller, "read", "alert")
        scope = AlertScope(model or "", start, workspaces=workspaces, kind=kind, severity=severity or "")
        return await asyncio.to_thread(lookups.alerts.page, scope, after, limit)

    @router.get("/predictions/{prediction_id:path}")
    async def prediction(
        prediction_id: Annotated[str, Path(max_length=256)],
        caller: Annotated[Principal, Depends(allow("read", "prediction", over="any-workspace"))],
        model: ModelFilter = None,
    ) -> StoredPredictions:
        """Return the prediction with this id and its labels; an item per model that answered under it."""
        workspaces = allowed_workspaces(caller, "read", "prediction")
        found = await asyncio.to_thread(lookups.predictions.find, prediction_id, model or "", workspaces)
        return StoredPredictions(items=tuple(found))

    return router


def _over_time(lookups: Lookups) -> APIRouter:
    router = APIRouter(prefix="/v1/models/{model}", tags=["models"])

    @router.get("/traffic", dependencies=[Depends(allow("read", "model"))])
    async def over_time(
        model: Model,
        since: Since = None,
        bucket_s: BucketSeconds = 60,
        route: Annotated[str, Query(max_length=256, description="Only predictions of this route.")] = "",
    ) -> TrafficOverTime:
        """Return the traffic of a model by interval, version and variant (default: the last hour)."""
        start = read_since(since, lookups.clock() - HOUR)
        return await asyncio.to_thread(lookups.traffic.over_time, model, start, bucket_s, route)

    @router.get("/psi/over-time", dependencies=[Depends(allow("read", "drift"))])
    async def psi_over_time(
        model: Model,
        feature: Feature = None,
        version: Version = None,
        since: Since = None,
        bucket_s: Annotated[int, Query(ge=60, le=MAX_BUCKET_S, description="Length of an interval.")] = 3_600,
    ) -> StabilityOverTime:
        """Return the PSI against the training data by interval (default: hours of the last day)."""
        start = read_since(since, lookups.clock() - 24 * HOUR)
        return await asyncio.to_thread(lookups.bins.psi_over_time, model, start, bucket_s, version, feature)

    return router


def _bins(lookups: Lookups) -> APIRouter:
    router = APIRouter(prefix="/v1/models/{model}", tags=["models"])

    @router.get("/bins", dependencies=[Depends(allow("read", "drift"))])
    async def bins(
        model: Model,
        feature: Feature = None,
        version: Version = None,
        variant: Annotated[str, Query(max_length=64, description="stable, canary or shadow; empty for all.")] = "",
        kind: DriftKind | None = None,
        window_s: Annotated[int, Query(ge=60, le=MAX_WINDOW_S)] = 3_600,
    ) -> Histograms:
        """Return counts in training and over the last `window_s` seconds, by bins with readable labels."""
        return await asyncio.to_thread(lookups.bins.histograms, model, window_s, version, feature, variant, kind)

    return router
