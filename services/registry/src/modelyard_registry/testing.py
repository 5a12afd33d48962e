"""The real registry in the process of a test: SQLite and blobs in a folder, no Kafka.

```python
with InProcessRegistry(tmp_path, clock) as registry:
    client = RegistryClient("http://registry", registry.admin_key, transport=registry.transport)  # no socket
    client = RegistryClient(registry.serve(), registry.admin_key)  # over 127.0.0.1, also from subprocesses
```
"""

import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from uuid import uuid4

import httpx
import uvicorn
from anyio.from_thread import BlockingPortal, start_blocking_portal
from sqlalchemy import select
from starlette.types import ASGIApp, Receive, Scope, Send

from modelyard_contracts import (
    EvaluationFinished,
    Message,
    ResourceChanged,
    RolloutChanged,
    RolloutState,
    RolloutStrategy,
    Verdict,
    VersionStage,
)
from modelyard_contracts.admission import FileScan, ScanReport, ScanVerdict, TensorDigest
from modelyard_contracts.codec import decode
from modelyard_contracts.manifest import ManifestFile, ModelManifest, digest_of
from modelyard_contracts.policies import GatePolicy
from modelyard_registry.app import Registry
from modelyard_registry.domain.names import model_key
from modelyard_registry.domain.ports import Scanner
from modelyard_registry.domain.values import NewResource, ResourceKey
from modelyard_registry.events import handlers
from modelyard_registry.settings import Settings
from modelyard_registry.store.tables import METADATA
from modelyard_registry.usecases.history import origin_of
from modelyard_registry.usecases.policies import set_policy
from modelyard_registry.usecases.resources import create_resource
from modelyard_registry.usecases.versions import create_version, finalize_version
from modelyard_runtime.access import Authenticator
from modelyard_runtime.clock import Clock, FakeClock
from modelyard_runtime.http.problems import problem
from modelyard_runtime.kafka.letter_box import Waiting

MessageT = TypeVar("MessageT", bound=Message)
ADMIN_KEY: Final = "an-admin-key-for-tests"
SERVE_TIMEOUT_S: Final = 30.0
_OUTBOX: Final = METADATA.tables["outbox"]


class InProcessRegistry:
    """Open it in a `with`. folder: for the database and the blobs; the same folder again has the same content.

    clock: the time the registry sees. authenticator: checks keys; None is the registry's own. scanner: checks files;
    None admits every file, so that tests may register any bytes. settings: further fields of its Settings, such as
    `max_blob_bytes` or `database_url`; a given database must hold the tables.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock | None = None,
        authenticator: Authenticator | None = None,
        scanner: Scanner | None = None,
        **settings: Any,
    ) -> None:
        self.admin_key = ADMIN_KEY
        self.settings = settings_in(folder, **settings)
        self.clock: Clock = clock or FakeClock()
        if self.settings.database_url is None:
            _copy_template(self.settings.data_dir / "service.db")
        self.registry = Registry(self.settings, self.clock, authenticator, scanner or TrustingScanner(), NoLetters())
        self.app = _Switchable(self.registry.service.app)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.callback(self.registry.database.close)
        portal = self._open.enter_context(start_blocking_portal())
        self.transport: httpx.BaseTransport = InProcessTransport(self.app, portal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def serve(self) -> str:
        """Listen on a free port of 127.0.0.1 until the end of the `with`; returns the URL."""
        return self._open.enter_context(_served(self.app))

    @contextmanager
    def unavailable(self) -> Iterator[None]:
        """Answer every request with 503 within the block."""
        self.app.available = False
        try:
            yield
        finally:
            self.app.available = True

    def deliver(self, event: Message) -> None:
        """Handle an event as if it had arrived from Kafka; raises what the consumer loop would see."""
        known: dict[type[Message], Callable[[Any, Any], Any]] = dict(handlers(self.registry.deps))
        known[type(event)](event, None)

    def given_version(
        self,
        manifest: ModelManifest | ManifestFile,
        files: Mapping[str, bytes],
        stage: VersionStage = VersionStage.REGISTERED,
    ) -> int:
        """Register a version, creating its model if needed, and move it to `stage`; returns its number.

        files: bytes of every path in the manifest. stage: registered, evaluated (gate set to manual), approved, live,
        rejected. The stages are reached by the events that lead there.
        """
        file = manifest if isinstance(manifest, ManifestFile) else ManifestFile.write(manifest)
        deps, key = self.registry.deps, model_key(file.manifest.model)
        origin = origin_of(deps, "test")
        create_resource(deps, NewResource(key, "", "", {}), origin)
        for data in files.values():
            self.registry.blobs.put(digest_of(data), [data])
        version, _ = create_version(deps, key, file.data, idempotency_key=file.digest, origin=origin)
        finalize_version(deps, key, version.version, actor="test", may_allow_code=True)
        self._advance(key, version.version, version.digest, stage)
        return version.version

    def _advance(self, key: ResourceKey, version: int, digest: str, stage: VersionStage) -> None:
        if stage is VersionStage.REGISTERED:
            return
        if stage is VersionStage.EVALUATED:
            self._require_approval(key)
        verdict = Verdict.REJECT if stage is VersionStage.REJECTED else Verdict.DEPLOY
        self.deliver(_evaluation(key.reference, version, digest, verdict, self.clock()))
        if stage is VersionStage.LIVE:
            self.deliver(_promotion(key.reference, version, self.clock()))

    def _require_approval(self, key: ResourceKey) -> None:
        deps = self.registry.deps
        document = GatePolicy(approval="manual").model_dump(mode="json")
        set_policy(deps, key, "gate", document, expected_revision=None, origin=origin_of(deps, "test"))

    def messages(self) -> list[ResourceChanged]:
        """Events about resources that were queued for Kafka so far, oldest first."""
        return self.messages_of(ResourceChanged)

    def messages_of(self, kind: type[MessageT]) -> list[MessageT]:
        """Events of one topic that were queued for Kafka so far, oldest first."""
        with self.registry.database.read() as connection:
            query = select(_OUTBOX).where(_OUTBOX.c.topic == kind.TOPIC).order_by(_OUTBOX.c.position)
            return [decode(row.body, kind) for row in connection.execute(query)]


class NoLetters:
    """There are no dead letters; asking for them needs no Kafka."""

    topics: tuple[str, ...] = ()

    async def waiting(self, limit: int) -> list[Waiting]:
        return []

    async def handle_again(self, topic: str, through: int, limit: int) -> int:
        return 0


class TrustingScanner:
    """Finds every file safe: tests register bytes that are no model."""

    rules_version = "test-1"

    def current_rules(self) -> tuple[str, ...]:
        return (self.rules_version,)

    def scan(self, folder: Path) -> ScanReport:
        files = tuple(
            FileScan(
                path=path.relative_to(folder).as_posix(),
                size_bytes=path.stat().st_size,
                format="test",
                verdict=ScanVerdict.SAFE_FORMAT,
            )
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        )
        return ScanReport(rules_version=self.rules_version, verdict=ScanVerdict.SAFE_FORMAT, files=files)

    def tensors(self, folder: Path) -> Sequence[TensorDigest]:
        return ()


class InProcessTransport(httpx.BaseTransport):
    """Sends requests straight into an ASGI app that runs on an event loop of its own."""

    def __init__(self, app: ASGIApp, portal: BlockingPortal) -> None:
        self._inner = httpx.ASGITransport(app)
        self._portal = portal

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._portal.call(self._send, request)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        content = b"".join(request.stream) if isinstance(request.stream, httpx.SyncByteStream) else b""
        inner = httpx.Request(request.method, request.url, headers=request.headers, content=content)
        answer = await self._inner.handle_async_request(inner)
        return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())


class _Switchable:
    """An ASGI app that answers 503 while it is not available."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.available = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app if self.available else problem(503, "unavailable", "switched off by the test")
        await app(scope, receive, send)


def _evaluation(model: str, version: int, digest: str, verdict: Verdict, at: datetime) -> EvaluationFinished:
    return EvaluationFinished(
        event_id=uuid4(),
        occurred_at=at,
        correlation_id=uuid4(),
        model=model,
        evaluation_id=uuid4(),
        challenger_version=version,
        challenger_digest=digest,
        verdict=verdict,
        reasons=("set by the test",),
    )


def _promotion(model: str, version: int, at: datetime) -> RolloutChanged:
    return RolloutChanged(
        event_id=uuid4(),
        occurred_at=at,
        correlation_id=uuid4(),
        model=model,
        rollout_id=uuid4(),
        revision=1,
        route=model,
        strategy=RolloutStrategy.FULL,
        state=RolloutState.PROMOTED,
        to_version=version,
        reason="set by the test",
    )


def settings_in(folder: Path, **more: Any) -> Settings:
    """Settings of a registry in `folder`, with an admin key file there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "admin.key").write_text(ADMIN_KEY)
    values = {"admin_key_file": folder / "admin.key", "data_dir": folder / "data", "max_blob_bytes": 64 * 1024**2}
    return Settings(**{**values, **more})


def _copy_template(target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_template())


@cache
def _template() -> bytes:
    """A migrated and seeded SQLite file; copying it is faster than migrating for each test."""
    folder = Path(tempfile.mkdtemp(prefix="modelyard-registry-template-"))
    try:
        registry = Registry(settings_in(folder), FakeClock(), scanner=TrustingScanner())
        registry.prepare()
        registry.database.close()
        return (folder / "data" / "service.db").read_bytes()
    finally:
        shutil.rmtree(folder)


@contextmanager
def _served(app: ASGIApp) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            _wait_until_started(server)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(SERVE_TIMEOUT_S)


def _wait_until_started(server: uvicorn.Server) -> None:
    deadline = time.monotonic() + SERVE_TIMEOUT_S
    while not server.started:
        if time.monotonic() > deadline:
            raise AssertionError(f"the registry did not start within {SERVE_TIMEOUT_S:.0f} s")
        time.sleep(0.01)
