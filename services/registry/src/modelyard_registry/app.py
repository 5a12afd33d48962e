"""Composition root: reads settings, opens connections, and wires everything through the runtime's Assembly."""

import asyncio
import logging
from typing import Final

from fastapi import FastAPI

from modelyard_contracts.codec import Codec
from modelyard_registry.api import aliases as aliases_api
from modelyard_registry.api import blobs as blobs_api
from modelyard_registry.api import cards as cards_api
from modelyard_registry.api import changes as changes_api
from modelyard_registry.api import collection as collection_api
from modelyard_registry.api import comparison as comparison_api
from modelyard_registry.api import connections as connections_api
from modelyard_registry.api import datasets as datasets_api
from modelyard_registry.api import experiments as experiments_api
from modelyard_registry.api import keys as keys_api
from modelyard_registry.api import mlflow as mlflow_api
from modelyard_registry.api import operations as operations_api
from modelyard_registry.api import overview as overview_api
from modelyard_registry.api import policies as policies_api
from modelyard_registry.api import resources as resources_api
from modelyard_registry.api import scans as scans_api
from modelyard_registry.api import schemas as schemas_api
from modelyard_registry.api import uploads as uploads_api
from modelyard_registry.api import versions as versions_api
from modelyard_registry.api import workspaces as workspaces_api
from modelyard_registry.domain.key_hashes import HashSecrets, derived_from
from modelyard_registry.domain.kinds import KINDS
from modelyard_registry.domain.ports import Deps, Scanner
from modelyard_registry.events import handlers
from modelyard_registry.scanning import IsolatedDescriber, IsolatedScanner, OsvSnapshot
from modelyard_registry.settings import Settings
from modelyard_registry.store.artifacts import Place, open_blobs
from modelyard_registry.store.service_keys import read_service_keys
from modelyard_registry.store.storage import SqlStorage
from modelyard_registry.store.stored_schemas import StoredSchemas
from modelyard_registry.usecases import keys, resources, schemas, service_keys
from modelyard_registry.usecases.admission import scan_outdated
from modelyard_registry.usecases.history import origin_of
from modelyard_registry.usecases.operations import record_resend
from modelyard_runtime.access import Authenticator, Principal
from modelyard_runtime.access.introspection import Introspected
from modelyard_runtime.access.principals import PrincipalKind
from modelyard_runtime.assembly import Assembly, Parts
from modelyard_runtime.changes import ChangeLog
from modelyard_runtime.clock import Clock, system_clock
from modelyard_runtime.errors import ModelyardError
from modelyard_runtime.health import Readiness
from modelyard_runtime.http.dead_letters import Letters
from modelyard_runtime.http.resends import Resending
from modelyard_runtime.kafka import ensure_topics
from modelyard_runtime.retention import Periodic
from modelyard_runtime.service import Service
from modelyard_runtime.settings import open_key_ring
from modelyard_runtime.wakeup import pause

NAME: Final = "registry"
CHECK_EVERY_S: Final = 5.0
RESCAN_EVERY_S: Final = 60.0
RESCAN_BUDGET_S: Final = 15.0
"""Time of a round of scans by new rules: at most a quarter of one core, and a thousand small versions."""
log = logging.getLogger(__name__)


class KafkaOptional(Readiness):
    """Stays ready while Kafka cannot be reached: requests are answered and the outbox keeps its events.

    A partition that stopped still makes the service unready, because a person must act.
    """

    def __init__(self, readiness: Readiness) -> None:
        super().__init__()
        self._readiness = readiness

    def set(self, name: str, ok: bool, detail: str = "") -> None:
        waits = name == "outbox" or detail.startswith("not connected")
        self._readiness.set(name, ok or waits, detail)


class Registry:
    """The opened registry; `service` runs it."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock = system_clock,
        authenticator: Authenticator | None = None,
        scanner: Scanner | None = None,
        letters: Letters | None = None,
    ) -> None:
        """authenticator, scanner, letters: for tests; None takes the registry's own keys, real files, and Kafka."""
        self._settings = settings
        self._service_keys: dict[str, bytes] = {}
        # first, because its error explains a wrong data folder best
        self.blobs, self.uploads = open_blobs(_place(settings), settings.max_blob_bytes)
        self._assembly = Assembly(NAME, settings, clock)
        self.database = self._assembly.database
        self._changes = ChangeLog(self.database)
        self._snapshot = OsvSnapshot(settings.osv_snapshot)
        secrets = _hash_secrets(settings)
        fingerprint = keys.fingerprint(settings.admin_key)
        self.deps = Deps(
            SqlStorage(self.database),
            self.blobs,
            clock,
            secrets,
            fingerprint,
            scanner or IsolatedScanner(self._snapshot),
            IsolatedDescriber(),
        )
        own = Authenticator(settings.admin_key, self._introspect, clock)
        self.service: Service = self._assembly.service(
            handlers(self.deps),
            self._add_routes,
            background=(
                Periodic("scanning versions again", self._scan_outdated, every_s=RESCAN_EVERY_S).run,
                Periodic("removing abandoned uploads", self._remove_abandoned).run,
                self._create_topics,
                self._watch_database,
                self._watch_service_keys,
            ),
            on_start=self._seed_in_thread,
            parts=self._parts(authenticator or own, letters),
        )

    def prepare(self) -> None:
        """Migrate and seed the database, and remove interrupted uploads."""
        self._assembly.migrate()
        self._seed()

    def _parts(self, authenticator: Authenticator, letters: Letters | None) -> Parts:
        return Parts(
            authenticator=authenticator,
            codec=Codec(StoredSchemas(self.deps.storage)),
            kafka_readiness=KafkaOptional(self._assembly.readiness),
            large_paths=dict.fromkeys(("/v1/blobs/", "/mlflow/"), self._settings.max_blob_bytes),
            letters=letters,
            record=self._record_resending,
        )

    async def _record_resending(self, found: Resending) -> None:
        """Dead letters of the registry itself."""
        origin = origin_of(self.deps, found.actor, found.reason)
        await asyncio.to_thread(record_resend, self.deps, NAME, found.topic, found.through, origin)

    def _add_routes(self, app: FastAPI) -> None:
        for routes in (workspaces_api, collection_api, blobs_api, datasets_api, keys_api, overview_api, operations_api):
            app.include_router(routes.routes(self.deps))
        app.include_router(uploads_api.routes(self.uploads))
        app.include_router(connections_api.routes(self.deps))
        for routes_of_models in (scans_api, comparison_api, cards_api):
            app.include_router(routes_of_models.routes(self.deps))
        for kind in KINDS:
            for kind_routes in (resources_api, versions_api, aliases_api, policies_api):
                app.include_router(kind_routes.routes(self.deps, kind))
        app.include_router(experiments_api.routes(self.deps))
        changes_api.install(app, self.deps, self._changes)
        schemas_api.install(app, self.deps)
        mlflow_api.install(app, self.deps)

    async def _introspect(self, token: str) -> Introspected | None:
        key = await asyncio.to_thread(keys.introspect, self.deps, token)
        if key is None:
            return None
        roles = {workspace: frozenset(names) for workspace, names in key.roles.items()}
        scopes = None if key.scopes is None else frozenset(key.scopes)
        kind: PrincipalKind = "service" if key.kind == "service" else "user"
        return Introspected(Principal(key.identity, kind, roles, scopes), key.expires_at)

    async def _seed_in_thread(self) -> None:
        await asyncio.to_thread(self._seed)

    def _seed(self) -> None:
        resources.seed_workspace(self.deps, origin_of(self.deps, NAME))
        schemas.seed(self.deps)
        self._read_service_keys()
        if removed := self.blobs.remove_abandoned():
            log.info("removed %d interrupted uploads", removed)

    def _remove_abandoned(self) -> None:
        """Every hour, as a bucket is shared by processes that may run for months."""
        if removed := self.blobs.remove_abandoned() + self.uploads.remove_abandoned():
            log.info("removed %d interrupted uploads", removed)

    def _read_service_keys(self) -> None:
        folder = self._settings.service_keys_dir
        if folder is None:
            return
        texts = read_service_keys(folder)
        seen = {service: keys.fingerprint(text) for service, text in texts.items()}
        if seen == self._service_keys:
            return
        new = service_keys.seed_service_keys(self.deps, texts, origin_of(self.deps, NAME))
        self._service_keys = seen
        if new:
            log.info("stored the hashes of %d new service keys", new)

    def _scan_outdated(self) -> None:
        self._assembly.readiness.set("known vulnerabilities", True, self._snapshot.described(self.deps.clock()))
        if done := scan_outdated(self.deps, budget_s=RESCAN_BUDGET_S, actor=NAME):
            log.info("scanned %d versions by the rules %s", done, self.deps.scanner.rules_version)

    async def _create_topics(self, stop: asyncio.Event) -> None:
        """Create the topics of all services, once Kafka can be reached."""
        while not stop.is_set():
            try:
                await ensure_topics(self._settings.brokers)
                self._assembly.readiness.set("topics", True)
                await stop.wait()
            except ModelyardError as error:
                self._assembly.readiness.set("topics", True, f"waiting: {error}")
                await pause(stop, 1.0)

    async def _watch_database(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await asyncio.to_thread(self._read_something)
                self._assembly.readiness.set("database", True)
            except ModelyardError as error:
                self._assembly.readiness.set("database", False, str(error))
            await pause(stop, CHECK_EVERY_S)

    async def _watch_service_keys(self, stop: asyncio.Event) -> None:
        """Notice new keys in the folder, so that a rotation needs no restart."""
        while not stop.is_set():
            await pause(stop, CHECK_EVERY_S)
            try:
                await asyncio.to_thread(self._read_service_keys)
            except ModelyardError as error:
                log.warning("service keys were not read: %s", error)

    def _read_something(self) -> None:
        with self.deps.storage.read() as records:
            records.schemas.text(1)


def _hash_secrets(settings: Settings) -> HashSecrets:
    if settings.key_hash_secret_file is None:
        ring = derived_from(settings.admin_key)
        return lambda: ring
    file = open_key_ring(settings.key_hash_secret_file, "REGISTRY_KEY_HASH_SECRET_FILE")
    return lambda: file.ring


def _place(settings: Settings) -> Place:
    return Place(
        settings.data_dir / "blobs",
        url=settings.artifact_url,
        endpoint=settings.artifact_endpoint_url,
        public_endpoint=settings.artifact_public_endpoint_url,
        direct=settings.artifact_direct_uploads,
        url_expiry_s=settings.artifact_url_expiry_s,
        key_file=settings.artifact_key_file,
    )
