"""Composition root: the only module that reads settings and opens connections; closes them in reverse."""

import os
from collections.abc import Mapping
from datetime import timedelta

from fastapi import FastAPI

from modelyard import RegistryClient
from modelyard_runtime.assembly import Assembly
from modelyard_runtime.changes import ChangeLog
from modelyard_runtime.retention import Periodic
from modelyard_runtime.service import Service
from modelyard_runtime.tracing import outgoing_headers
from modelyard_trainer.api.learners import add_learners
from modelyard_trainer.api.routes import add_routes
from modelyard_trainer.clients.label_counts import StoredLabels
from modelyard_trainer.clients.registry import RegistryGateway
from modelyard_trainer.domain.limits import Limits
from modelyard_trainer.domain.recipes import Recipe
from modelyard_trainer.events.handlers import handlers
from modelyard_trainer.jobs.catalogue import known_recipes
from modelyard_trainer.jobs.local import LocalJobs
from modelyard_trainer.jobs.processes import PRELOAD, Workers
from modelyard_trainer.jobs.retention import Folders
from modelyard_trainer.jobs.warm_ray import WarmRay
from modelyard_trainer.online.supervisor import LearnerSupervisor
from modelyard_trainer.runs.scheduler import Scheduler
from modelyard_trainer.runs.supervisor import Supervisor
from modelyard_trainer.settings import Settings
from modelyard_trainer.store.learners import LearnerStore
from modelyard_trainer.store.runs import RunStore
from modelyard_trainer.store.schedules import ScheduleStore
from modelyard_trainer.usecases import Deps
from modelyard_trainer.worker.clickhouse import clickhouse
from modelyard_zygote import Zygote


def build(settings: Settings) -> Service:
    """Wire the service; nothing is connected before it runs."""
    assembly = Assembly("trainer", settings)
    client = RegistryClient(settings.registry_url, settings.service_key, context=outgoing_headers)
    gateway, runs, recipes = RegistryGateway(client), RunStore(assembly.database), known_recipes(settings.recipes)
    workers = _workers(settings)
    learners, schedules = LearnerStore(assembly.database), ScheduleStore(assembly.database)
    deps = Deps(
        runs=runs,
        registry=gateway,
        recipes=recipes,
        clock=assembly.clock,
        log_lines=workers.log_lines,
        learners=learners,
        policy_time=assembly.policy_time,
        schedules=schedules,
    )
    scheduler = Scheduler(deps, schedules, _stored_labels(settings))
    online = _learner_supervisor(settings, learners, gateway, deps)
    supervisor, changes = _supervisor(settings, workers, gateway, deps), ChangeLog(assembly.database)
    assembly.database.on_queued(supervisor.notify)

    async def close() -> None:
        client.close()

    return assembly.service(
        handlers(deps),
        lambda app: add_all(app, deps, changes, online),
        background=[supervisor.run, online.run, scheduler.run, Periodic("forgetting changes", changes.prune).run],
        on_stop=close,
    )


def add_all(app: FastAPI, deps: Deps, changes: ChangeLog, online: LearnerSupervisor) -> None:
    """Add all endpoints."""
    add_routes(app, deps, changes)
    add_learners(app, deps, online)


def _workers(settings: Settings) -> Workers:
    zygote = Zygote(PRELOAD, idle_s=settings.ray_idle_s)
    return Workers(settings.data_dir.resolve() / "runs", _secrets(settings), zygote)


def _secrets(settings: Settings) -> dict[str, str]:
    """Variables that only processes of the trainer get; none of them is the service's key."""
    return {"CLICKHOUSE_PASSWORD": settings.clickhouse_password.get_secret_value()}


def _clickhouse(settings: Settings) -> dict[str, str]:
    return {
        "url": settings.clickhouse_url,
        "user": settings.clickhouse_user,
        "database": settings.clickhouse_database,
    }


def _stored_labels(settings: Settings) -> StoredLabels:
    return StoredLabels(clickhouse(_clickhouse(settings), settings.clickhouse_password.get_secret_value()))


def _learner_supervisor(
    settings: Settings, learners: LearnerStore, gateway: RegistryGateway, deps: Deps
) -> LearnerSupervisor:
    folder = settings.data_dir.resolve() / "learners"
    workers = Workers(folder, _secrets(settings), module="modelyard_trainer.online")
    return LearnerSupervisor(learners, gateway, workers, _clickhouse(settings), deps.clock)


def _supervisor(settings: Settings, workers: Workers, gateway: RegistryGateway, deps: Deps) -> Supervisor:
    limits = _limits(settings)
    return Supervisor(
        runs=deps.runs,
        registry=gateway,
        jobs=LocalJobs(workers, gateway, Folders(workers, limits, deps.clock), warm_ray_of(settings, deps.recipes)),
        recipes=deps.recipes,
        clickhouse=_clickhouse(settings),
        limits=limits,
        clock=deps.clock,
        own_recipes=settings.recipes,
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_running=settings.max_running,
        max_attempts=settings.max_attempts,
        max_run_s=settings.max_run_s,
        tick_s=settings.tick_s,
        keep_run_dirs=settings.keep_run_dirs,
        keep_run_dirs_for=timedelta(days=settings.keep_run_days),
        ray_cpus=settings.ray_cpus,
        cpu_hour_usd=settings.cpu_hour_usd,
    )


def warm_ray_of(settings: Settings, recipes: Mapping[str, Recipe]) -> WarmRay | None:
    """None if each run has its own Ray, or all use the cluster of Ray's variable RAY_ADDRESS."""
    if settings.ray_idle_s == 0 or os.environ.get("RAY_ADDRESS"):
        return None
    cpus = settings.ray_cpus * settings.max_running
    preload = sorted({recipe.preload for recipe in recipes.values() if recipe.shares_ray and recipe.preload})
    return WarmRay(settings.data_dir / "ray", cpus, settings.ray_idle_s, preload=preload)
