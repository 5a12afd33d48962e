"""Composition root: alone reads settings and opens connections; closes them in reverse."""

import asyncio
import logging
from typing import Any, Final

from fastapi import FastAPI

from modelyard_contracts.codec import Codec
from modelyard_registry.api import blobs as blobs_api
from modelyard_registry.api import keys as keys_api
from modelyard_registry.api import models as models_api
from modelyard_registry.api import schemas as schemas_api
from modelyard_registry.api import versions as versions_api
from modelyard_registry.domain.ports import Deps
from modelyard_registry.events import GROUP, handlers
from modelyard_registry.settings import Settings
from modelyard_registry.store.blobs import FolderBlobs
from modelyard_registry.store.records import SqlStorage
from modelyard_registry.usecases import keys, schemas
from modelyard_runtime.auth import Authenticator, Principal, of_old_scopes
from modelyard_runtime.clock import Clock, system_clock
from modelyard_runtime.database import Database, migrate, open_engine
from modelyard_runtime.errors import ModelyardError, StartupError
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import create_app
from modelyard_runtime.inbox import forget_claims
from modelyard_runtime.kafka import DeadLetters, EventConsumer, ensure_topics
from modelyard_runtime.pauses import pause
from modelyard_runtime.relay import OutboxRelay
from modelyard_runtime.retention import Periodic
from modelyard_runtime.service import Service

NAME: Final = "registry"
CHECK_EVERY_S: Final = 5.0
log = logging.getLogger(__name__)


class KafkaMayBeAway(Readiness):
    """Requests are answered without Kafka, and the outbox keeps; only a partition that stopped needs a person."""

    def __init__(self, told: Readiness) -> None:
        super().__init__()
        self._told = told

    def set(self, name: str, ok: bool, detail: str = "") -> None:
        waits = name == "outbox" or detail.startswith("not connected")
        self._told.set(name, ok or waits, detail)


class SeededSchemas:
    """Where our own consumer finds schemas that this release does not carry."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    def by_id(self, schema_id: int) -> str | None:
        with self._deps.storage.read_schemas() as found:
            return found.text(schema_id) if schema_id < 2**31 else None

    def by_fingerprint(self, hexadecimal: str) -> str | None:
        with self._deps.storage.read_schemas() as found:
            known = found.by_fingerprint(hexadecimal)
        return known[1] if known else None


class Registry:
    """The registry, opened: its parts, and the service that runs them."""

    def __init__(self, settings: Settings, clock: Clock = system_clock) -> None:
        self._settings = settings
        self.readiness = Readiness()
        self.readiness.set("database", False, "opening")
        self.blobs = _open_blobs(settings)  # first: it says best what is wrong with the data folder
        self.database = Database(open_engine(settings.resolved_database_url), clock)
        secret = keys.key_secret(settings.admin_key)
        self.deps = Deps(SqlStorage(self.database), self.blobs, clock, secret)
        told = KafkaMayBeAway(self.readiness)
        bootstrap = settings.kafka_bootstrap_servers
        self.relay = OutboxRelay(self.database, bootstrap, NAME, readiness=told)
        self.consumer = EventConsumer(
            bootstrap=bootstrap,
            group=GROUP,
            service=NAME,
            handlers=handlers(self.deps),
            codec=Codec(SeededSchemas(self.deps)),
            dead_letters=DeadLetters(bootstrap, NAME),
            readiness=told,
        )
        kept = settings.inbox_keep
        self._forgetting = Periodic("forgetting handled events", lambda: forget_claims(self.database, kept))
        self.app = self._api(Authenticator(settings.admin_key, self._introspect, clock))

    def service(self) -> Service:
        return Service(
            NAME,
            self._settings,
            self.app,
            background=(self.relay.run, self._consume, self._watch_database, self._forgetting.run),
            on_start=self.start,
            on_stop=self.stop,
            readiness=self.readiness,
        )

    async def start(self) -> None:
        """Tables, seeds, leftovers; StartupError says what is wrong."""
        await asyncio.to_thread(self.prepare)
        self.readiness.set("database", True)

    async def stop(self) -> None:
        await asyncio.to_thread(self.database.close)

    def prepare(self) -> None:
        """Migrate and seed the database, remove interrupted uploads."""
        try:
            migrate(self.database.engine, "modelyard_registry:migrations")
            schemas.seed(self.deps)
        except StartupError:
            raise
        except Exception as error:
            raise StartupError(f"REGISTRY_DATABASE_URL: the database cannot be used: {error}") from error
        if removed := self.blobs.remove_abandoned():
            log.info("removed %d uploads that were cut off", removed)

    def _api(self, authenticator: Authenticator) -> FastAPI:
        app = create_app(
            service=NAME,
            authenticator=authenticator,
            readiness=self.readiness,
            consumers=(self.consumer,),
            large_paths={"/v1/blobs/": self._settings.max_blob_bytes},
        )
        app.include_router(keys_api.introspection(self.deps))
        app.include_router(keys_api.routes(self.deps))
        app.include_router(models_api.routes(self.deps))
        app.include_router(versions_api.routes(self.deps))
        app.include_router(blobs_api.routes(self.deps))
        schemas_api.install(app, self.deps)
        return app

    async def _introspect(self, token: str) -> Principal | None:
        key = await asyncio.to_thread(keys.introspect, self.deps, token)
        return None if key is None else of_old_scopes(key.name, key.scopes)

    async def _consume(self, stop: asyncio.Event) -> None:
        """All topics are made here, whoever needs them; then our own are read."""
        while not stop.is_set():
            try:
                await ensure_topics(self._settings.kafka_bootstrap_servers)
                break
            except ModelyardError as error:
                self.readiness.set("topics", True, f"waiting: {error}")
                await pause(stop, 1.0)
        self.readiness.set("topics", True)
        await self.consumer.run(stop)

    async def _watch_database(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await asyncio.to_thread(self._ask_database)
                self.readiness.set("database", True)
            except ModelyardError as error:
                self.readiness.set("database", False, str(error))
            await pause(stop, CHECK_EVERY_S)

    def _ask_database(self) -> Any:
        with self.deps.storage.read() as records:
            return records.models("", 1)


def _open_blobs(settings: Settings) -> FolderBlobs:
    folder = settings.data_dir / "blobs"
    try:
        return FolderBlobs(folder, max_bytes=settings.max_blob_bytes)
    except OSError as error:
        raise StartupError(f"REGISTRY_DATA_DIR: cannot write {folder}: {error.strerror or error}") from error
