"""The trainer with a database of its own, a registry in memory, and workers that are real processes."""

import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select

from modelyard import file_digest
from modelyard_contracts import DriftDetected, DriftKind, RunState, Severity, TrainingRunChanged
from modelyard_contracts.codec import Codec
from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.policies import RetrainPolicy
from modelyard_runtime.clock import FakeClock
from modelyard_runtime.database import Database, migrate, open_engine
from modelyard_runtime.tables import OUTBOX
from modelyard_trainer.domain.errors import BadRequest, RegistryAway
from modelyard_trainer.domain.limits import Limits
from modelyard_trainer.domain.ports import Served
from modelyard_trainer.domain.run import Run
from modelyard_trainer.jobs.catalogue import known_recipes
from modelyard_trainer.jobs.processes import Workers
from modelyard_trainer.jobs.rundir import RunDir
from modelyard_trainer.jobs.warm_ray import WarmRay
from modelyard_trainer.runs.supervisor import Supervisor
from modelyard_trainer.store.runs import RunStore
from modelyard_trainer.usecases import Deps, RunRequest, request_run
from modelyard_zygote import Zygote

from .data import write_training_file

HELPERS = Path(__file__).parent
OWN = {"fake": "fake_recipe:RECIPE", "on-ray": "fake_recipe:ON_RAY", "in-pool": "fake_recipe:IN_POOL"}
PYTHONPATH = os.pathsep.join(filter(None, [str(HELPERS), os.environ.get("PYTHONPATH")]))
sys.path.append(str(HELPERS))  # recipes are found by name, in the worker by PYTHONPATH


@dataclass
class FakeRegistry:
    """Versions by their idempotency key; `away` makes the next calls fail."""

    folder: Path
    policies: dict[str, RetrainPolicy] = field(default_factory=dict)
    serving: dict[str, int] = field(default_factory=dict)
    serves: dict[str, Served] = field(default_factory=dict)
    versions: dict[str, ModelManifest] = field(default_factory=dict)
    away: int = 0
    published: int = 0

    def retrain_policy(self, model: str) -> RetrainPolicy | None:
        self._answer()
        return self.policies.get(model)

    def serving_version(self, model: str) -> int | None:
        return self.serving.get(model)

    def served(self, model: str) -> Served | None:
        return self.serves.get(model)

    def fetch_older(self, digest: str, target: Path) -> bool:
        if (source := self.folder / digest).exists():
            shutil.copy(source, target)
        return target.exists()

    def fetch_dataset(self, digest: str, target: Path) -> None:
        self._answer()
        source = self.folder / digest
        if not source.exists():
            raise BadRequest(f"dataset_digest: the registry has no {digest}", field="dataset_digest")
        shutil.copy(source, target)

    def publish(self, run: Run, run_dir: RunDir, result: dict[str, Any]) -> int:
        self._answer()
        self.published += 1
        manifest = ModelManifest.model_validate(result["manifest"])
        for entry in manifest.files:
            assert file_digest(run_dir.model / entry.path) == entry.digest
        self.versions.setdefault(str(run.id), manifest)
        return list(self.versions).index(str(run.id)) + 1

    def _answer(self) -> None:
        if self.away:
            self.away -= 1
            raise RegistryAway("the registry is away")


class World:
    """One trainer; `restart` is a new process on the same disk, its workers living on."""

    def __init__(
        self, folder: Path, url: str | None = None, limits: Limits | None = None, zygote: Zygote | None = None
    ) -> None:
        self._zygote = zygote
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.clock = folder, FakeClock()
        self.registry = FakeRegistry(folder)
        self.registry.policies["shifts"] = RetrainPolicy(recipe="fake", window_rows=400, holdout_rows=50)
        given = write_training_file(folder / "given.parquet")
        self.dataset = file_digest(given)
        given.rename(folder / self.dataset)
        self._url, self._limits = url or f"sqlite:///{folder / 'trainer.db'}", limits or Limits()
        self.restart()

    def restart(self, warm_ray: WarmRay | None = None) -> None:
        """As after kill -9: what was in memory is gone."""
        self.database = Database(open_engine(self._url), self.clock)
        migrate(self.database.engine, "modelyard_trainer:migrations")
        self.runs = RunStore(self.database)
        recipes = known_recipes(OWN)
        self.deps = Deps(runs=self.runs, registry=self.registry, recipes=recipes, clock=self.clock)
        self.workers = Workers(self.folder / "runs", {"PYTHONPATH": PYTHONPATH}, self._zygote)
        self.supervisor = Supervisor(
            runs=self.runs,
            registry=self.registry,
            workers=self.workers,
            recipes=recipes,
            clickhouse={"url": "http://127.0.0.1:1", "user": "reader", "database": "ml"},
            limits=self._limits,
            clock=self.clock,
            own_recipes=OWN,
            warm_ray=warm_ray,
        )

    def begin(self, **parameters: str) -> Run:
        """A run of the fake recipe on the given rows."""
        request = RunRequest("shifts", "a test", "test", dataset_digest=self.dataset, parameters=parameters)
        return request_run(self.deps, request)

    def drive(self, run_id: UUID, until: Callable[[Run], bool] | None = None, timeout_s: float = 60.0) -> Run:
        """Tick until the run is final, or `until` says so."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.supervisor.tick()
            run = self.runs.get(run_id)
            if run.state.final or (until is not None and until(run)):
                return run
            assert time.monotonic() < deadline, f"{run.state} {run.reason}: {self.workers.dir_of(run_id).log_tail}"
            time.sleep(0.05)

    def published(self) -> list[TrainingRunChanged]:
        """Events queued so far, in their order."""
        with self.database.read() as connection:
            bodies = connection.execute(select(OUTBOX.c.body).order_by(OUTBOX.c.position)).scalars().all()
        return [Codec().decode(body, TrainingRunChanged) for body in bodies]

    def close(self) -> None:
        for run_dir in self.workers.folders():
            self.workers.kill_at(run_dir)
        self.workers.kill_all()
        self.database.close()


def drift(world: World, kind: DriftKind = DriftKind.PERFORMANCE, **changes: Any) -> DriftDetected:
    """A drift of the model `shifts`, now."""
    now = world.clock()
    fields: dict[str, Any] = {
        "event_id": uuid4(),
        "occurred_at": now,
        "correlation_id": uuid4(),
        "model": "shifts",
        "model_version": 1,
        "model_digest": "sha256:" + "0" * 64,
        "kind": kind,
        "subject": "error_rate",
        "detector": "adwin",
        "severity": Severity.WARNING,
        "reason": "the error rate rose",
        "statistic": 0.4,
        "threshold": 0.2,
        "reference_rows": 1000,
        "current_rows": 500,
        "window_start": now - timedelta(minutes=5),
        "window_end": now,
    }
    return DriftDetected(**{**fields, **changes})


__all__ = ["RunState", "World", "drift"]
