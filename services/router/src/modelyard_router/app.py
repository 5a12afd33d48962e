"""The composition root: what is made of what, and the order of starting and stopping."""

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
from modelyard_router.api import Api, ApiLimits, Pages
from modelyard_router.domain.tables import compile_route
from modelyard_router.events import Announcer, RouteReader
from modelyard_router.keys import Keys
from modelyard_router.lane.lane import Lane
from modelyard_router.lane.protocol import protocol_of
from modelyard_router.metrics import RouterMetrics
from modelyard_router.pages import PageSet
from modelyard_router.settings import Settings
from modelyard_router.spool.shipper import Shipper, ShipperOptions
from modelyard_router.spool.spool import Spool
from modelyard_router.tables import RouteTables
from modelyard_router.upstream.pool import PoolLimits
from modelyard_router.upstream.replicas import Replicas
from modelyard_router.usecases import Router
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
    """Everything that a running router holds, and its ASGI program. `start` comes first and needs the event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.readiness = Readiness()
        self.readiness.set("routes", False, "no route table read yet")
        self.metrics = RouterMetrics()
        self.spool = Spool(settings.data_dir / "spool", max_bytes=settings.spool_max_bytes, fsync=settings.spool_fsync)
        self.router_id = _router_id(settings.data_dir)
        options = ShipperOptions(
            settings.kafka_bootstrap_servers, self.router_id, interval_s=settings.ship_interval_ms / 1000
        )
        self.shipper = Shipper(self.spool, options, self.readiness)
        self._api: Api
        self.lane: Lane | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._api(scope, receive, send)

    async def start(self) -> None:
        settings = self.settings
        limits = PoolLimits(settings.max_connections, settings.connect_timeout_ms / 1000)
        self.replicas = Replicas(limits)
        compile_: Any = partial(compile_route, serving_token=serving_token(settings.admin_key))
        self.tables = RouteTables(settings.data_dir, compile_, self._tables_changed)
        self.tables.load()
        if self.tables.routes:
            self.readiness.set("routes", True, "from the last run")
        secret = hashlib.sha256(b"modelyard-entity:" + settings.admin_key.encode()).digest()
        router = Router(self.replicas, self.spool, self.metrics, entity_secret=secret, max_rows=settings.max_rows)
        authenticator = Authenticator(
            settings.admin_key, registry_introspection(settings.registry_url, settings.admin_key), system_clock
        )
        self._announcer = Announcer(settings.kafka_bootstrap_servers, self.router_id, system_clock)
        codec = Codec(RegistrySchemas(settings.registry_url, settings.admin_key))
        self._reader = RouteReader(
            settings.kafka_bootstrap_servers, self.tables, self._announcer, self.readiness, self.metrics, codec
        )
        metrics = Metrics("router")
        self._gauges()
        self.metrics.register(metrics)
        pages = PageSet(self.tables, self.spool, self.shipper, metrics, self.router_id)
        self.keys = Keys(authenticator, settings.remember_key_s)
        self._api = Api(
            router,
            self.tables,
            self.keys,
            self.readiness,
            self.metrics,
            ApiLimits(
                settings.max_body_bytes,
                settings.max_infer_body_bytes,
                settings.max_in_flight,
                settings.read_timeout_ms / 1000,
            ),
            Pages(pages.get),
        )
        if not settings.spool_fsync:  # with it an answer waits for the disk, which the short way cannot
            self.lane = Lane(self._api, router, self.replicas, self.tables, self.keys)
        gc.collect()
        gc.freeze()  # what is here now stays: the collector need not look at it again and again

    async def stop(self) -> None:
        with contextlib.suppress(AttributeError):  # the start failed half way
            self.replicas.close()
        self.spool.close()

    async def read_routes(self, stop: asyncio.Event) -> None:
        await self._reader.run(stop)

    async def announce(self, stop: asyncio.Event) -> None:
        await self._announcer.run(stop)

    async def ship(self, stop: asyncio.Event) -> None:
        await self.shipper.run(stop)

    async def watch(self, stop: asyncio.Event) -> None:
        """Say in the health what the spool's state is; a broker that is away is no reason to stop serving."""
        while not stop.is_set():
            spool = self.spool
            spool.look()
            if spool.full:
                self.readiness.set("spool", False, str(spool.too_full()))
            else:
                self.readiness.set("spool", not spool.trouble, spool.trouble)
            away = f"the broker is away, {self.shipper.unsent} records wait" if self.shipper.broker_away else ""
            self.readiness.set("log", True, away)
            await pause(stop, WATCH_S)

    def _tables_changed(self) -> None:
        routes = self.tables.routes.values()
        self.replicas.keep(address for route in routes for target in route.targets for address in target.addresses)

    def _gauges(self) -> None:
        spool, shipper = self.spool, self.shipper
        self.metrics.gauges = {
            "in_flight_requests": ("Requests being answered.", lambda: self._api.in_flight),
            "spool_bytes": ("Bytes in the spool.", lambda: spool.size_bytes),
            "spool_unsent_records": ("Records that Kafka has not taken.", lambda: shipper.unsent),
            "broker_away": ("1 while records cannot be sent.", lambda: float(shipper.broker_away)),
            "routes": ("Applied routes.", lambda: len(self.tables.routes)),
        }


def build(settings: Settings) -> Service:
    """StartupError when the data folder cannot be used or belongs to another router."""
    app = RouterApp(settings)
    return Service(
        "router",
        settings,
        app,
        (app.read_routes, app.announce, app.ship, app.watch),
        app.start,
        app.stop,
        app.readiness,
        http=protocol_of(lambda: app.lane),
    )


def _router_id(folder: Path) -> str:
    """Made once per data folder: positions in Kafka belong to the folder's spool, so the name must not outlive it."""
    file = folder / "spool" / ID_FILE
    try:
        if file.exists() and (known := file.read_text().strip()):
            return known
        fresh = f"router-{secrets.token_hex(6)}"
        draft = file.with_suffix(".new")  # on a full disk an empty file would stay, and be the name for good
        draft.write_text(fresh)
        draft.replace(file)
    except OSError as error:
        raise StartupError(
            f"ROUTER_DATA_DIR: cannot use {file}: {error.strerror}; free disk space there, or give another folder"
        ) from error
    return fresh
