"""The world of the evaluator's tests: a real database, fakes of everything outside."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from sqlalchemy import select

from modelyard_contracts import (
    EvaluationFinished,
    EvaluationRequested,
    Message,
    ResourceChange,
    ResourceChanged,
    RolloutRequested,
)
from modelyard_contracts.codec import decode
from modelyard_contracts.manifest import (
    Feature,
    FeatureSchema,
    FileEntry,
    ModelManifest,
    TrainingLineage,
    digest_of,
    signed,
)
from modelyard_contracts.policies import GatePolicy
from modelyard_evaluator import events, store
from modelyard_evaluator.domain.model import Evaluation
from modelyard_evaluator.domain.ports import Away, Known, Refused
from modelyard_evaluator.processes import scorer_zygote
from modelyard_evaluator.stages import Deps
from modelyard_evaluator.usecases import advance
from modelyard_runtime.clock import FakeClock
from modelyard_runtime.database import Database, migrate, open_engine
from modelyard_runtime.tables import OUTBOX
from modelyard_zygote import Zygote

MODEL = "churn"
Sent = TypeVar("Sent", bound=Message)
DAY = datetime(2026, 1, 1, tzinfo=UTC)


SCHEMA = FeatureSchema(features=(Feature(name="age"),), classes=("no", "yes"))


def known(
    version: int, *, dataset: str | None = "sha256:" + "a" * 64, schema: FeatureSchema = SCHEMA, **lineage: Any
) -> Known:
    manifest = ModelManifest(
        model=MODEL,
        flavour="sklearn",
        files=(FileEntry(path="model.bin", digest=digest_of(str(version).encode()), size_bytes=3),),
        **signed(schema),
        training=TrainingLineage(
            recipe="test",
            dataset_digest=dataset,
            **{"train_until": DAY + timedelta(days=version), **lineage},
        ),
    )
    return Known(version, manifest.digest, manifest, DAY + timedelta(days=30))


@dataclass
class FakeRegistry:
    versions: dict[int, Known] = field(default_factory=lambda: {version: known(version) for version in (1, 2, 3)})
    champion_version: int | None = 1
    approved_versions: list[int] = field(default_factory=list)
    gate: GatePolicy = field(default_factory=lambda: GatePolicy(min_rows=300))
    away: bool = False
    datasets: list[dict[str, Any]] = field(default_factory=list)

    def version(self, model: str, version: int) -> Known:
        self._here()
        if version not in self.versions:
            raise Refused(f"no version {version} of {model}")
        return self.versions[version]

    def champion(self, model: str) -> int | None:
        self._here()
        return self.champion_version

    def approved(self, model: str) -> list[int]:
        self._here()
        return self.approved_versions

    def policy(self, model: str) -> GatePolicy:
        self._here()
        return self.gate

    def download(self, manifest: ModelManifest, folder: Path) -> None:
        self._here()

    def download_dataset(self, digest: str, file: Path) -> None:
        self._here()

    def register_dataset(self, file: Path, **given: Any) -> str:
        self._here()
        self.datasets.append(given)
        return digest_of(b"rows")

    def _here(self) -> None:
        if self.away:
            raise Away("the registry: connection refused")


@dataclass
class FakeLabels:
    rows: int = 1_000
    away: bool = False
    since: list[datetime] = field(default_factory=list)

    def count(self, model: str, since: datetime, schema_ids: tuple[str, ...]) -> int:
        self.since.append(since)
        if self.away:
            raise Away("ClickHouse: connection refused")
        return self.rows


@dataclass
class FakeScorer:
    """Says what a test wants it to have found."""

    found: dict[str, Any] = field(default_factory=dict)
    pinned_rows: int = 1_000
    pairs: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """What is found of (old, new)."""
    costs: dict[str, dict[str, Any]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    error: Exception | None = None
    jobs: list[dict[str, Any]] = field(default_factory=list)
    warmed: int = 0

    def warm(self) -> None:
        self.warmed += 1

    def pin(self, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
        self.jobs.append(job)
        baseline = "no" if job["source"] == "dataset" else None
        return {"rows": self.pinned_rows, "columns": {"age": "double"}, "source": {}, "baseline_class": baseline}

    def measure(self, folder: Path, side: str) -> dict[str, Any]:
        if side in self.broken:
            raise Refused(f"{side} cannot be scored")
        if self.error is not None:
            raise self.error
        return {"latency_ms_p95": 2.0, "memory_mib": 100.0, **self.costs.get(side, {})}

    def compare(self, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
        self.jobs.append(job)
        return {**a_comparison(), **self.found, **self.pairs.get((job["old"], job["new"]), {}), "by_class": {}}


def a_comparison(**changes: Any) -> dict[str, Any]:
    """A challenger that is clearly better."""
    return {
        "metric": "accuracy",
        "rows": 1_000,
        "champion": 0.70,
        "challenger": 0.76,
        "difference": 0.06,
        "low": 0.03,
        "high": 0.09,
        "p_value": 0.0001,
        "test": "mcnemar",
        "wins": 100,
        "losses": 40,
        **changes,
    }


class World:
    def __init__(self, folder: Path, url: str) -> None:
        self.clock = FakeClock(DAY + timedelta(days=40))
        self.database = Database(open_engine(url), self.clock)
        migrate(self.database.engine, "modelyard_evaluator:migrations")
        self.registry, self.labels, self.scorer = FakeRegistry(), FakeLabels(), FakeScorer()
        self.deps = Deps(self.database, self.registry, self.labels, self.scorer, self.clock, folder / "work")

    def deliver(self, event: ResourceChanged | EvaluationRequested) -> None:
        events.handle(self.deps, event)

    def work(self, seconds: float = 0.0) -> None:
        """Let time pass, and do what is due."""
        self.clock.advance(seconds)
        for _ in range(6):
            with self.database.read() as db:
                due = store.due(db, self.clock())
            for evaluation in due:
                advance(self.deps, evaluation)

    def registered(self, version: int = 2, **more: Any) -> ResourceChanged:
        given: dict[str, Any] = {
            "event_id": uuid4(),
            "occurred_at": self.clock(),
            "correlation_id": uuid4(),
            "model": MODEL,
            "revision": version,
            "change": ResourceChange.VERSION_REGISTERED,
            "version": version,
            "actor": "trainer",
        }
        return ResourceChanged(**{**given, **more})

    def evaluations(self) -> list[Evaluation]:
        with self.database.read() as db:
            return store.newest(db, None, 100)

    def told(self) -> list[EvaluationFinished]:
        return self._sent(EvaluationFinished)

    def asked(self) -> list[RolloutRequested]:
        return self._sent(RolloutRequested)

    def _sent(self, kind: type[Sent]) -> list[Sent]:
        query = select(OUTBOX.c.body).where(OUTBOX.c.topic == kind.TOPIC).order_by(OUTBOX.c.position)
        with self.database.read() as db:
            return [decode(body, kind) for body in db.execute(query).scalars()]


@pytest.fixture
def world(tmp_path: Path, database_url: str) -> Iterator[World]:
    world = World(tmp_path, database_url)
    yield world
    world.database.close()


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    zygote = scorer_zygote(idle_s=300.0)
    yield zygote
    zygote.close()
