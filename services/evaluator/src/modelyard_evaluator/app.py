"""Composition root: alone reads settings and opens connections; closes them in reverse."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from fastapi import FastAPI

from modelyard import MonitorClient, RegistryClient
from modelyard_evaluator.api.evaluations import add_routes
from modelyard_evaluator.api.loop_reports import add_loop_reports
from modelyard_evaluator.background.housekeeping import Housekeeping
from modelyard_evaluator.background.worker import EvaluationWorker
from modelyard_evaluator.clients.labels import ClickHouseLabels
from modelyard_evaluator.clients.monitor import HttpAlarms
from modelyard_evaluator.clients.registry import HttpRegistry
from modelyard_evaluator.domain.evaluation import Evaluation
from modelyard_evaluator.domain.ports import Deps
from modelyard_evaluator.events.handlers import handlers
from modelyard_evaluator.scoring.processes import ScorerProcesses, scorer_zygote
from modelyard_evaluator.scoring.trials import ConfinedTrials
from modelyard_evaluator.settings import Settings
from modelyard_evaluator.store.evaluations import SqlStorage
from modelyard_evaluator.store.loop_reports import SqlLoopReports
from modelyard_runtime.assembly import Assembly
from modelyard_runtime.changes import ChangeLog
from modelyard_runtime.metrics import Metrics
from modelyard_runtime.retention import Periodic
from modelyard_runtime.service import Service
from modelyard_runtime.tracing import outgoing_headers
from modelyard_serving.trial import TrialLimits
from modelyard_zygote import Zygote

BACKGROUND_GRACE_S: Final = 30.0
"""Long enough for a call to the registry (30 s at most); a scoring process ends with the service and is repeated."""


def build(settings: Settings) -> Service:
    """Wire the service; nothing is connected before it runs."""
    data = settings.data_dir
    data.mkdir(parents=True, exist_ok=True)
    assembly = Assembly("evaluator", settings)
    client = RegistryClient(
        settings.registry_url, settings.service_key, timeout_s=30.0, cache_dir=data / "blobs", context=outgoing_headers
    )
    labels = _labels(settings)
    monitor = MonitorClient(
        settings.monitor_url, settings.service_key, timeout_s=settings.monitor_timeout_s, context=outgoing_headers
    )
    zygote = scorer_zygote(settings.zygote_idle_s)
    registry = HttpRegistry(client)
    deps = Deps(
        storage=SqlStorage(assembly.database),
        registry=registry,
        labels=labels,
        alarms=HttpAlarms(monitor),
        scorer=_scorer(settings, zygote),
        trials=ConfinedTrials(_trial_limits(settings), registry.connection, settings.provider_keys),
        clock=assembly.clock,
        work_dir=data / "work",
        max_wait_s=settings.max_wait_s,
        on_finished=_count_verdicts(assembly.metrics),
    )
    worker, changes = EvaluationWorker(deps), ChangeLog(assembly.database)
    blobs_keep = timedelta(days=settings.keep_blobs_days)
    housekeeping = Housekeeping(deps.storage, deps.clock, deps.work_dir, data / "blobs", blobs_keep)

    def add_all(app: FastAPI) -> None:
        add_routes(app, deps, changes, worker.notify)
        add_loop_reports(app, SqlLoopReports(assembly.database), assembly.clock)

    async def close() -> None:
        zygote.close()
        labels.close()
        monitor.close()
        client.close()

    return assembly.service(
        handlers(deps, worker.notify),
        add_all,
        background=[
            worker.run,
            Periodic("housekeeping", housekeeping.tidy).run,
            Periodic("forgetting changes", changes.prune).run,
        ],
        on_stop=close,
        background_grace_s=BACKGROUND_GRACE_S,
    )


def _labels(settings: Settings) -> ClickHouseLabels:
    password = settings.clickhouse_password.get_secret_value()
    return ClickHouseLabels(settings.clickhouse_url, settings.clickhouse_user, password, settings.clickhouse_database)


def _scorer(settings: Settings, zygote: Zygote) -> ScorerProcesses:
    return ScorerProcesses(
        zygote,
        {
            "CLICKHOUSE_URL": settings.clickhouse_url,
            "CLICKHOUSE_USER": settings.clickhouse_user,
            "CLICKHOUSE_PASSWORD": settings.clickhouse_password.get_secret_value(),
            "CLICKHOUSE_DATABASE": settings.clickhouse_database,
        },
        memory_limit_mib=settings.scorer_memory_mib,
        timeout_s=settings.scorer_timeout_s,
    )


def _trial_limits(settings: Settings) -> TrialLimits:
    return TrialLimits(
        seconds=settings.trial_timeout_s,
        memory_mib=settings.trial_memory_mib,
        allow_unconfined=settings.trial_unconfined,
    )


def _count_verdicts(metrics: Metrics) -> Callable[[Evaluation], None]:
    verdicts = metrics.counter("evaluations_total", "Finished evaluations", ("model", "verdict"))

    def on_finished(evaluation: Evaluation) -> None:
        verdicts.labels(evaluation.model, evaluation.verdict or "none").inc()

    return on_finished
