"""The composition root: alone reads settings and opens connections; closes them in reverse."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from modelyard import RegistryClient
from modelyard_evaluator import api, events
from modelyard_evaluator.clients import ClickHouseLabels, HttpRegistry
from modelyard_evaluator.domain.model import Evaluation
from modelyard_evaluator.housekeeping import Housekeeping
from modelyard_evaluator.loop import EvaluationLoop
from modelyard_evaluator.processes import ScorerProcesses, scorer_zygote
from modelyard_evaluator.settings import Settings
from modelyard_evaluator.stages import Deps
from modelyard_runtime.assembly import Assembly
from modelyard_runtime.metrics import Metrics
from modelyard_runtime.retention import Periodic
from modelyard_runtime.service import Service
from modelyard_runtime.tracing import outgoing_headers
from modelyard_zygote import Zygote

BACKGROUND_GRACE_S: Final = 30.0
"""A stage that only waits for the registry (30 s at most) may end; a scoring process ends with us and is done again."""


def build(settings: Settings) -> Service:
    """The whole service, wired; nothing is connected before it runs."""
    data = settings.data_dir
    data.mkdir(parents=True, exist_ok=True)
    whole = Assembly("evaluator", settings)
    client = RegistryClient(
        settings.registry_url, settings.admin_key, timeout_s=30.0, cache_dir=data / "blobs", context=outgoing_headers
    )
    labels = _labels(settings)
    zygote = scorer_zygote(settings.zygote_idle_s)
    deps = Deps(
        database=whole.database,
        registry=HttpRegistry(client),
        labels=labels,
        scorer=_scorer(settings, zygote),
        clock=whole.clock,
        work=data / "work",
        max_wait_s=settings.max_wait_s,
        on_finished=_counted(whole.metrics),
    )
    loop = EvaluationLoop(deps)
    housekeeping = Housekeeping(
        whole.database, deps.work, data / "blobs", blobs_keep=timedelta(days=settings.keep_blobs_days)
    )

    async def close() -> None:
        zygote.close()
        labels.close()
        client.close()

    return whole.service(
        events.handlers(deps, loop.notify),
        lambda app: api.add_routes(app, deps, loop.notify),
        background=[loop.run, Periodic("housekeeping", housekeeping.tidy).run],
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


def _counted(metrics: Metrics) -> Callable[[Evaluation], None]:
    verdicts = metrics.counter("evaluations_total", "Finished evaluations", ("model", "verdict"))

    def finished(evaluation: Evaluation) -> None:
        verdicts.labels(evaluation.model, evaluation.verdict or "none").inc()

    return finished
