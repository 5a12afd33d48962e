"""The composition root: alone reads settings and opens connections; closes them in reverse."""

import asyncio
from datetime import timedelta

from modelyard import RegistryClient
from modelyard_contracts.codec import Codec
from modelyard_evaluator import api, events
from modelyard_evaluator.clients import ClickHouseLabels, HttpRegistry
from modelyard_evaluator.domain.model import Evaluation
from modelyard_evaluator.housekeeping import Housekeeping
from modelyard_evaluator.loop import EvaluationLoop
from modelyard_evaluator.processes import ScorerProcesses, scorer_zygote
from modelyard_evaluator.settings import Settings
from modelyard_evaluator.stages import Deps
from modelyard_runtime.auth import Authenticator, registry_introspection
from modelyard_runtime.clock import system_clock
from modelyard_runtime.database import Database, migrate, open_engine
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import create_app
from modelyard_runtime.kafka import EventConsumer
from modelyard_runtime.metrics import Metrics
from modelyard_runtime.relay import OutboxRelay
from modelyard_runtime.retention import Periodic
from modelyard_runtime.schemas import RegistrySchemas
from modelyard_runtime.service import Service
from modelyard_runtime.tracing import outgoing_headers


def build(settings: Settings) -> Service:
    """The whole service, wired; nothing is connected before it runs."""
    data = settings.data_dir
    data.mkdir(parents=True, exist_ok=True)
    readiness = Readiness()
    metrics = Metrics("evaluator")
    verdicts = metrics.counter("evaluations_total", "Finished evaluations", ("model", "verdict"))
    key, password = settings.admin_key, settings.clickhouse_password.get_secret_value()

    engine = open_engine(settings.resolved_database_url)
    database = Database(engine, system_clock)
    client = RegistryClient(
        settings.registry_url, key, timeout_s=30.0, cache_dir=data / "blobs", context=outgoing_headers
    )
    labels = ClickHouseLabels(settings.clickhouse_url, settings.clickhouse_user, password, settings.clickhouse_database)
    zygote = scorer_zygote(settings.zygote_idle_s)
    scorer = ScorerProcesses(
        zygote,
        {
            "CLICKHOUSE_URL": settings.clickhouse_url,
            "CLICKHOUSE_USER": settings.clickhouse_user,
            "CLICKHOUSE_PASSWORD": password,
            "CLICKHOUSE_DATABASE": settings.clickhouse_database,
        },
        memory_limit_mib=settings.scorer_memory_mib,
        timeout_s=settings.scorer_timeout_s,
    )

    def finished(evaluation: Evaluation) -> None:
        verdicts.labels(evaluation.model, evaluation.verdict or "none").inc()

    deps = Deps(
        database=database,
        registry=HttpRegistry(client),
        labels=labels,
        scorer=scorer,
        clock=system_clock,
        work=data / "work",
        max_wait_s=settings.max_wait_s,
        on_finished=finished,
    )
    loop = EvaluationLoop(deps)
    blobs_keep = timedelta(days=settings.keep_blobs_days)
    housekeeping = Housekeeping(database, deps.work, data / "blobs", settings.inbox_keep, blobs_keep)
    relay = OutboxRelay(database, settings.kafka_bootstrap_servers, "evaluator", readiness=readiness)
    consumer = EventConsumer(
        bootstrap=settings.kafka_bootstrap_servers,
        group=events.GROUP,
        service="evaluator",
        handlers=events.handlers(deps, loop.notify),
        codec=Codec(RegistrySchemas(settings.registry_url, key)),
        readiness=readiness,
    )
    authenticator = Authenticator(key, registry_introspection(settings.registry_url, key), system_clock)
    app = create_app(
        service="evaluator", authenticator=authenticator, readiness=readiness, metrics=metrics, consumers=[consumer]
    )
    api.add_routes(app, deps, loop.notify)

    async def on_start() -> None:
        await asyncio.to_thread(migrate, engine, "modelyard_evaluator:migrations")

    async def on_stop() -> None:
        zygote.close()
        labels.close()
        client.close()
        database.close()

    return Service(
        "evaluator",
        settings,
        app,
        background=[loop.run, consumer.run, relay.run, Periodic("housekeeping", housekeeping.tidy).run],
        on_start=on_start,
        on_stop=on_stop,
        readiness=readiness,
        background_grace_s=30.0,
    )
