"""Starts, watches and stops the processes of online learners, and publishes their snapshots."""

import asyncio
import contextlib
import json
import logging
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import UUID

from modelyard_contracts.signature import online_obstacle
from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import ModelyardError, Retryable
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.domain.learners import Learner, LearnerStatus
from modelyard_trainer.domain.ports import Learners, Served
from modelyard_trainer.jobs.processes import Workers
from modelyard_trainer.jobs.rundir import RunDir, read_json
from modelyard_trainer.online.files import OUT, STATE, STATUS

TICK_S: Final = 0.5
LOOK_AGAIN_S: Final = 10.0
"""Interval between two looks at the signature of a model's serving version."""
WAIT_INTERVALS: Final = 10
"""Publishing intervals that a snapshot waits for the verdict on the one before it."""
log = logging.getLogger(__name__)


class Snapshots(Protocol):
    """The part of the registry used here; see clients.registry.RegistryGateway."""

    def served(self, model: str) -> Served | None: ...

    def fetch_older(self, digest: str, target: Path) -> bool: ...

    def publish_snapshot(self, manifest: bytes, files: Path) -> int: ...

    def waits_for_verdict(self, model: str, version: int) -> bool: ...

    def retire_snapshot(self, model: str, version: int) -> bool: ...


class LearnerSupervisor:
    """Run `run` as a background task; `tick` does what is due for each learner, and blocks."""

    def __init__(
        self,
        learners: Learners,
        registry: Snapshots,
        workers: Workers,
        clickhouse: Mapping[str, str],
        clock: Clock,
    ) -> None:
        self._learners, self._registry, self._workers = learners, registry, workers
        self._clickhouse, self._clock = dict(clickhouse), clock
        self._seen: dict[UUID, tuple[datetime, Served | None]] = {}
        self._watched: set[UUID] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`, then kill the processes; they continue with the next service."""
        try:
            while not stop.is_set():
                await asyncio.to_thread(self.tick)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), TICK_S)
        finally:
            await asyncio.to_thread(self._workers.kill_all)

    def tick(self) -> None:
        """One step for each learner; a failing one does not affect the others."""
        for learner in self._learners.of():
            try:
                self._step(learner)
            except Retryable as error:
                log.warning("learner %s of %s: %s; trying again", learner.kind, learner.model, error)
            except Exception as error:
                if not isinstance(error, ModelyardError):
                    log.exception("learner %s of %s: step failed", learner.kind, learner.model)
                self._change(learner, lambda one, why=str(error): one.waits(why))

    def _step(self, learner: Learner) -> None:
        alive = self._workers.alive(learner.id)
        if not learner.wanted:
            if alive:
                self._stop(learner)
            return
        learner = self._publish(learner)
        served = self._served(learner)
        if served is None or (why := online_obstacle(served.signature)):
            reason = why if served is not None else "waits for the model's first version"
            self._change(learner, lambda one: one.waits(reason))
            return
        if alive and not self._fits(learner, served):
            self._stop(learner)
            alive = False
        if not alive:
            self._restart(learner, served)

    def _stop(self, learner: Learner) -> None:
        self._workers.kill(learner.id)
        self._watched.discard(learner.id)
        self._workers.dir_of(learner.id).older.unlink(missing_ok=True)

    def _served(self, learner: Learner) -> Served | None:
        """The serving version's facts, at most LOOK_AGAIN_S old."""
        now = self._clock()
        at, served = self._seen.get(learner.id, (None, None))
        if at is None or (now - at).total_seconds() >= (LOOK_AGAIN_S if served else TICK_S):
            served = self._registry.served(learner.model)
            self._seen[learner.id] = (now, served)
        return served

    def _fits(self, learner: Learner, served: Served) -> bool:
        """Whether the living process works on the present request."""
        request = self._workers.dir_of(learner.id).request
        wanted = self._request(learner, served)
        return all(request.get(name) == wanted[name] for name in ("signature_id", "publish_every_rows"))

    def _restart(self, learner: Learner, served: Served) -> None:
        """Note why the process ended, if one did; start the next one when it is due."""
        run_dir, status = self._workers.dir_of(learner.id), self.status(learner)
        if learner.id in self._watched:
            self._watched.discard(learner.id)
            why = run_dir.failure or run_dir.log_tail[-300:] or "its process was killed"
            learner = self._change(learner, lambda one: one.ended(self._clock(), status.learned, why))
        if learner.may_start(self._clock()):
            self._workers.kill(learner.id)
            run_dir.prepare(self._request(learner, served))
            if served.dataset_digest is not None and not (run_dir.path / STATE).exists():
                self._registry.fetch_older(served.dataset_digest, run_dir.older)
            (run_dir.path / "failure.json").unlink(missing_ok=True)
            run_dir.log.unlink(missing_ok=True)
            self._workers.start(learner.id)
            self._watched.add(learner.id)
            self._change(learner, lambda one: one.started(status.learned))

    def _request(self, learner: Learner, served: Served) -> dict[str, Any]:
        return {
            "model": learner.model,
            "kind": learner.kind,
            "signature": served.signature.model_dump(mode="json"),
            "signature_id": served.signature_id,
            "base_version": served.version,
            "older_target": served.dataset_target,
            "older_time": served.dataset_time,
            "publish_every_rows": learner.publish_every_rows,
            "window_rows": learner.window_rows,
            "clickhouse": self._clickhouse,
        }

    def _publish(self, learner: Learner) -> Learner:
        """Register the newest complete snapshot once the one before it is judged, and retire old versions."""
        folder = self._workers.dir_of(learner.id).path / OUT
        found = sorted(one for one in folder.glob("[0-9]*") if one.is_dir()) if folder.is_dir() else []
        for one in found[:-1]:
            shutil.rmtree(one, ignore_errors=True)
        if found and not self._too_early(learner, found[-1]):
            learner = self._register(learner, found[-1])
            shutil.rmtree(found[-1], ignore_errors=True)
            learner = self._retire(learner)
        return learner

    def _too_early(self, learner: Learner, folder: Path) -> bool:
        """Whether the snapshot before waits for its verdict: a queue of snapshots would be out of date when judged.

        A comparison that stays open for long holds the next snapshots back for WAIT_INTERVALS only.
        """
        waited_rows = int(folder.name) - learner.published_rows
        if not learner.versions or waited_rows >= WAIT_INTERVALS * learner.publish_every_rows:
            return False
        return self._registry.waits_for_verdict(learner.model, learner.versions[-1])

    def _register(self, learner: Learner, folder: Path) -> Learner:
        """Register a snapshot; one that the registry refuses is dropped, as the next one follows soon."""
        rows = int(folder.name)
        try:
            version = self._registry.publish_snapshot((folder / "manifest.json").read_bytes(), folder / "model")
        except BadRequest as error:
            log.error("learner %s of %s: snapshot of %d rows: %s", learner.kind, learner.model, rows, error)  # noqa: TRY400
            why = str(error)
            return self._change(learner, lambda one: one.waits(why))
        log.info("learner %s of %s: version %d after %d rows", learner.kind, learner.model, version, rows)
        return self._change(learner, lambda one: one.published(version, rows, self._clock()))

    def _retire(self, learner: Learner) -> Learner:
        gone = {one for one in learner.outdated if self._registry.retire_snapshot(learner.model, one)}
        return self._change(
            learner,
            lambda one: one.model_copy(update={"versions": tuple(v for v in one.versions if v not in gone)}),
        )

    def _change(self, learner: Learner, change: Any) -> Learner:
        return self._learners.change(learner, change)

    def alive(self, learner: Learner) -> bool:
        """Whether its process lives."""
        return self._workers.alive(learner.id)

    def status(self, learner: Learner) -> LearnerStatus:
        """What its process last reported."""
        return status_in(self._workers.dir_of(learner.id))


def status_in(run_dir: RunDir) -> LearnerStatus:
    """The last report in a learner's folder; zeros if there is none."""
    try:
        found = read_json(run_dir.path / STATUS) or {}
    except json.JSONDecodeError:
        found = {}
    return LearnerStatus(
        learned=found.get("learned", 0),
        left_out=found.get("left_out", 0),
        lag_s=found.get("lag_s"),
        memory_mib=found.get("memory_mib", 0.0),
    )
