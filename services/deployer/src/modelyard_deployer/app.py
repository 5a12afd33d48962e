"""Composition root: the only module that reads settings, opens connections and closes them in reverse."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from modelyard import RegistryClient
from modelyard_deployer import api, events
from modelyard_deployer.clients.monitor import HttpMonitor
from modelyard_deployer.clients.registry import HttpRegistry
from modelyard_deployer.domain.decide import Limits
from modelyard_deployer.domain.ports import Deps
from modelyard_deployer.domain.rollouts import Rollout
from modelyard_deployer.domain.votes import Vote
from modelyard_deployer.domain.workloads import Resources
from modelyard_deployer.reconcile.admission import Admission
from modelyard_deployer.reconcile.evidence import Evidence
from modelyard_deployer.reconcile.members import Members
from modelyard_deployer.reconcile.reconciler import Reconciler, Sizing
from modelyard_deployer.reconcile.scheduler import Scheduler
from modelyard_deployer.reconcile.upcoming import Upcoming
from modelyard_deployer.reconcile.weights import Weights, WeightUpdates
from modelyard_deployer.settings import Settings, serving_tokens
from modelyard_deployer.store.records import SqlStore
from modelyard_deployer.workloads.connections import REFRESH_S, ConnectionFiles
from modelyard_deployer.workloads.downloads import Downloads
from modelyard_deployer.workloads.housekeeping import Housekeeping
from modelyard_deployer.workloads.lifecycle import Lifecycle
from modelyard_deployer.workloads.local import LocalWorkloads
from modelyard_deployer.workloads.prices import ConnectionPrices
from modelyard_deployer.workloads.processes import LocalProcesses
from modelyard_deployer.workloads.records import ReplicaRecords
from modelyard_runtime.assembly import Assembly
from modelyard_runtime.changes import ChangeLog
from modelyard_runtime.metrics import Metrics
from modelyard_runtime.retention import Periodic
from modelyard_runtime.service import Background, Service
from modelyard_runtime.tracing import outgoing_headers

MODELS: Final = "models"
"""Folder below the data folder with the files of versions."""
STOP_REPLICAS_WITHIN_S: Final = 15.0


def build(settings: Settings) -> Service:
    """Wire the service; nothing connects before it runs."""
    data, key = settings.data_dir, settings.service_key
    data.mkdir(parents=True, exist_ok=True)
    assembly = Assembly("deployer", settings)
    store, clock = SqlStore(assembly.database), assembly.clock
    client = RegistryClient(settings.registry_url, key, cache_dir=data / "blobs", context=outgoing_headers)
    registry, monitor = HttpRegistry(client), HttpMonitor(settings.monitor_url, key)
    connections = ConnectionFiles(data / "replicas", registry.connection, settings.provider_keys)
    processes = _processes(settings, connections)

    def wake(model: str) -> None:
        scheduler.notify(model)

    downloads = Downloads(registry, data / MODELS, clock, wake)
    prices = ConnectionPrices(connections, data / MODELS, wake)
    evidence = Evidence(monitor, clock, settings.evidence_every_s, wake)
    upcoming = Upcoming(store, registry, clock, wake)
    replicas = ReplicaRecords(data / "replicas")
    lifecycle = Lifecycle(processes, downloads, replicas, clock, settings.start_timeout_s)
    workloads = LocalWorkloads(lifecycle, settings.drain_s)
    limits = Limits(prepare_timeout_s=settings.prepare_timeout_s, apply_wait_s=settings.apply_wait_s)
    admission = Admission(store, registry, clock, upcoming)
    reconciler = Reconciler(
        store,
        admission,
        workloads,
        evidence,
        clock,
        limits,
        Members(store, clock, limits.max_failures),
        _sizing(settings),
        _transition_counter(assembly.metrics),
        assembly.policy_time,
        prices.of,
    )
    scheduler = Scheduler(reconciler, workloads, workloads.tidy)
    weights = Weights(store, monitor, registry, clock, wake, _weight_gauge(assembly.metrics))
    updates = WeightUpdates(weights, clock, policy_time=assembly.policy_time)
    deps = Deps(store, registry, clock, workloads, wake, assembly.policy_time)
    housekeeping = _housekeeping(settings, deps, downloads)

    async def adopt() -> None:
        await asyncio.to_thread(workloads.adopt)

    async def close() -> None:
        if settings.stop_replicas_on_exit:
            with contextlib.suppress(Exception):  # the tables may not exist if the start failed
                await asyncio.to_thread(_stop_all, workloads)
        for resource in (updates, evidence, upcoming, workloads, downloads, processes, monitor, client):
            resource.close()

    return assembly.service(
        events.handlers(deps),
        lambda app: api.add_routes(app, deps, ChangeLog(assembly.database)),
        background=[scheduler.run, updates.run, *_periodic(housekeeping, prices)],
        on_start=adopt,
        on_stop=close,
    )


def _periodic(housekeeping: Housekeeping, prices: ConnectionPrices) -> list[Background]:
    refresh = Periodic("reading connections", prices.refresh, every_s=REFRESH_S, first_s=REFRESH_S)
    return [Periodic("housekeeping", housekeeping.tidy).run, refresh.run]


def _processes(settings: Settings, connections: ConnectionFiles) -> LocalProcesses:
    return LocalProcesses(
        settings.data_dir / "replicas",
        serving_tokens(settings),
        host=settings.replica_host,
        advertised_host=settings.replica_advertised_host,
        zygote_idle_s=settings.zygote_idle_s,
        allow_unconfined=settings.allow_unconfined,
        connections=connections,
    )


def _housekeeping(settings: Settings, deps: Deps, downloads: Downloads) -> Housekeeping:
    return Housekeeping(
        deps.store,
        deps.workloads,
        downloads,
        deps.clock,
        settings.data_dir / "blobs",
        rollback_versions=settings.keep_rollback_versions,
        model_folders=settings.keep_model_folders,
        blobs_keep=timedelta(days=settings.keep_blobs_days),
    )


def _sizing(settings: Settings) -> Sizing:
    resources = Resources(memory_mib=settings.replica_memory_mib or None)
    return Sizing(settings.replicas_per_version, resources, settings.drain_s)


def _transition_counter(metrics: Metrics) -> Callable[[Rollout], None]:
    reached = metrics.counter("rollouts_total", "Rollouts that reached a state", ("model", "state"))

    def moved(rollout: Rollout) -> None:
        reached.labels(rollout.model, rollout.state).inc()

    return moved


def _weight_gauge(metrics: Metrics) -> Callable[[Vote], None]:
    weight = metrics.gauge("member_weight", "Share of a version in the vote of its model", ("model", "version"))

    def updated(vote: Vote) -> None:
        for departure in vote.departed:
            weight.labels(vote.model, departure.version).set(0.0)
        for member in vote.members:
            weight.labels(vote.model, member.version).set(member.weight)

    return updated


def _stop_all(workloads: LocalWorkloads) -> None:
    until = time.monotonic() + STOP_REPLICAS_WITHIN_S
    while not workloads.stop_all() and time.monotonic() < until:
        time.sleep(0.05)
