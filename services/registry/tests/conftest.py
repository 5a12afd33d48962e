"""The registry under test: a real app over a real database, without network and without a broker."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from modelyard import RegistryClient, VersionInfo
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
from modelyard_contracts.admission import FileScan, Finding, ScanReport, ScanVerdict, TensorDigest
from modelyard_contracts.manifest import (
    FileEntry,
    ModelManifest,
    TrainingLineage,
    digest_of,
    signed,
)
from modelyard_contracts.signature import Column, Output, Signature, Task
from modelyard_devstack.testing.postgres import Postgres
from modelyard_registry.app import Registry
from modelyard_registry.testing import ADMIN_KEY, InProcessRegistry, settings_in
from modelyard_runtime.clock import FakeClock

from .buckets import bucket as bucket  # fixtures
from .buckets import disk_s3 as disk_s3
from .buckets import s3_endpoint as s3_endpoint


def manifest_of(model: str = "elec", /, **files: bytes) -> ModelManifest:
    entries = [FileEntry(path=path, digest=digest_of(data), size_bytes=len(data)) for path, data in files.items()]
    return ModelManifest(
        model=model,
        flavour="sklearn",
        files=tuple(entries),
        **signed(Signature(columns=(Column(name="price"),), output=Output(task=Task.BINARY, classes=("down", "up")))),
        training=TrainingLineage(run_id="run-1", recipe="tabular-classifier", metrics={"accuracy": 0.9}),
    )


@dataclass
class World:
    opened: InProcessRegistry
    http: httpx.Client
    client: RegistryClient
    clock: FakeClock
    rules: "Rules"
    made: int = 0
    correlation_id: UUID = field(default_factory=uuid4)

    @property
    def registry(self) -> Registry:
        return self.opened.registry

    def blob_file(self, digest: str) -> Path:
        """The file of a blob that is stored as it is."""
        hexadecimal = digest.removeprefix("sha256:")
        return self.blobs_folder / "sha256" / hexadecimal[:2] / hexadecimal

    @property
    def blobs_folder(self) -> Path:
        return self.opened.settings.data_dir / "blobs"

    def client_with(self, token: str) -> RegistryClient:
        return RegistryClient("http://registry", token, transport=self.opened.transport)

    def key(self, *roles: str, workspace: str = "default", name: str = "ada") -> str:
        """The text of a new key."""
        text = self.client.create_key(name, {workspace: roles}).key
        assert text is not None
        return text

    def given_version(self, stage: VersionStage = VersionStage.REGISTERED, model: str = "elec") -> VersionInfo:
        """A version with bytes of its own, moved to that stage by the events that lead there."""
        self.made += 1
        data = f"bytes {self.made}".encode()
        if model not in [one.name for one in self.client.models()]:
            self.client.create_model(model)
        self.client.put_blob(data)
        made = self.client.create_version(
            manifest_of(model, m=data), idempotency_key=f"key-{self.made}", correlation_id=self.correlation_id
        )
        if stage is VersionStage.PENDING:
            return made
        version = self.client.finalize_version(model, made.version)
        if stage is VersionStage.REGISTERED:
            return version
        if stage is VersionStage.EVALUATED:
            policy = self.client.policy(model, "gate")
            self.client.set_policy(model, policy.model_copy(update={"approval": "manual"}))
            self.deliver(evaluation(version, Verdict.DEPLOY))
            self.client.set_policy(model, policy)
            return self.again(version)
        self.deliver(evaluation(version, Verdict.DEPLOY))
        if stage is VersionStage.LIVE:
            self.deliver(rollout(version, RolloutState.PROMOTED, at=self.clock.advance(1)))
        return self.again(version)

    def again(self, version: VersionInfo) -> VersionInfo:
        return self.client.version(version.model, version.version)

    def stage_of(self, version: VersionInfo) -> VersionStage:
        return self.again(version).stage

    def deliver(self, event: Message) -> None:
        self.opened.deliver(event)

    def queued(self) -> list[ResourceChanged]:
        return self.opened.messages()


def evaluation(version: VersionInfo, verdict: Verdict, **more: Any) -> EvaluationFinished:
    fields: dict[str, Any] = {
        "event_id": uuid4(),
        "occurred_at": datetime(2026, 1, 1, tzinfo=UTC),
        "correlation_id": uuid4(),
        "model": version.model,
        "evaluation_id": uuid4(),
        "challenger_version": version.version,
        "challenger_digest": version.digest,
        "verdict": verdict,
        "reasons": ("0.91 against 0.85 on 1,000 rows",),
    }
    return EvaluationFinished(**{**fields, **more})


def rollout(
    version: VersionInfo, state: RolloutState, *, at: datetime, revision: int = 1, **more: Any
) -> RolloutChanged:
    fields: dict[str, Any] = {
        "event_id": uuid4(),
        "occurred_at": at,
        "correlation_id": uuid4(),
        "model": version.model,
        "rollout_id": uuid4(),
        "revision": revision,
        "route": version.model,
        "strategy": RolloutStrategy.CANARY,
        "state": state,
        "to_version": version.version,
        "reason": "as planned",
    }
    return RolloutChanged(**{**fields, **more})


@pytest.fixture(scope="session")
def migrated_postgres(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a migrated PostgreSQL database to copy."""
    postgres.execute("CREATE DATABASE registry_migrated")
    folder = tmp_path_factory.mktemp("migrated-postgres")
    registry = Registry(settings_in(folder, database_url=postgres.url_of("registry_migrated")), FakeClock())
    registry.prepare()
    registry.database.close()
    return "registry_migrated"


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[World]:
    """For tests that do not depend on the kind of database."""
    yield from _opened(tmp_path)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Both databases."""
    if request.param == "sqlite":
        yield request.getfixturevalue("on_sqlite")
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    with postgres.database(request.getfixturevalue("migrated_postgres")) as url:
        yield from _opened(tmp_path, database_url=url)


class Rules:
    """A scanner that finds what each test sets: rule and verdict of files by their content."""

    def __init__(self) -> None:
        self.rules_version = "1"
        self.verdicts: dict[bytes, ScanVerdict] = {}
        self.tensors_of: dict[bytes, Sequence[TensorDigest]] = {}
        self.scans = 0

    def current_rules(self) -> tuple[str, ...]:
        return (self.rules_version,)

    def scan(self, folder: Path) -> ScanReport:
        self.scans += 1
        files = tuple(self._file(path, folder) for path in sorted(folder.rglob("*")) if path.is_file())
        verdict = ScanVerdict.worst(file.verdict for file in files)
        return ScanReport(rules_version=self.rules_version, verdict=verdict, files=files)

    def tensors(self, folder: Path) -> Sequence[TensorDigest]:
        """Tensors that the test set by the content of a file."""
        found = [self.tensors_of.get(path.read_bytes(), ()) for path in sorted(folder.rglob("*")) if path.is_file()]
        return [one for some in found for one in some]

    def _file(self, path: Path, folder: Path) -> FileScan:
        verdict = self.verdicts.get(path.read_bytes(), ScanVerdict.SAFE_FORMAT)
        finding = Finding(rule="test-rule", verdict=verdict, message="names os.system", remedy="save it as safetensors")
        bad = verdict.rank >= ScanVerdict.SUSPICIOUS.rank
        return FileScan(
            path=path.relative_to(folder).as_posix(),
            size_bytes=path.stat().st_size,
            format="pickle",
            verdict=verdict,
            findings=(finding,) if bad else (),
        )


def _opened(folder: Path, **settings: Any) -> Iterator[World]:
    clock = FakeClock()
    rules = Rules()
    with InProcessRegistry(folder, clock, scanner=rules, max_blob_bytes=3_000_000, **settings) as opened:
        http = httpx.Client(transport=opened.transport, base_url="http://registry")
        client = RegistryClient("http://registry", ADMIN_KEY, transport=opened.transport)
        yield World(opened, http, client, clock, rules)
