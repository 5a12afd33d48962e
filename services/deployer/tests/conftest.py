"""The world of the deployer's tests: a real database and reconciler, fakes of everything outside."""

from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from modelyard_contracts import (
    Message,
    ResourceChange,
    ResourceChanged,
    RolloutAction,
    RolloutStrategy,
    RouteApplied,
    VersionStage,
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
from modelyard_contracts.messages import MESSAGES
from modelyard_contracts.policies import RolloutPolicy
from modelyard_deployer import events, store
from modelyard_deployer.beginning import Beginner
from modelyard_deployer.domain.analysis import Arm, Stratum
from modelyard_deployer.domain.decide import Limits
from modelyard_deployer.domain.model import Rollout, Route, Version
from modelyard_deployer.domain.ports import Process, Refused, RegistryAway
from modelyard_deployer.fetching import Fetcher
from modelyard_deployer.looks import Looks
from modelyard_deployer.reconciler import Reconciler
from modelyard_deployer.replicas import Keeper, KeeperLimits
from modelyard_deployer.usecases import Wish
from modelyard_deployer.world import Deps
from modelyard_runtime.clock import FakeClock
from modelyard_runtime.database import Database, migrate, open_engine
from modelyard_runtime.tables import OUTBOX

MODEL = "churn"


def a_manifest(model: str = MODEL, version: int = 1) -> ModelManifest:
    return ModelManifest(
        model=model,
        flavour="sklearn",
        files=(FileEntry(path="model.bin", digest=digest_of(f"{model}{version}".encode()), size_bytes=3),),
        **signed(FeatureSchema(features=(Feature(name="age"),), classes=("no", "yes"))),
        training=TrainingLineage(recipe="test"),
    )


def a_version(version: int, stage: str = "approved", model: str = MODEL) -> Version:
    manifest = a_manifest(model, version)
    return Version(model, version, manifest.digest, stage, manifest)


class Inline(Executor):
    """Does it at once, in the caller's thread."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@dataclass
class FakeRegistry:
    versions: dict[int, Version] = field(default_factory=dict)
    rollout_policy: RolloutPolicy = field(default_factory=lambda: RolloutPolicy(min_samples=100, min_step_s=2.0))
    away: bool = False
    broken_downloads: bool = False

    def version(self, model: str, version: int) -> Version:
        self._here()
        if version not in self.versions:
            raise Refused(f"no version {version} of {model}")
        return self.versions[version]

    def policy(self, model: str) -> RolloutPolicy:
        self._here()
        return self.rollout_policy

    def download(self, manifest: ModelManifest, folder: Path) -> None:
        self._here()
        if self.broken_downloads:
            raise Refused("wrong bytes: model.bin")

    def _here(self) -> None:
        if self.away:
            raise RegistryAway("connection refused")


@dataclass
class FakeMonitor:
    stratum: Stratum | None = None
    asked: list[datetime] = field(default_factory=list)

    def health(self, model: str, route: str, since: datetime, new: int, old: int) -> Stratum | None:
        self.asked.append(since)
        return self.stratum


@dataclass
class FakeRuntime:
    """Processes that start at once, answer at once and end when told, unless a test says otherwise."""

    running: dict[UUID, Process] = field(default_factory=dict)
    started: list[tuple[UUID, int]] = field(default_factory=list)
    versions: dict[UUID, int] = field(default_factory=dict)
    unstartable: set[int] = field(default_factory=set)
    mute: set[int] = field(default_factory=set)
    """Versions that start and do not answer."""
    stubborn: bool = False
    """Processes live on for a while after they were asked to end."""
    asked_to_end: set[Process] = field(default_factory=set)
    pids: int = 1000
    warmed: int = 0

    def warm(self) -> None:
        self.warmed += 1

    def start(self, replica_id: UUID, folder: Path, version: Version) -> Process:
        self.pids += 1
        process = Process(self.pids, float(self.pids))
        self.started.append((replica_id, version.version))
        self.versions[replica_id] = version.version
        if version.version not in self.unstartable:
            self.running[replica_id] = process
        return process

    def alive(self, process: Process) -> bool:
        return process in self.running.values()

    def address(self, replica_id: UUID) -> str | None:
        return f"http://replica:{self.running[replica_id].pid}" if replica_id in self.running else None

    def answers(self, url: str) -> bool:
        return not any(self.versions[one] in self.mute and url.endswith(str(p.pid)) for one, p in self.running.items())

    def warm_up(self, url: str, manifest: ModelManifest) -> str | None:
        return None

    def last_words(self, replica_id: UUID) -> str:
        return "cannot load model.bin"

    def find(self) -> dict[UUID, Process]:
        return dict(self.running)

    def stop(self, process: Process) -> bool:
        self.asked_to_end.add(process)
        if self.stubborn:
            return False
        self.running = {one: running for one, running in self.running.items() if running != process}
        return True

    def tidy(self, replica_ids: set[UUID]) -> None:
        return None

    def kill(self, version: int) -> None:
        self.running = {one: process for one, process in self.running.items() if self.versions[one] != version}

    def serving(self) -> set[int]:
        return {self.versions[one] for one in self.running}


class World:
    """Drives a deployer whose time, registry, monitor and processes are ours."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.clock = folder, FakeClock()
        self.database = Database(open_engine(url), self.clock)
        migrate(self.database.engine, "modelyard_deployer:migrations")
        self.registry, self.monitor, self.runtime = FakeRegistry(), FakeMonitor(), FakeRuntime()
        self.registry.versions = {version: a_version(version) for version in range(1, 6)}
        self.restart()

    def restart(self) -> None:
        """A new deployer on what the old one left: tables and processes."""
        nothing = lambda: None  # noqa: E731
        self.fetcher = Fetcher(self.registry, self.folder / "models", self.clock, nothing, Inline())
        self.keeper = Keeper(self.database, self.runtime, self.fetcher, self.clock, KeeperLimits(drain_s=5.0))
        looks = Looks(self.monitor, self.clock, 1.0, nothing, Inline())
        beginner = Beginner(self.database, self.registry, self.clock)
        self.reconciler = Reconciler(self.database, beginner, self.keeper, looks, self.clock, Limits())
        self.deps = Deps(self.database, self.registry, self.clock, nothing, self.runtime.warm)
        self.keeper.adopt()

    # doing

    def deliver(self, event: Message) -> None:
        events.handle(self.deps, event)

    def settle(self, seconds: float = 0.0) -> None:
        """Let time pass and the reconciler work, some rounds, as a replica needs more than one to start."""
        self.clock.advance(seconds)
        for _ in range(4):
            for model in self.reconciler.models():
                self.reconciler.settle(model)

    def wish(self, action: RolloutAction, version: int | None = None, **more: Any) -> Rollout:
        more = {"id": uuid4(), "correlation_id": uuid4(), "requested_by": "anna", **more}
        return self.deps.wish(Wish(model=MODEL, action=action, version=version, **more))

    def approve(self, version: int, **more: Any) -> ResourceChanged:
        event = approved(version, self.clock.advance(0.001), **more)
        self.deliver(event)
        return event

    def given_serving(self, version: int = 1) -> None:
        """`version` serves everything, and the one router there is has said so."""
        self.wish(RolloutAction.START, version, strategy=RolloutStrategy.FULL)
        self.settle()
        self.routers_apply()
        self.settle()
        assert self.route().champion == version

    def given_canary(self, version: int = 2, stable: int = 1) -> Rollout:
        """`version` at its first step against `stable`."""
        self.given_serving(stable)
        rollout = self.wish(RolloutAction.START, version)
        self.settle()
        self.routers_apply()
        assert self.weights() == pytest.approx({stable: 0.95, version: 0.05})
        return self.rollout(rollout.id)

    def routers_apply(self, *names: str, accepted: bool = True, reason: str = "") -> None:
        route = self.route()
        for name in names or ("router-1",):
            self.deliver(
                RouteApplied(
                    event_id=uuid4(),
                    occurred_at=self.clock(),
                    correlation_id=uuid4(),
                    route=route.name,
                    model=route.model,
                    sequence=route.sequence,
                    router_id=name,
                    accepted=accepted,
                    reason=reason,
                )
            )

    def healthy(self, answers: int = 200, **arms: Arm) -> None:
        """The monitor tells of two versions that are equally good."""
        arm = Arm(answers=answers, errors=answers // 100, labelled=answers // 2, wrong=answers // 10)
        self.monitor.stratum = replace(Stratum(arm, arm), **arms)

    # seeing

    def route(self) -> Route:
        with self.database.read() as db:
            found = store.route_of(db, MODEL)
        assert found is not None
        return found

    def weights(self) -> dict[int, float]:
        """As last published."""
        return {target.version: target.weight for target in self.route().targets}

    def rollout(self, rollout_id: UUID) -> Rollout:
        with self.database.read() as db:
            found = store.rollout(db, rollout_id)
        assert found is not None
        return found

    def rollouts(self) -> list[Rollout]:
        """Oldest first."""
        with self.database.read() as db:
            return store.rollouts(db)[::-1]

    def told(self, kind: type[Message] | None = None) -> list[Any]:
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
    world.database.close()
