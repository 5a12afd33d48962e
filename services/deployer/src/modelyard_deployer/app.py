"""The composition root: alone reads settings and opens connections; closes them in reverse."""

import asyncio
import contextlib
import time
from datetime import timedelta
from typing import Final

from modelyard import RegistryClient
from modelyard_contracts.codec import Codec
from modelyard_contracts.tokens import serving_token
from modelyard_deployer import api, events, store
from modelyard_deployer.beginning import Beginner
from modelyard_deployer.clients import HttpMonitor, HttpRegistry
from modelyard_deployer.domain.decide import Limits
from modelyard_deployer.domain.model import Rollout
from modelyard_deployer.fetching import Fetcher
from modelyard_deployer.housekeeping import Housekeeping
from modelyard_deployer.looks import Looks
from modelyard_deployer.loop import ReconcileLoop
from modelyard_deployer.processes import LocalProcesses
from modelyard_deployer.reconciler import Reconciler
from modelyard_deployer.replicas import Keeper, KeeperLimits
from modelyard_deployer.settings import Settings
from modelyard_deployer.world import Deps
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

STOP_REPLICAS_WITHIN_S: Final = 15.0


def build(settings: Settings) -> Service:
    """The whole service, wired; nothing is connected before it runs."""
    data = settings.data_dir
    data.mkdir(parents=True, exist_ok=True)
    readiness = Readiness()
    metrics = Metrics("deployer")
    ended = metrics.counter("rollouts_total", "Rollouts that reached a state", ("model", "state"))
    key = settings.admin_key

    engine = open_engine(settings.resolved_database_url)
    database = Database(engine, system_clock)
    client = RegistryClient(settings.registry_url, key, cache_dir=data / "blobs", context=outgoing_headers)
    registry, monitor = HttpRegistry(client), HttpMonitor(settings.monitor_url, key)
    runtime = LocalProcesses(
        data / "replicas",
        serving_token(key),
        host=settings.replica_host,
        advertised_host=settings.replica_advertised_host,
        zygote_idle_s=settings.zygote_idle_s,
    )

    def wake() -> None:
        loop.notify()

    def moved(rollout: Rollout) -> None:
        ended.labels(rollout.model, rollout.state).inc()

    fetcher = Fetcher(registry, data / "models", system_clock, wake)
    looks = Looks(monitor, system_clock, settings.look_every_s, wake)
    keeper_limits = KeeperLimits(settings.replicas_per_version, settings.start_timeout_s, settings.drain_s)
    keeper = Keeper(database, runtime, fetcher, system_clock, keeper_limits)
    limits = Limits(prepare_timeout_s=settings.prepare_timeout_s, apply_wait_s=settings.apply_wait_s)
    beginner = Beginner(database, registry, system_clock)
    reconciler = Reconciler(database, beginner, keeper, looks, system_clock, limits, moved)

    def tidy() -> None:
        with database.read() as db:
            runtime.tidy({replica.id for replica in store.replicas(db)})

    housekeeping = Housekeeping(
        database,
        fetcher,
        data / "blobs",
        settings.inbox_keep,
        rollback_versions=settings.keep_rollback_versions,
        model_folders=settings.keep_model_folders,
        blobs_keep=timedelta(days=settings.keep_blobs_days),
    )
    loop = ReconcileLoop(reconciler, tidy)
    deps = Deps(database, registry, system_clock, wake, runtime.warm)
    relay = OutboxRelay(database, settings.kafka_bootstrap_servers, "deployer", readiness=readiness)
    consumer = EventConsumer(
        bootstrap=settings.kafka_bootstrap_servers,
        group=events.GROUP,
        service="deployer",
        handlers=events.handlers(deps),
        codec=Codec(RegistrySchemas(settings.registry_url, key)),
        readiness=readiness,
    )
    authenticator = Authenticator(key, registry_introspection(settings.registry_url, key), system_clock)
    app = create_app(
        service="deployer", authenticator=authenticator, readiness=readiness, metrics=metrics, consumers=[consumer]
    )
    api.add_routes(app, deps)

    async def on_start() -> None:
        await asyncio.to_thread(migrate, engine, "modelyard_deployer:migrations")
        await asyncio.to_thread(keeper.adopt)

    async def on_stop() -> None:
        if settings.stop_replicas_on_exit:
            with contextlib.suppress(Exception):  # the tables may not be there if the start failed
                await asyncio.to_thread(_stop_all, keeper)
        looks.close()
        fetcher.close()
        runtime.close()
        monitor.close()
        client.close()
        database.close()

    return Service(
        "deployer",
        settings,
        app,
        background=[loop.run, consumer.run, relay.run, Periodic("housekeeping", housekeeping.tidy).run],
        on_start=on_start,
        on_stop=on_stop,
        readiness=readiness,
    )


def _stop_all(keeper: Keeper) -> None:
    until = time.monotonic() + STOP_REPLICAS_WITHIN_S
    while not keeper.stop_all() and time.monotonic() < until:
        time.sleep(0.05)
