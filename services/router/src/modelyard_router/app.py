"""Composition root: what is built from what, and the order of start and stop."""

import asyncio
import contextlib
import gc
import hashlib
import secrets
from functools import partial
from pathlib import Path
from typing import Any, Final

from modelyard_contracts.codec import Codec
from modelyard_contracts.tokens import serving_token
from modelyard_router.api.asgi import Api, ApiLimits, Endpoints
from modelyard_router.api.metrics import CountersCollector, Gauges
from modelyard_router.api.views import Views
from modelyard_router.clients.keys import Keys
from modelyard_router.domain.counters import Counters
from modelyard_router.domain.routes import compile_route
from modelyard_router.events.announcer import Announcer
from modelyard_router.events.reader import RouteReader
from modelyard_router.fastpath.fast_path import FastPath
from modelyard_router.fastpath.protocol import protocol_of
from modelyard_router.settings import Settings
from modelyard_router.spool.shipper import Shipper, ShipperOptions
from modelyard_router.spool.spool import Spool
from modelyard_router.store.route_tables import RouteTables
from modelyard_router.upstream.pool import PoolLimits
from modelyard_router.upstream.replicas import Replicas
from modelyard_router.usecases.feedback import Feedback
from modelyard_router.usecases.predictions import Predictions
from modelyard_runtime.auth import Authenticator, registry_introspection
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
        options = ShipperOptions(
            settings.kafka_bootstrap_servers, self.router_id, interval_s=settings.ship_interval_ms / 1000
        )
        self.shipper = Shipper(self.spool, options, self.readiness)
        self.api: Api
        self.fast_path: FastPath | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.api(scope, receive, send)

    async def start(self) -> None:
        """Build everything that needs the event loop."""
        settings = self.settings
        self.replicas = Replicas(PoolLimits(settings.max_connections, settings.connect_timeout_ms / 1000))
        self._open_tables()
        self._follow_routes()
        predictions = Predictions(
            self.replicas,
            self.spool,
            self.counters,
            entity_secret=hashlib.sha256(b"modelyard-entity:" + settings.admin_key.encode()).digest(),
            max_rows=settings.max_rows,
        )
        self._open_api(predictions)
        if not settings.spool_fsync:  # with it an answer waits for the disk, which the fast path cannot
            self.fast_path = FastPath(self.api, predictions, self.replicas, self.tables, self.keys)
        gc.collect()
        gc.freeze()  # these objects stay for good: the collector need not visit them again

    def _open_tables(self) -> None:
        compile_: Any = partial(compile_route, serving_token=serving_token(self.settings.admin_key))
        self.tables = RouteTables(self.settings.data_dir, compile_, self._tables_changed)
        self.tables.load()
        if self.tables.routes:
            self.readiness.set("routes", True, "from the last run")

    def _follow_routes(self) -> None:
        settings = self.settings
        self._announcer = Announcer(settings.kafka_bootstrap_servers, self.router_id, system_clock)
        codec = Codec(RegistrySchemas(settings.registry_url, settings.admin_key))
        self._reader = RouteReader(
            settings.kafka_bootstrap_servers, self.tables, self._announcer, self.readiness, self.counters, codec
        )

    def _open_api(self, predictions: Predictions) -> None:
        settings = self.settings
        introspection = registry_introspection(settings.registry_url, settings.admin_key)
        authenticator = Authenticator(settings.admin_key, introspection, system_clock)
        self.keys = Keys(authenticator, settings.remember_key_s)
        metrics = Metrics("router")
        metrics.registry.register(CountersCollector(self.counters, self._gauges()))
        views = Views(self.tables, self.spool, self.shipper, metrics, self.router_id)
        feedback = Feedback(self.spool, self.counters, max_rows=settings.max_rows)
        limits = ApiLimits(
            settings.max_body_bytes,
            settings.max_infer_body_bytes,
            settings.max_in_flight,
            settings.read_timeout_ms / 1000,
        )
        endpoints = Endpoints(predictions, feedback, views.get, self.readiness)
        self.api = Api(endpoints, self.tables, self.keys, self.counters, limits)

    async def stop(self) -> None:
        """Close connections and the spool; also after a start that failed half way."""
        with contextlib.suppress(AttributeError):
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
            if spool.full:
                self.readiness.set("spool", False, str(spool.full_error()))
            else:
                self.readiness.set("spool", not spool.trouble, spool.trouble)
            unsent = f"the broker is unreachable, {self.shipper.unsent} records wait"
            self.readiness.set("log", True, unsent if self.shipper.broker_away else "")
            await pause(stop, WATCH_S)

    def _tables_changed(self) -> None:
        routes = self.tables.routes.values()
        self.replicas.keep(address for route in routes for target in route.targets for address in target.addresses)

    def _gauges(self) -> Gauges:
        spool, shipper = self.spool, self.shipper
        return {
            "in_flight_requests": ("Requests in flight.", lambda: self.api.in_flight),
            "spool_bytes": ("Bytes in the spool.", lambda: spool.size_bytes),
            "spool_unsent_records": ("Records that are not in Kafka yet.", lambda: shipper.unsent),
            "broker_away": ("1 while records cannot be sent.", lambda: float(shipper.broker_away)),
            "routes": ("Applied routes.", lambda: len(self.tables.routes)),
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
