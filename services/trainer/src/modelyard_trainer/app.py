"""Composition root: alone reads settings and opens connections; closes them in reverse."""

import asyncio
import logging
import os
from collections.abc import Mapping
from datetime import timedelta

from fastapi import FastAPI

from modelyard import RegistryClient
from modelyard_contracts.codec import Codec
from modelyard_runtime.auth import Authenticator, registry_introspection
from modelyard_runtime.clock import system_clock
from modelyard_runtime.database import Database, migrate, open_engine
from modelyard_runtime.errors import BrokerAway
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import create_app
from modelyard_runtime.inbox import forget_claims
from modelyard_runtime.kafka import EventConsumer, ensure_topics
from modelyard_runtime.relay import OutboxRelay
from modelyard_runtime.retention import Periodic
from modelyard_runtime.schemas import RegistrySchemas
from modelyard_runtime.service import Service
from modelyard_runtime.tracing import outgoing_headers
from modelyard_runtime.zygote import Zygote
from modelyard_trainer.api import add_routes
from modelyard_trainer.catalogue import known_recipes
from modelyard_trainer.domain.recipes import Recipe
from modelyard_trainer.events import handlers
from modelyard_trainer.limits import Limits
from modelyard_trainer.processes import PRELOAD, Workers
from modelyard_trainer.registry import RegistryGateway
from modelyard_trainer.settings import Settings
from modelyard_trainer.store import RunStore
from modelyard_trainer.supervisor import Supervisor
from modelyard_trainer.usecases import Deps
from modelyard_trainer.warm_ray import WarmRay

NAME = "trainer"
log = logging.getLogger(__name__)


def build(settings: Settings) -> Service:
    """The whole service, not yet started."""
    database = Database(open_engine(settings.resolved_database_url), system_clock)
    client = RegistryClient(settings.registry_url, settings.admin_key, context=outgoing_headers)
    gateway, runs, recipes = RegistryGateway(client), RunStore(database), known_recipes(settings.recipes)
    deps = Deps(runs=runs, registry=gateway, recipes=recipes, clock=system_clock)
    supervisor = _supervisor(settings, runs, gateway, recipes)
    readiness = Readiness()
    readiness.set("database", False, "not opened yet")
    relay = OutboxRelay(database, settings.kafka_bootstrap_servers, NAME, readiness=readiness)
    database.on_queued(supervisor.notify)
    consumer = EventConsumer(
        bootstrap=settings.kafka_bootstrap_servers,
        group=NAME,
        service=NAME,
        handlers=handlers(deps),
        codec=Codec(RegistrySchemas(settings.registry_url, settings.admin_key)),
        readiness=readiness,
    )

    forgetting = Periodic("forgetting handled events", lambda: forget_claims(database, settings.inbox_keep))

    async def on_start() -> None:
        await asyncio.to_thread(migrate, database.engine, "modelyard_trainer:migrations")
        readiness.set("database", True)
        try:
            await ensure_topics(settings.kafka_bootstrap_servers)
        except BrokerAway as error:  # no reason not to start: consumer and relay make theirs when it is there
            log.warning("the topics are made later: %s", error)

    async def on_stop() -> None:
        client.close()
        database.close()

    return Service(
        NAME,
        settings,
        _app(settings, deps, readiness, consumer),
        background=[relay.run, consumer.run, supervisor.run, forgetting.run],
        on_start=on_start,
        on_stop=on_stop,
        readiness=readiness,
    )


def _app(settings: Settings, deps: Deps, readiness: Readiness, consumer: EventConsumer) -> FastAPI:
    introspect = registry_introspection(settings.registry_url, settings.admin_key)
    authenticator = Authenticator(settings.admin_key, introspect, system_clock)
    app = create_app(service=NAME, authenticator=authenticator, readiness=readiness, consumers=[consumer])
    add_routes(app, deps)
    return app


def _supervisor(
    settings: Settings, runs: RunStore, gateway: RegistryGateway, recipes: Mapping[str, Recipe]
) -> Supervisor:
    secrets = {"CLICKHOUSE_PASSWORD": settings.clickhouse_password.get_secret_value()}
    return Supervisor(
        runs=runs,
        registry=gateway,
        workers=Workers(settings.data_dir.resolve() / "runs", secrets, Zygote(PRELOAD, idle_s=settings.ray_idle_s)),
        recipes=recipes,
        clickhouse={
            "url": settings.clickhouse_url,
            "user": settings.clickhouse_user,
            "database": settings.clickhouse_database,
        },
        limits=Limits(
            max_running=settings.max_running,
            max_attempts=settings.max_attempts,
            max_run_s=settings.max_run_s,
            tick_s=settings.tick_s,
            keep_run_dirs=settings.keep_run_dirs,
            keep_run_dirs_for=timedelta(days=settings.keep_run_days),
            ray_cpus=settings.ray_cpus,
            cpu_hour_usd=settings.cpu_hour_usd,
        ),
        clock=system_clock,
        own_recipes=settings.recipes,
        warm_ray=_warm_ray(settings, recipes),
    )


def _warm_ray(settings: Settings, recipes: Mapping[str, Recipe]) -> WarmRay | None:
    """None when each run has a Ray of its own, or all use the cluster of Ray's own variable RAY_ADDRESS."""
    if settings.ray_idle_s == 0 or os.environ.get("RAY_ADDRESS"):
        return None
    cpus = settings.ray_cpus * settings.max_running
    preload = sorted({recipe.preload for recipe in recipes.values() if recipe.shares_ray and recipe.preload})
    return WarmRay(settings.data_dir / "ray", cpus, settings.ray_idle_s, preload=preload)
