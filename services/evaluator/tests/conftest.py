"""The world of the evaluator's tests: a real database, the real registry in process, fakes of labels and scorer."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar
from uuid import uuid4

import pytest
from sqlalchemy import select

from modelyard import RegistryClient
from modelyard_contracts import (
    EvaluationFinished,
    EvaluationRequested,
    Message,
    ResourceChange,
    ResourceChanged,
    RolloutChanged,
    RolloutRequested,
    RolloutState,
    RolloutStrategy,
    Verdict,
    VersionStage,
)
from modelyard_contracts.codec import decode
from modelyard_contracts.documents import write
from modelyard_contracts.example import EXAMPLE_FILE, Example
from modelyard_contracts.manifest import (
    FileEntry,
    ManifestFile,
    ModelManifest,
    Permissions,
    TrainingLineage,
    digest_of,
    signed,
)
from modelyard_contracts.policies import GatePolicy
from modelyard_contracts.signature import Column, Output, Signature, Task, new_schema_id
from modelyard_devstack.testing.access import role_keys
from modelyard_evaluator.clients.registry import HttpRegistry
from modelyard_evaluator.domain.errors import NotMeasurable, Unreachable
from modelyard_evaluator.domain.evaluation import Evaluation, OpenAlarm
from modelyard_evaluator.domain.ports import Deps, RowCount
from modelyard_evaluator.domain.trial import Trial, TrialOutcome
from modelyard_evaluator.events.handlers import handle
from modelyard_evaluator.scoring.processes import scorer_zygote
from modelyard_evaluator.store.evaluations import SqlStorage
from modelyard_evaluator.usecases.advance import advance
from modelyard_registry.testing import InProcessRegistry
from modelyard_runtime.clock import FakeClock
from modelyard_runtime.database import Database, migrate, open_engine
from modelyard_runtime.tables import OUTBOX
from modelyard_zygote import Zygote

MODEL = "churn"
DAY = datetime(2026, 1, 1, tzinfo=UTC)
SERVICE = "service-evaluator@*"
"""The key that the evaluator calls the registry with."""
TRAINING_ROWS = b"the parquet file that the versions were trained on"
BINARY = Signature(columns=(Column(name="age"),), output=Output(task=Task.BINARY, classes=("no", "yes")))
VALUE = Signature(columns=(Column(name="age"),), output=Output(task=Task.REGRESSION))
Sent = TypeVar("Sent", bound=Message)


@dataclass
class FakeLabels:
    """Answers with a fixed number of rows and records the question."""

    rows: int = 1_000
    unusable: int = 0
    since: list[datetime] = field(default_factory=list)
    after: dict[datetime, int] = field(default_factory=dict)
    """Rows after a moment, where it is not `rows`."""

    def count(self, model: str, since: datetime, signatures: Mapping[str, Signature]) -> RowCount:
        self.since.append(since)
        later = [moment for moment in self.after if moment <= since + timedelta(seconds=1)]
        return RowCount(self.after[max(later)] if later else self.rows, self.unusable)


@dataclass
class FakeAlarms:
    """The open alarm that a test sets, or an error; records the questions."""

    alarm: OpenAlarm | None = None
    error: Unreachable | None = None
    asked: list[tuple[str, int]] = field(default_factory=list)

    def open_alarm(self, model: str, version: int) -> OpenAlarm | None:
        self.asked.append((model, version))
        if self.error is not None:
            raise self.error
        return self.alarm


@dataclass
class FakeScorer:
    """Returns the results a test sets, and records the jobs."""

    result: dict[str, Any] = field(default_factory=dict)
    """Changes to a_comparison() in every comparison."""
    results: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """Changes for the pair (old, new)."""
    pinned_rows: int = 1_000
    unusable_rows: int = 0
    costs: dict[str, dict[str, Any]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    """Sides that cannot be scored."""
    error: BaseException | None = None
    """Raised by every measurement."""
    jobs: list[dict[str, Any]] = field(default_factory=list)
    warmed: int = 0

    def warm(self) -> None:
        self.warmed += 1

    def pin(self, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
        self.jobs.append(job)
        (folder / "rows.parquet").write_bytes(str(sorted(job.items())).encode())
        return {
            "rows": self.pinned_rows,
            "unusable": self.unusable_rows,
            "columns": {"age": "double"},
            "label_column": "label",
            "source": {},
            "first_at": job["since"],
            "last_at": job["as_of"],
            "baseline": {"class": "no"} if job["source"] == "dataset" else None,
        }

    def measure(self, folder: Path, side: str) -> dict[str, Any]:
        assert (folder / side / "manifest.json").is_file()
        if side in self.broken:
            raise NotMeasurable(f"{side} cannot be scored")
        if self.error is not None:
            raise self.error
        return {"latency_ms_p95": 2.0, "memory_mib": 100.0, **self.costs.get(side, {})}

    def compare(self, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
        self.jobs.append(job)
        changes = {**self.result, **self.results.get((job["old"], job["new"]), {})}
        found = {**a_comparison(rows=self.pinned_rows), "metric": job["metric"], **changes}
        return {**found, "by_class": {}, "metrics": {}}


ANSWERED = Trial(
    TrialOutcome.ANSWERED, rows=3, load_s=0.5, p50_ms=1.5, p95_ms=2.25, memory_mib=120.0, answers_equal=True
)


@dataclass
class FakeTrials:
    """Returns the trial that a test sets, or raises its error; records the files that it was given."""

    trial: Trial = ANSWERED
    error: Exception | None = None
    given: list[set[str]] = field(default_factory=list)

    def run(self, folder: Path) -> Trial:
        self.given.append({path.name for path in folder.iterdir()})
        if self.error is not None:
            raise self.error
        return self.trial


def a_comparison(**changes: Any) -> dict[str, Any]:
    """A challenger that is significantly better."""
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
    """Versions 1 (champion), 2 and 3 of MODEL, registered on day 30; now is day 40."""

    def __init__(self, folder: Path, url: str) -> None:
        self._open = ExitStack()
        self.clock = FakeClock(DAY + timedelta(days=30))
        self.registry = self._open.enter_context(
            InProcessRegistry(folder / "registry", self.clock, authenticator=role_keys())
        )
        self.client = self.client_as("admin@*")
        self.database = Database(open_engine(url), self.clock)
        self._open.callback(self.database.close)
        migrate(self.database.engine, "modelyard_evaluator:migrations")
        self.labels, self.alarms, self.scorer, self.trials = FakeLabels(), FakeAlarms(), FakeScorer(), FakeTrials()
        self.deps = Deps(
            SqlStorage(self.database),
            HttpRegistry(self.client_as(SERVICE)),
            self.labels,
            self.alarms,
            self.scorer,
            self.trials,
            self.clock,
            folder / "work",
        )
        self.client.put_blob(TRAINING_ROWS)
        for version in (1, 2, 3):
            self.given_version(version)
        self.set_gate(min_rows=300)
        self.promote(1)
        self.clock.advance(timedelta(days=10).total_seconds())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    # registry
    def client_as(self, key: str) -> RegistryClient:
        """A client of the registry with a key of `role_keys`."""
        client = RegistryClient("http://registry", key, transport=self.registry.transport)
        self._open.callback(client.close)
        return client

    def given_version(
        self,
        number: int,
        *,
        model: str = MODEL,
        dataset: str | None = digest_of(TRAINING_ROWS),
        signature: Signature = BINARY,
        stage: VersionStage = VersionStage.REGISTERED,
        **lineage: Any,
    ) -> str:
        """Register version `number`, trained until day `number`; returns its digest."""
        data = f"{model} {number}".encode()
        manifest = ModelManifest(
            model=model,
            flavour="sklearn",
            files=(FileEntry(path="model.bin", digest=digest_of(data), size_bytes=len(data)),),
            task=signature.task,
            signature=signature,
            feature_schema_id=new_schema_id(signature),
            training=TrainingLineage(
                recipe="test",
                dataset_digest=dataset,
                **{"train_until": DAY + timedelta(days=number), **lineage},
            ),
        )
        assert self.registry.given_version(manifest, {"model.bin": data}, stage) == number
        return ManifestFile.write(manifest).digest

    def given_own_version(
        self,
        number: int,
        *,
        model: str = "own",
        dataset: str | None = None,
        signature: Signature = BINARY,
        flavour: str = "onnx",
    ) -> str:
        """Register a version that was made elsewhere, with an example; returns its digest."""
        files = {"model.onnx": f"{model} {number}".encode(), EXAMPLE_FILE: write(Example(rows=({"age": 30.0},)))}
        manifest = ModelManifest(
            model=model,
            flavour=flavour,
            permissions=Permissions() if flavour == "onnx" else Permissions(code=True, network=True, reason="reviewed"),
            files=tuple(FileEntry(path=path, digest=digest_of(it), size_bytes=len(it)) for path, it in files.items()),
            **signed(signature),
            training=TrainingLineage(recipe="elsewhere", dataset_digest=dataset, train_until=DAY),
            example=EXAMPLE_FILE,
        )
        assert self.registry.given_version(manifest, files, VersionStage.REGISTERED) == number
        return ManifestFile.write(manifest).digest

    def promote(self, version: int) -> None:
        """Approve a version and make it the champion; the champion before it stays approved."""
        self.approve(version)
        self._moved(version, RolloutState.PROMOTED)
        champion = self.client.alias(MODEL, "champion")
        assert champion is not None and champion.version == version

    def canary(self, version: int) -> None:
        """Approve a version and give it the first step of a canary."""
        self.approve(version)
        self._moved(version, RolloutState.SHIFTING)
        challenger = self.client.alias(MODEL, "challenger")
        assert challenger is not None and challenger.version == version

    def approve(self, version: int) -> None:
        self.clock.advance(1.0)
        info = self.client.version(MODEL, version)
        if info.stage is VersionStage.REGISTERED:
            self.registry.deliver(self._passed(version, info.digest))
        if self.client.version(MODEL, version).stage is VersionStage.EVALUATED:
            self.client.approve(MODEL, version, "by the test")

    def rolled_out(self, version: int, state: RolloutState, *, against: float = 0.0) -> None:
        """The registry hears of a live share of the version. against: whether its end speaks against the version."""
        evidence = {RolloutChanged.LIVE_SHARE: 1.0, RolloutChanged.AGAINST_VERSION: against}
        self._moved(version, state, evidence if state is RolloutState.ABORTED else {})

    def _moved(self, version: int, state: RolloutState, evidence: Mapping[str, float] = MappingProxyType({})) -> None:
        self.registry.deliver(
            RolloutChanged(
                event_id=uuid4(),
                occurred_at=self.clock(),
                correlation_id=uuid4(),
                model=MODEL,
                rollout_id=uuid4(),
                revision=1,
                route=MODEL,
                strategy=RolloutStrategy.CANARY,
                state=state,
                from_version=1 if version != 1 else None,
                to_version=version,
                reason="by the test",
                evidence=dict(evidence),
            )
        )

    def _passed(self, version: int, digest: str) -> EvaluationFinished:
        return EvaluationFinished(
            event_id=uuid4(),
            occurred_at=self.clock(),
            correlation_id=uuid4(),
            model=MODEL,
            evaluation_id=uuid4(),
            challenger_version=version,
            challenger_digest=digest,
            verdict=Verdict.DEPLOY,
            reasons=("by the test",),
        )

    def set_gate(self, **policy: Any) -> None:
        """Set the gate policy; by default a comparison is evaluated once."""
        policy = {"max_open_s": 0.0, **policy}
        self.client.create_model("fresh")
        for model in (MODEL, "fresh"):
            self.client.set_policy(model, GatePolicy(**policy))

    # events and time
    def registered(self, version: int = 2, **changes: Any) -> ResourceChanged:
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
        return ResourceChanged(**{**given, **changes})

    def deliver(self, event: ResourceChanged | EvaluationRequested) -> None:
        handle(self.deps, event)

    def work(self, seconds: float = 0.0) -> None:
        """Let time pass, then advance all due evaluations as far as possible."""
        self.clock.advance(seconds)
        for _ in range(6):
            with self.deps.storage.read() as evaluations:
                due = evaluations.due(self.clock())
            for evaluation in due:
                advance(self.deps, evaluation)

    # results
    def evaluations(self) -> list[Evaluation]:
        with self.deps.storage.read() as evaluations:
            return list(evaluations.newest(None, 100))

    def verdicts(self) -> list[EvaluationFinished]:
        return self._published(EvaluationFinished)

    def rollout_requests(self) -> list[RolloutRequested]:
        return self._published(RolloutRequested)

    def _published(self, kind: type[Sent]) -> list[Sent]:
        query = select(OUTBOX.c.body).where(OUTBOX.c.topic == kind.TOPIC).order_by(OUTBOX.c.position)
        with self.database.read() as connection:
            return [decode(body, kind) for body in connection.execute(query).scalars()]


@pytest.fixture
def world(tmp_path: Path, database_url: str) -> Iterator[World]:
    with World(tmp_path, database_url) as world:
        yield world


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    zygote = scorer_zygote(idle_s=300.0)
    yield zygote
    zygote.close()
