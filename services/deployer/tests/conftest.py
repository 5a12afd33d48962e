"""The deployer's tests: a real database, reconciler and registry; the monitor and the processes are fakes."""

import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from modelyard import RegistryClient
from modelyard_contracts import (
    ComparedVersion,
    EvaluationFinished,
    Message,
    ResourceChange,
    ResourceChanged,
    RolloutAction,
    RolloutStrategy,
    RouteApplied,
    RoutePublished,
    Verdict,
    VersionStage,
)
from modelyard_contracts.codec import decode
from modelyard_contracts.documents import read
from modelyard_contracts.manifest import (
    FileEntry,
    ManifestFile,
    ModelManifest,
    Price,
    TrainingLineage,
    digest_of,
    signed,
)
from modelyard_contracts.messages import MESSAGES
from modelyard_contracts.policies import RolloutPolicy
from modelyard_contracts.routes import RoutePlan, Split, VersionLeaf
from modelyard_contracts.signature import Column, Output, Signature, Task
from modelyard_deployer import events
from modelyard_deployer.clients.registry import HttpRegistry
from modelyard_deployer.domain.counts import Arm, Stratum
from modelyard_deployer.domain.decide import Limits
from modelyard_deployer.domain.harm import Calls
from modelyard_deployer.domain.hedge import Batch
from modelyard_deployer.domain.ports import Deps
from modelyard_deployer.domain.rollouts import Rollout, RolloutRequest
from modelyard_deployer.domain.routes import Route, Serving, Version
from modelyard_deployer.domain.votes import LabelPage
from modelyard_deployer.domain.workloads import Resources, VersionKey
from modelyard_deployer.reconcile.admission import Admission
from modelyard_deployer.reconcile.evidence import Evidence
from modelyard_deployer.reconcile.members import Members
from modelyard_deployer.reconcile.reconciler import Reconciler
from modelyard_deployer.reconcile.upcoming import Upcoming
from modelyard_deployer.reconcile.weights import Weights
from modelyard_deployer.store.records import SqlStore
from modelyard_deployer.usecases.requests import request_rollout
from modelyard_deployer.workloads.downloads import Downloads
from modelyard_deployer.workloads.lifecycle import Lifecycle
from modelyard_deployer.workloads.local import LocalWorkloads
from modelyard_deployer.workloads.records import ReplicaRecords
from modelyard_deployer.workloads.replica import Process
from modelyard_registry.testing import InProcessRegistry
from modelyard_runtime.clock import FakeClock
from modelyard_runtime.database import Database, migrate, open_engine
from modelyard_runtime.tables import OUTBOX

MODEL = "churn"


@dataclass(frozen=True)
class Target:
    """One version behind a published route, with its share of the traffic."""

    version: int
    variant: str
    weight: float
    urls: tuple[str, ...]
    digest: str


def targets_of(published: RoutePublished) -> tuple[Target, ...]:
    """Leaves of a plan that is one version or one split."""
    if not published.plan:
        return ()
    root = read(RoutePlan, published.plan).root
    arms = [(arm.node, arm.weight) for arm in root.arms] if isinstance(root, Split) else [(root, 1.0)]
    return tuple(
        Target(node.version, node.variant, weight, node.urls, node.digest or "")
        for node, weight in arms
        if isinstance(node, VersionLeaf)
    )


VERSIONS = range(1, 6)
"""Approved in the registry when a test starts."""


def model_file(model: str, version: int) -> bytes:
    return f"{model}{version}".encode()


def a_manifest(model: str = MODEL, version: int = 1) -> ModelManifest:
    data = model_file(model, version)
    return ModelManifest(
        model=model,
        flavour="sklearn",
        files=(FileEntry(path="model.bin", digest=digest_of(data), size_bytes=len(data)),),
        **signed(Signature(columns=(Column(name="age"),), output=Output(task=Task.BINARY, classes=("no", "yes")))),
        training=TrainingLineage(recipe="test"),
        price=Price(usd_per_call=0.0002),
    )


def a_version(version: int, stage: str = "approved", model: str = MODEL) -> Version:
    return Version(model, version, stage, ManifestFile.write(a_manifest(model, version)))


class Inline(Executor):
    """Runs each task at once, in the caller's thread."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@cache
def _registry_template() -> Path:
    """A registry's folder with all VERSIONS approved; copying it is faster than registering them for each test."""
    folder = Path(tempfile.mkdtemp(prefix="modelyard-deployer-tests-"))
    with InProcessRegistry(folder) as registry:
        for version in VERSIONS:
            register(registry, version)
    return folder


def register(registry: InProcessRegistry, version: int, stage: VersionStage = VersionStage.APPROVED) -> int:
    files = {"model.bin": model_file(MODEL, version)}
    return registry.given_version(a_manifest(MODEL, version), files, stage)


@dataclass
class FakeMonitor:
    stratum: Stratum | None = None
    asked: list[datetime] = field(default_factory=list)

    def health(self, model: str, route: str, since: datetime, new: int, old: int) -> Stratum | None:
        self.asked.append(since)
        return self.stratum

    pages: dict[str | None, LabelPage] = field(default_factory=dict)
    """Position to the page after it; a position without one has no new labels."""
    calls: list[Calls] | None = None
    away: bool = False

    def votes(self, model: str, after: str | None) -> LabelPage | None:
        if self.away:
            return None
        return self.pages.get(after, LabelPage(after or "0"))

    def members(self, model: str, since: datetime) -> list[Calls] | None:
        self.asked.append(since)
        return None if self.away else self.calls

    def label(self, *batches: Batch, more: bool = False) -> None:
        """Add a page of labels after all others."""
        self.pages[str(len(self.pages))] = LabelPage(str(len(self.pages) + 1), batches, more=more)


@dataclass
class FakeProcesses:
    """Processes that start, answer and exit at once, unless a test sets otherwise."""

    clock: FakeClock
    grace_s: float = 10.0
    running: dict[UUID, Process] = field(default_factory=dict)
    started: list[tuple[UUID, int]] = field(default_factory=list)
    versions: dict[UUID, int] = field(default_factory=dict)
    unstartable: set[int] = field(default_factory=set)
    mute: set[int] = field(default_factory=set)
    """Versions that start but do not answer."""
    stubborn: bool = False
    """Processes ignore SIGTERM; they exit only when killed."""
    terminated: dict[Process, datetime] = field(default_factory=dict)
    hung: set[Process] = field(default_factory=set)
    hosts: dict[UUID, set[int]] = field(default_factory=dict)
    """Versions that were admitted to each shared process."""
    hung_members: set[int] = field(default_factory=set)
    """Versions whose predictions in a shared process do not end."""
    pids: int = 1000
    warmed: int = 0

    def warm(self) -> None:
        self.warmed += 1

    def start(self, replica_id: UUID, folder: Path, version: Version, resources: Resources) -> Process:
        self.pids += 1
        process = Process(self.pids, float(self.pids))
        self.started.append((replica_id, version.version))
        self.versions[replica_id] = version.version
        if version.version not in self.unstartable:
            self.running[replica_id] = process
        return process

    def start_host(self, host_id: UUID, resources: Resources) -> Process:
        self.pids += 1
        self.running[host_id] = process = Process(self.pids, float(self.pids))
        return process

    def admit(self, host_id: UUID, version: Version, folder: Path) -> None:
        self.hosts.setdefault(host_id, set()).add(version.version)

    def dismiss(self, host_id: UUID, key: VersionKey) -> bool:
        if key.version in self.hung_members:
            return False
        self.hosts[host_id].discard(key.version)
        return True

    def refusal(self, host_id: UUID, key: VersionKey) -> str:
        return "cannot load model.bin" if key.version in self.unstartable else ""

    def alive(self, process: Process) -> bool:
        return process in self.running.values()

    def address(self, replica_id: UUID) -> str | None:
        return f"http://replica:{self.running[replica_id].pid}" if replica_id in self.running else None

    def answers(self, url: str, member: VersionKey | None = None) -> bool:
        found = [(one, process) for one, process in self.running.items() if url.endswith(f":{process.pid}")]
        return any(self._ready(one, member) and process not in self.hung for one, process in found)

    def _ready(self, process_id: UUID, member: VersionKey | None) -> bool:
        if member is None:
            return self.versions[process_id] not in self.mute
        admitted = member.version in self.hosts.get(process_id, ())
        return admitted and member.version not in self.mute | self.unstartable | self.hung_members

    def warm_up(self, url: str, version: Version) -> str | None:
        return None

    def last_words(self, replica_id: UUID) -> str:
        return "cannot load model.bin"

    def find(self) -> dict[UUID, Process]:
        return dict(self.running)

    def stop(self, process: Process) -> bool:
        if not self.alive(process):
            return True
        terminated_at = self.terminated.setdefault(process, self.clock())
        late = (self.clock() - terminated_at).total_seconds() > self.grace_s
        ignores = self.stubborn or process in self.hung
        if not ignores or late:
            self._exit(process)
        return not ignores

    def _exit(self, process: Process) -> None:
        self.running = {one: running for one, running in self.running.items() if running != process}

    def tidy(self, replica_ids: set[UUID]) -> None:
        return None

    def hang(self, url: str) -> None:
        """The process neither answers nor reacts to SIGTERM any more."""
        self.hung |= {process for process in self.running.values() if url.endswith(f":{process.pid}")}

    def kill(self, version: int) -> None:
        """Kill the processes with this version; other versions in them die with it."""
        self.running = {one: process for one, process in self.running.items() if version not in self._inside(one)}

    def serving(self) -> set[int]:
        return {version for one in self.running for version in self._inside(one)}

    def together(self) -> list[set[int]]:
        """The versions of each shared process that runs."""
        return [self._inside(one) for one in self.running if one in self.hosts]

    def _inside(self, process_id: UUID) -> set[int]:
        return self.hosts[process_id] if process_id in self.hosts else {self.versions[process_id]}


class World:
    """Drives a deployer whose time, registry, monitor and processes the test controls."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.clock = folder, FakeClock()
        self.database = Database(open_engine(url), self.clock)
        migrate(self.database.engine, "modelyard_deployer:migrations")
        self.store = SqlStore(self.database)
        self._open = ExitStack()
        self._open_registry()
        self.monitor, self.processes = FakeMonitor(), FakeProcesses(self.clock)
        self.restart()

    def _open_registry(self) -> None:
        shutil.copytree(_registry_template(), self.folder / "registry")
        self.registry = self._open.enter_context(InProcessRegistry(self.folder / "registry", self.clock))
        self.registry_client = RegistryClient(
            "http://registry", self.registry.admin_key, transport=self.registry.transport
        )

    def restart(self) -> None:
        """A new deployer on the tables and processes that the old one left."""
        ignore = lambda _: None  # noqa: E731
        registry = HttpRegistry(self.registry_client)
        self.downloads = Downloads(registry, self.folder / "models", self.clock, ignore, Inline())
        records = ReplicaRecords(self.folder / "replicas")
        lifecycle = Lifecycle(self.processes, self.downloads, records, self.clock)
        self.workloads = LocalWorkloads(lifecycle, 5.0, Inline())
        evidence = Evidence(self.monitor, self.clock, 1.0, ignore, Inline())
        upcoming = Upcoming(self.store, registry, self.clock, ignore, Inline())
        admission = Admission(self.store, registry, self.clock, upcoming)
        members = Members(self.store, self.clock)
        self.reconciler = Reconciler(self.store, admission, self.workloads, evidence, self.clock, Limits(), members)
        self.updates = Weights(self.store, self.monitor, registry, self.clock, ignore)
        self.deps = Deps(self.store, registry, self.clock, self.workloads, ignore)
        self.workloads.adopt()

    def close(self) -> None:
        self._open.close()
        self.database.close()

    # acting

    def deliver(self, event: events.Event) -> None:
        events.handle(self.deps, event)

    def settle(self, seconds: float = 0.0) -> None:
        """Advance the time and reconcile some rounds; a replica needs more than one to start."""
        self.clock.advance(seconds)
        for _ in range(4):
            self.workloads.poll()
            for model in self.reconciler.models():
                self.reconciler.settle(model)

    def request(self, action: RolloutAction, version: int | None = None, **more: Any) -> Rollout:
        more = {"id": uuid4(), "correlation_id": uuid4(), "requested_by": "anna", **more}
        return request_rollout(self.deps, RolloutRequest(model=MODEL, action=action, version=version, **more))

    def registry_unavailable(self) -> AbstractContextManager[None]:
        return self.registry.unavailable()

    def corrupt_files(self, version: int) -> None:
        """Change the stored bytes of a version in the registry."""
        digest = digest_of(model_file(MODEL, version)).removeprefix("sha256:")
        [blob] = [path for path in (self.folder / "registry").rglob(f"*{digest[8:]}*") if path.is_file()]
        blob.write_bytes(b"xxxxxx")

    def set_policy(self, policy: RolloutPolicy) -> None:
        self.registry_client.set_policy(MODEL, policy)

    def approve(self, version: int, **more: Any) -> ResourceChanged:
        event = approved(version, self.clock.advance(0.001), **more)
        self.deliver(event)
        return event

    def evaluate(self, challenger: int, other: int, verdict: Verdict, **more: Any) -> EvaluationFinished:
        """The evaluator found the challenger better than the champion, and compared it with another version."""
        found = ComparedVersion(
            version=other, verdict=verdict, difference=0.05, difference_low=0.01, difference_high=0.1
        )
        given: dict[str, Any] = {
            "event_id": uuid4(),
            "occurred_at": self.clock.advance(0.001),
            "correlation_id": uuid4(),
            "model": MODEL,
            "evaluation_id": uuid4(),
            "challenger_version": challenger,
            "challenger_digest": "sha256:0",
            "verdict": Verdict.DEPLOY,
            "reasons": (),
            "others": (found,),
        }
        event = EvaluationFinished(**{**given, **more})
        self.deliver(event)
        return event

    def given_automatic_canary(self, version: int = 2) -> Rollout:
        """`version` was approved and is at its first step against version 1."""
        self.given_serving(1)
        self.approve(version)
        self.settle()
        self.routers_apply()
        self.healthy(0)
        assert self.weights() == pytest.approx({1: 0.95, version: 0.05})
        return self.rollouts()[-1]

    def given_serving(self, version: int = 1) -> None:
        """`version` serves all traffic, confirmed by the only router."""
        self.request(RolloutAction.START, version, strategy=RolloutStrategy.FULL)
        self.settle()
        self.routers_apply()
        self.settle()
        assert self.serving().champion == version

    def given_canary(self, version: int = 2, stable: int = 1) -> Rollout:
        """`version` at its first step against `stable`."""
        self.given_serving(stable)
        rollout = self.request(RolloutAction.START, version)
        self.settle()
        self.routers_apply()
        assert self.weights() == pytest.approx({stable: 0.95, version: 0.05})
        return self.rollout(rollout.id)

    def routers_apply(self, *names: str, accepted: bool = True, reason: str = "", sequence: int | None = None) -> None:
        route = self.route()
        for name in names or ("router-1",):
            self.deliver(
                RouteApplied(
                    event_id=uuid4(),
                    occurred_at=self.clock(),
                    correlation_id=uuid4(),
                    route=route.name,
                    model=route.model,
                    sequence=sequence or route.sequence,
                    router_id=name,
                    accepted=accepted,
                    reason=reason,
                )
            )

    def healthy(self, answers: int = 200, **arms: Arm) -> None:
        """The monitor reports two equally good versions."""
        arm = Arm(answers=answers, errors=answers // 100, labelled=answers // 2, wrong=answers // 10)
        self.monitor.stratum = replace(Stratum(arm, arm), **arms)

    # observing

    def route(self) -> Route:
        with self.store.read() as records:
            [own] = [route for route in records.routes.of_model(MODEL) if route.own]
        return own

    def routes(self) -> list[Route]:
        with self.store.read() as records:
            return records.routes.all()

    def serving(self) -> Serving:
        with self.store.read() as records:
            found = records.serving.get(MODEL)
        assert found is not None
        return found

    def targets(self) -> tuple["Target", ...]:
        """As last published."""
        with self.store.read() as records:
            published = records.routes.published(self.route().name)
        return targets_of(published) if published else ()

    def weights(self) -> dict[int, float]:
        """As last published."""
        return {target.version: target.weight for target in self.targets()}

    def rollout(self, rollout_id: UUID) -> Rollout:
        with self.store.read() as records:
            found = records.rollouts.get(rollout_id)
        assert found is not None
        return found

    def rollouts(self) -> list[Rollout]:
        """Oldest first."""
        with self.store.read() as records:
            return records.rollouts.recent()[::-1]

    def published(self, kind: type[Message] | None = None) -> list[Any]:
        """Events in the outbox, in their order."""
        with self.database.read() as db:
            rows = db.execute(select(OUTBOX.c.topic, OUTBOX.c.body).order_by(OUTBOX.c.position)).all()
        messages = [decode(row.body, MESSAGES[row.topic]) for row in rows]
        return [message for message in messages if kind is None or isinstance(message, kind)]


def approved(version: int, at: datetime, **more: Any) -> ResourceChanged:
    given: dict[str, Any] = {
        "event_id": uuid4(),
        "occurred_at": at,
        "correlation_id": uuid4(),
        "model": MODEL,
        "revision": version,
        "change": ResourceChange.VERSION_MOVED,
        "version": version,
        "stage": VersionStage.APPROVED,
        "previous_stage": VersionStage.EVALUATED,
        "actor": "gate",
    }
    return ResourceChanged(**{**given, **more})


@pytest.fixture
def world(tmp_path: Path, database_url: str) -> Iterator[World]:
    world = World(tmp_path, database_url)
    yield world
    world.close()
