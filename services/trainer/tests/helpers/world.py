"""The trainer with its own database, the real registry in process, and workers that are real processes."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select

from modelyard import RegistryClient
from modelyard_contracts import DriftDetected, DriftKind, RunState, Severity, TrainingRunChanged, VersionStage
from modelyard_contracts.codec import Codec
from modelyard_contracts.manifest import (
    FileEntry,
    ModelManifest,
    TrainingLineage,
    digest_of,
)
from modelyard_contracts.policies import RetrainPolicy
from modelyard_contracts.signature import Signature, new_schema_id
from modelyard_registry.testing import InProcessRegistry
from modelyard_runtime.clock import FakeClock
from modelyard_runtime.database import Database, migrate, open_engine
from modelyard_runtime.tables import OUTBOX
from modelyard_trainer.clients.registry import RegistryGateway
from modelyard_trainer.domain.limits import Limits
from modelyard_trainer.domain.run import Run
from modelyard_trainer.jobs.catalogue import known_recipes
from modelyard_trainer.jobs.local import LocalJobs
from modelyard_trainer.jobs.processes import Workers
from modelyard_trainer.jobs.retention import Folders
from modelyard_trainer.jobs.warm_ray import WarmRay
from modelyard_trainer.runs.supervisor import Supervisor
from modelyard_trainer.store.runs import RunStore
from modelyard_trainer.usecases import Deps, RunRequest, request_run
from modelyard_zygote import Zygote

from .data import training_signature, write_training_file

HELPERS = Path(__file__).parent
RECIPES = {"fake": "fake_recipe:RECIPE", "on-ray": "fake_recipe:ON_RAY", "in-pool": "fake_recipe:IN_POOL"}
PYTHONPATH = os.pathsep.join(filter(None, [str(HELPERS), os.environ.get("PYTHONPATH")]))
sys.path.append(str(HELPERS))  # recipes are found by name, in the worker by PYTHONPATH
POLICY = RetrainPolicy(recipe="fake", window_rows=400, holdout_rows=50)
WEIGHTS = b"weights"


class World:
    """One trainer; `restart` is a new service process on the same disk while its workers live on."""

    def __init__(
        self,
        folder: Path,
        url: str | None = None,
        limits: Limits | None = None,
        zygote: Zygote | None = None,
        pythonpath: str = PYTHONPATH,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.clock = folder, FakeClock()
        self._zygote, self._pythonpath = zygote, pythonpath
        self._url, self._limits = url or f"sqlite:///{folder / 'trainer.db'}", limits or Limits()
        self._open = ExitStack()
        self.registry = self._open.enter_context(InProcessRegistry(folder / "registry", self.clock))
        key = self.registry.admin_key
        self.client = RegistryClient("http://registry", key, transport=self.registry.transport)
        self.gateway = RegistryGateway(self.client)
        self.given_model("shifts")
        self.dataset = self.given_dataset(write_training_file(folder / "given.parquet"))
        self.restart()

    def restart(self, warm_ray: WarmRay | None = None) -> None:
        """A new service process, as after kill -9."""
        self.database = Database(open_engine(self._url), self.clock)
        migrate(self.database.engine, "modelyard_trainer:migrations")
        self.runs = RunStore(self.database)
        recipes = known_recipes(RECIPES)
        self.workers = Workers(self.folder / "runs", {"PYTHONPATH": self._pythonpath}, self._zygote)
        self.deps = Deps(
            runs=self.runs,
            registry=self.gateway,
            recipes=recipes,
            clock=self.clock,
            log_lines=self.workers.log_lines,
        )
        self.supervisor = Supervisor(
            runs=self.runs,
            registry=self.gateway,
            jobs=LocalJobs(self.workers, self.gateway, Folders(self.workers, self._limits, self.clock), warm_ray),
            recipes=recipes,
            clickhouse={"url": "http://127.0.0.1:1", "user": "reader", "database": "ml"},
            limits=self._limits,
            clock=self.clock,
            own_recipes=RECIPES,
        )

    def given_model(self, name: str, policy: RetrainPolicy = POLICY) -> None:
        """A model with a retraining policy."""
        self.client.create_model(name)
        self.client.set_policy(name, policy)

    def given_dataset(self, file: Path) -> str:
        """Register a file as a dataset; returns its digest."""
        digest = self.client.put_blob(file)
        self.client.create_dataset(digest, "given", rows=400, size_bytes=file.stat().st_size, columns={})
        return digest

    def given_version(
        self,
        stage: VersionStage = VersionStage.REGISTERED,
        dataset: str | None = None,
        signature: Signature | None = None,
        recipe: str = "imported",
    ) -> int:
        """A version of `shifts` at a stage."""
        signature = signature or training_signature()
        manifest = ModelManifest(
            model="shifts",
            task=signature.task,
            flavour="torch-mlp",
            files=(FileEntry(path="model.safetensors", digest=digest_of(WEIGHTS), size_bytes=len(WEIGHTS)),),
            signature=signature,
            feature_schema_id=new_schema_id(signature),
            training=TrainingLineage(recipe=recipe, run_id=str(uuid4()), dataset_digest=dataset),
        )
        return self.registry.given_version(manifest, {"model.safetensors": WEIGHTS}, stage)

    def manifests(self, model: str = "shifts") -> list[ModelManifest]:
        """Manifests of all versions, oldest first."""
        return [self.client.manifest(model, one.version) for one in self.client.versions(model)]

    def begin(self, model: str = "shifts", **parameters: str) -> Run:
        """Request a run of the fake recipe on the given rows."""
        request = RunRequest(model, "a test", "test", dataset_digest=self.dataset, parameters=parameters)
        return request_run(self.deps, request)

    def drive(self, run_id: UUID, until: Callable[[Run], bool] | None = None, timeout_s: float = 60.0) -> Run:
        """Tick until the run is final or `until` returns True."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.supervisor.tick()
            run = self.runs.get(run_id)
            if run.state.final or (until is not None and until(run)):
                return run
            assert time.monotonic() < deadline, f"{run.state} {run.reason}: {self.workers.dir_of(run_id).log_tail}"
            time.sleep(0.05)  # sleep: the interval of the supervisor

    def published(self) -> list[TrainingRunChanged]:
        """Events queued so far, oldest first."""
        with self.database.read() as connection:
            bodies = connection.execute(select(OUTBOX.c.body).order_by(OUTBOX.c.position)).scalars().all()
        return [Codec().decode(body, TrainingRunChanged) for body in bodies]

    def close(self) -> None:
        for run_dir in self.workers.folders():
            self.workers.kill_at(run_dir)
        self.workers.kill_all()
        self.database.close()
        self.client.close()
        self._open.close()


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
