"""Composition root: what is built from what, and the order of start and stop."""

import asyncio
import contextlib
import gc
import secrets
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI

from modelyard_contracts import RoutePublished
from modelyard_contracts.codec import Codec
from modelyard_contracts.messages.serving import TextPolicy
from modelyard_router.api.asgi import Api, ApiLimits, Endpoints
from modelyard_router.api.control import Parts, build_control
from modelyard_router.api.metrics import CountersCollector, Gauges
from modelyard_router.clients.keys import Keys
from modelyard_router.domain.counters import Counters
from modelyard_router.domain.hashing import EntityHasher
from modelyard_router.events.announcer import Announcer
from modelyard_router.events.reader import RouteReader
from modelyard_router.fastpath.fast_path import FastPath
from modelyard_router.fastpath.protocol import protocol_of
from modelyard_router.plan.compile import compile_route
from modelyard_router.plan.executor import Executor
from modelyard_router.plan.leaf import ModelServers
from modelyard_router.plan.route import Route
from modelyard_router.settings import Settings
from modelyard_router.spool.shipper import Shipper, ShipperOptions
from modelyard_router.spool.spool import Spool
from modelyard_router.store.acknowledged import Acknowledged
from modelyard_router.store.route_tables import RouteTables
from modelyard_router.upstream.pool import PoolLimits
from modelyard_router.upstream.replicas import Replicas
from modelyard_router.usecases.feedback import Feedback
from modelyard_router.usecases.generation import GenerationRecorder
from modelyard_router.usecases.generations import Generations, StreamLimits
from modelyard_router.usecases.predictions import Predictions
from modelyard_router.usecases.recorder import Recorder
from modelyard_router.usecases.shadows import Shadows
from modelyard_runtime.access import Authenticator, registry_introspection
from modelyard_runtime.clock import system_clock
from modelyard_runtime.errors import StartupError
from modelyard_runtime.health import Readiness
from modelyard_runtime.metrics import Metrics
from modelyard_runtime.schemas import RegistrySchemas
from modelyard_runtime.service import Service
from modelyard_runtime.wakeup import pause

ID_FILE: Final = "router-id"
WATCH_S: Final = 0.5


class RouterApp:
    """All parts of a running router, and its ASGI application. Call `start` first, on the event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.readiness = Readiness()
        self.readiness.set("routes", False, "no route table read yet")
        self.counters = Counters()
        self.spool = Spool(settings.data_dir / "spool", max_bytes=settings.spool_max_bytes, fsync=settings.spool_fsync)
        self.router_id = _router_id(settings.data_dir)
        options = ShipperOptions(settings.brokers, self.router_id, interval_s=settings.ship_interval_ms / 1000)
        self.shipper = Shipper(self.spool, options, self.readiness)
        self.api: Api
        self.fast_path: FastPath | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.api(scope, receive, send)

    async def start(self) -> None:
        """Build everything that needs the event loop."""
        settings = self.settings
        limits = PoolLimits(settings.max_connections, settings.connect_timeout_ms / 1000, tls=settings.upstream_tls())
        self.replicas = Replicas(limits)
        self._open_tables()
        self._follow_routes()
        predictions, generations = self._open_use_cases()
        self._open_api(predictions, generations)
        if not settings.spool_fsync:  # with it an answer waits for the disk, which the fast path cannot
            self.fast_path = FastPath(self.api, predictions, self.replicas, self.tables, self.keys)
        gc.collect()
        gc.freeze()  # these objects stay for good: the collector need not visit them again

    def _open_tables(self) -> None:
        self._serving = self.settings.serving_secrets()
        self._sent = self._serving()
        self.tables = RouteTables(self.settings.data_dir, self._compile, self._tables_changed)
        self.tables.load()
        if self.tables.routes:
            self.readiness.set("routes", True, "from the last run")

    def _compile(self, published: RoutePublished) -> Route:
        return compile_route(published, ModelServers(self._sent.value, self.settings.allowed_addresses))

    def _follow_serving_token(self) -> None:
        """After a rotation the heads of all requests to model servers carry the new token."""
        if (current := self._serving()) != self._sent:
            self._sent = current
            self.tables.recompile()

    def _open_use_cases(self) -> tuple[Predictions, Generations]:
        settings = self.settings
        executor = Executor(self.replicas)
        self._hasher = hasher = EntityHasher(settings.entity_secrets())
        recorder = Recorder(self.spool, self.counters, hasher)
        self.shadows = Shadows(executor, recorder, self.spool, self.counters, settings.max_shadow_copies)
        predictions = Predictions(executor, self.spool, recorder, self.shadows, max_rows=settings.max_rows)
        texts = GenerationRecorder(self.spool, self.counters, hasher, TextPolicy(settings.text_policy))
        limits = StreamLimits(settings.stream_stall_ms / 1000, settings.stream_total_ms / 1000)
        return predictions, Generations(executor, self.replicas, self.spool, texts, limits)

    def _follow_routes(self) -> None:
        settings = self.settings
        acknowledged = Acknowledged(settings.data_dir)
        signer = settings.signer("router")
        self._announcer = Announcer(settings.brokers, self.router_id, system_clock, acknowledged, signer)
        codec = Codec(RegistrySchemas(settings.registry_url, settings.service_key))
        self._reader = RouteReader(
            settings.brokers,
            self.tables,
            self._announcer,
            self.readiness,
            self.counters,
            codec,
            settings.gate("router", self.readiness),
        )

    def _open_api(self, predictions: Predictions, generations: Generations) -> None:
        settings = self.settings
        introspection = registry_introspection(settings.registry_url, settings.service_key)
        # With a key of its own the router asks the registry about every key, also the admin's.
        admin_key = settings.admin_key if settings.service_key_file is None else None
        authenticator = Authenticator(admin_key, introspection, system_clock)
        self.keys = Keys(authenticator, settings.remember_key_s)
        metrics = Metrics("router")
        metrics.registry.register(CountersCollector(self.counters, self._gauges()))
        feedback = Feedback(self.spool, self.counters, max_rows=settings.max_rows)
        limits = ApiLimits(
            settings.max_body_bytes,
            settings.max_infer_body_bytes,
            settings.max_in_flight,
            settings.read_timeout_ms / 1000,
        )
        endpoints = Endpoints(predictions, generations, feedback, self.readiness)
        self.api = Api(endpoints, self.tables, self.keys, self.counters, limits)
        self._parts = Parts(self.tables, self.spool, self.shipper, self.readiness, metrics, self.router_id)
        self.api.control = self.control_api(authenticator)

    def control_api(self, authenticator: Authenticator) -> FastAPI:
        """The control API, and the data endpoints within it, for keys that `authenticator` knows."""
        api = self.api.with_keys(Keys(authenticator, self.settings.remember_key_s))
        return build_control(self._parts, authenticator, api.data, self.settings.max_infer_body_bytes)

    async def stop(self) -> None:
        """Close connections and the spool; also after a start that failed half way."""
        with contextlib.suppress(AttributeError):
            await self.shadows.stop()
            self.replicas.close()
        self.spool.close()

    async def read_routes(self, stop: asyncio.Event) -> None:
        await self._reader.run(stop)

    async def announce(self, stop: asyncio.Event) -> None:
        await self._announcer.run(stop)

    async def ship(self, stop: asyncio.Event) -> None:
        await self.shipper.run(stop)

    async def watch(self, stop: asyncio.Event) -> None:
        """Report the spool's state in the readiness; an unreachable broker is no reason to stop serving."""
        while not stop.is_set():
            spool = self.spool
            spool.check_folder()
            self._hasher.refresh()
            self._follow_serving_token()
            if spool.full:
                self.readiness.set("spool", False, str(spool.full_error()))
            else:
                self.readiness.set("spool", not spool.trouble, spool.trouble)
            unsent = f"the broker is unreachable, {self.shipper.unsent} records wait: {self.shipper.reason}"
            self.readiness.set("log", True, unsent if self.shipper.broker_away else "")
            await pause(stop, WATCH_S)

    def _tables_changed(self) -> None:
        routes = self.tables.routes.values()
        self.replicas.keep(address for route in routes for leaf in route.leaves for address in leaf.addresses)

    def _gauges(self) -> Gauges:
        spool, shipper = self.spool, self.shipper
        return {
            "in_flight_requests": ("Requests in flight.", lambda: self.api.in_flight),
            "spool_bytes": ("Bytes in the spool.", lambda: spool.size_bytes),
            "spool_unsent_records": ("Records that are not in Kafka yet.", lambda: shipper.unsent),
            "broker_away": ("1 while records cannot be sent.", lambda: float(shipper.broker_away)),
            "routes": ("Applied routes.", lambda: len(self.tables.routes)),
            "refused_routes": ("Published tables that cannot be used.", lambda: len(self.tables.refused)),
            "shadow_copies_in_flight": ("Copies in flight.", lambda: self.shadows.in_flight),
        }


def build(settings: Settings) -> Service:
    """The service; StartupError when the data folder cannot be used or belongs to another router."""
    app = RouterApp(settings)
    return Service(
        "router",
        settings,
        app,
        (app.read_routes, app.announce, app.ship, app.watch),
        app.start,
        app.stop,
        app.readiness,
        http=protocol_of(lambda: app.fast_path),
    )


def _router_id(folder: Path) -> str:
    """Made once per data folder: positions in Kafka belong to the folder's spool, so the name must not outlive it."""
    file = folder / "spool" / ID_FILE
    try:
        if file.exists() and (known := file.read_text().strip()):
            return known
        fresh = f"router-{secrets.token_hex(6)}"
        draft = file.with_suffix(".new")  # on a full disk an empty file would stay and be the name from then on
        draft.write_text(fresh)
        draft.replace(file)
    except OSError as error:
        raise StartupError(
            f"ROUTER_DATA_DIR: cannot use {file}: {error.strerror}; free disk space there, or give another folder"
        ) from error
    return fresh
