"""The composition root: alone reads settings and opens connections; closes them in reverse."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from modelyard import RegistryClient
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
from modelyard_runtime.assembly import Assembly
from modelyard_runtime.metrics import Metrics
from modelyard_runtime.retention import Periodic
from modelyard_runtime.service import Service
from modelyard_runtime.tracing import outgoing_headers

STOP_REPLICAS_WITHIN_S: Final = 15.0


def build(settings: Settings) -> Service:
    """The whole service, wired; nothing is connected before it runs."""
    data, key = settings.data_dir, settings.admin_key
    data.mkdir(parents=True, exist_ok=True)
    whole = Assembly("deployer", settings)
    database, clock = whole.database, whole.clock
    client = RegistryClient(settings.registry_url, key, cache_dir=data / "blobs", context=outgoing_headers)
    registry, monitor, runtime = HttpRegistry(client), HttpMonitor(settings.monitor_url, key), _runtime(settings)

    def wake() -> None:
        loop.notify()

    def tidy() -> None:
        with database.read() as db:
            runtime.tidy({replica.id for replica in store.replicas(db)})

    fetcher = Fetcher(registry, data / "models", clock, wake)
    looks = Looks(monitor, clock, settings.look_every_s, wake)
    keeper_limits = KeeperLimits(settings.replicas_per_version, settings.start_timeout_s, settings.drain_s)
    keeper = Keeper(database, runtime, fetcher, clock, keeper_limits)
    limits = Limits(prepare_timeout_s=settings.prepare_timeout_s, apply_wait_s=settings.apply_wait_s)
    beginner = Beginner(database, registry, clock)
    loop = ReconcileLoop(Reconciler(database, beginner, keeper, looks, clock, limits, _counted(whole.metrics)), tidy)
    deps = Deps(database, registry, clock, wake, runtime.warm)
    housekeeping = Housekeeping(
        database,
        fetcher,
        data / "blobs",
        rollback_versions=settings.keep_rollback_versions,
        model_folders=settings.keep_model_folders,
        blobs_keep=timedelta(days=settings.keep_blobs_days),
    )

    async def adopt() -> None:
        await asyncio.to_thread(keeper.adopt)

    async def close() -> None:
        if settings.stop_replicas_on_exit:
            with contextlib.suppress(Exception):  # the tables may not be there if the start failed
                await asyncio.to_thread(_stop_all, keeper)
        for one in (looks, fetcher, runtime, monitor, client):
            one.close()

    return whole.service(
        events.handlers(deps),
        lambda app: api.add_routes(app, deps),
        background=[loop.run, Periodic("housekeeping", housekeeping.tidy).run],
        on_start=adopt,
        on_stop=close,
    )


def _runtime(settings: Settings) -> LocalProcesses:
    return LocalProcesses(
        settings.data_dir / "replicas",
        serving_token(settings.admin_key),
        host=settings.replica_host,
        advertised_host=settings.replica_advertised_host,
        zygote_idle_s=settings.zygote_idle_s,
    )


def _counted(metrics: Metrics) -> Callable[[Rollout], None]:
    ended = metrics.counter("rollouts_total", "Rollouts that reached a state", ("model", "state"))

    def moved(rollout: Rollout) -> None:
        ended.labels(rollout.model, rollout.state).inc()

    return moved


def _stop_all(keeper: Keeper) -> None:
    until = time.monotonic() + STOP_REPLICAS_WITHIN_S
    while not keeper.stop_all() and time.monotonic() < until:
        time.sleep(0.05)
