"""Keeps the wanted versions running: restarts exited replicas, drains and stops unwanted ones."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from modelyard_deployer.domain.errors import VersionUnusable
from modelyard_deployer.domain.ports import Process, Runtime, Store
from modelyard_deployer.domain.replicas import Replica, VersionReplicas
from modelyard_deployer.domain.routes import Version
from modelyard_deployer.workloads.downloads import Downloads
from modelyard_runtime.clock import Clock

BACK_OFF_S: Final = 0.5
MAX_BACK_OFF_S: Final = 30.0
HEALTHY_S: Final = 60.0
"""The failures of a replica that has been ready this long are reset."""
PROBE_EVERY_S: Final = 5.0
MAX_FAILED_PROBES: Final = 6
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReplicaLimits:
    per_version: int = 1
    start_timeout_s: float = 60.0
    drain_s: float = 5.0


class ReplicaManager:
    """Replicas of all models; `sync` is called by one thread per model at a time."""

    def __init__(
        self,
        store: Store,
        runtime: Runtime,
        downloads: Downloads,
        clock: Clock,
        limits: ReplicaLimits,
        new_id: Callable[[], UUID] = uuid4,
    ) -> None:
        self._store, self._runtime, self._downloads = store, runtime, downloads
        self._clock, self._limits, self._new_id = clock, limits, new_id

    def adopt(self) -> tuple[int, int]:
        """At the start: adopt the living replicas of an earlier deployer, stop those without a record.

        Returns the numbers of adopted and of stopped replicas.
        """
        found = self._runtime.find()
        with self._store.read() as records:
            known = records.replicas.all()
        for replica in known:
            process = found.pop(replica.id, None)
            if (process.pid, process.started) != (replica.pid, replica.started) if process else replica.pid is not None:
                self._save(_with_process(replica, process, self._clock()))
        for process in found.values():
            self._runtime.stop(process)
        self._runtime.tidy({replica.id for replica in known})
        return sum(replica.pid is not None for replica in known), len(found)

    def sync(self, model: str, wanted: Mapping[int, Version]) -> dict[int, VersionReplicas]:
        """Move each replica of `model` one step towards `wanted`, and return their state per version."""
        with self._store.read() as records:
            known = records.replicas.all(model)
        known += self._missing(model, wanted, known)
        after = [self._step(replica, wanted.get(replica.version)) for replica in known]
        return {version: self._sum_up([r for r in after if r and r.version == version]) for version in wanted}

    def stop_all(self) -> bool:
        """Stop every replica. Returns True once all processes have exited; poll until it does."""
        with self._store.read() as records:
            processes = [process for replica in records.replicas.all() if (process := _process(replica))]
        exited = [self._runtime.stop(process) for process in processes]
        return all(exited)

    def _missing(self, model: str, wanted: Mapping[int, Version], known: list[Replica]) -> list[Replica]:
        made = []
        for version in wanted:
            have = sum(replica.version == version and not replica.stopping for replica in known)
            made += [Replica(self._new_id(), model, version) for _ in range(self._limits.per_version - have)]
        for replica in made:
            self._save(replica)
        return made

    def _step(self, replica: Replica, version: Version | None) -> Replica | None:
        """The replica after one step; None once it is deleted."""
        if version is None or replica.stopping:
            return self._retire(replica)
        if replica.drain_until is not None:
            replica = self._save(replace(replica, drain_until=None))
        process = _process(replica)
        if process is None:
            return self._start(replica, version)
        if not self._runtime.alive(process):
            return self._failed(replica, f"its process exited: {self._runtime.last_words(replica.id)}")
        return self._probe(replica, process) if replica.url else self._await(replica, process, version)

    def _start(self, replica: Replica, version: Version) -> Replica:
        now = self._clock()
        if replica.next_start_at and now < replica.next_start_at:
            return replica
        try:
            folder = self._downloads.folder(version)
            if folder is None:
                self._runtime.warm()
                return replica
            process = self._runtime.start(replica.id, folder, version)
        except (VersionUnusable, OSError) as error:
            return self._failed(replica, str(error))
        return self._save(_with_process(replica, process, now))

    def _await(self, replica: Replica, process: Process, version: Version) -> Replica:
        """Wait for a started process to become ready."""
        now = self._clock()
        url = self._runtime.address(replica.id)
        if url and self._runtime.answers(url):
            if wrong := self._runtime.warm_up(url, version.manifest):
                self._runtime.stop(process)
                return self._failed(replica, f"it starts but does not answer: {wrong}")
            probe_at = now + timedelta(seconds=PROBE_EVERY_S)
            return self._save(replace(replica, url=url, since=now, next_probe_at=probe_at, failed_probes=0))
        if replica.since and (now - replica.since).total_seconds() > self._limits.start_timeout_s:
            self._runtime.stop(process)
            return self._failed(replica, f"not ready within {self._limits.start_timeout_s:.0f} s")
        return replica

    def _probe(self, replica: Replica, process: Process) -> Replica:
        """Check a ready replica at intervals; a busy one has half a minute to answer."""
        now = self._clock()
        if replica.next_probe_at and now < replica.next_probe_at:
            return replica
        answers = self._runtime.answers(replica.url or "")
        failed = 0 if answers else replica.failed_probes + 1
        if failed >= MAX_FAILED_PROBES:
            self._runtime.stop(process)
            return self._failed(replica, f"it has not answered {failed} times in a row")
        healthy = answers and replica.since is not None and (now - replica.since).total_seconds() > HEALTHY_S
        probed = replace(
            replica,
            failed_probes=failed,
            next_probe_at=now + timedelta(seconds=PROBE_EVERY_S),
            failures=0 if healthy else replica.failures,
        )
        return self._save(probed)

    def _failed(self, replica: Replica, why: str) -> Replica:
        failures = replica.failures + 1
        pause_s = min(BACK_OFF_S * 2 ** (failures - 1), MAX_BACK_OFF_S)
        log.warning("replica of %s version %s: %s; restart in %.1f s", replica.model, replica.version, why, pause_s)
        return self._save(
            replace(
                replica,
                pid=None,
                started=None,
                url=None,
                failures=failures,
                last_failure=why,
                failed_probes=0,
                next_start_at=self._clock() + timedelta(seconds=pause_s),
            )
        )

    def _retire(self, replica: Replica) -> Replica | None:
        now, process = self._clock(), _process(replica)
        if process is not None and replica.drain_until is None:
            return self._save(replace(replica, drain_until=now + timedelta(seconds=self._limits.drain_s)))
        if process is not None and replica.drain_until and now < replica.drain_until:
            return replica
        if process is not None and not replica.stopping:
            replica = self._save(replace(replica, stopping=True, url=None))
        if process is not None and not self._runtime.stop(process):
            return replica
        with self._store.write() as records:
            records.replicas.delete(replica.id)
        return None

    def _sum_up(self, replicas: list[Replica]) -> VersionReplicas:
        worst = max(replicas, key=lambda replica: replica.failures, default=None)
        return VersionReplicas(
            urls=tuple(sorted(replica.url for replica in replicas if replica.url)),
            wanted=self._limits.per_version,
            failures=worst.failures if worst else 0,
            last_failure=worst.last_failure if worst else "",
        )

    def _save(self, replica: Replica) -> Replica:
        with self._store.write() as records:
            records.replicas.save(replica)
        return replica


def _process(replica: Replica) -> Process | None:
    if replica.pid is None or replica.started is None:
        return None
    return Process(replica.pid, replica.started)


def _with_process(replica: Replica, process: Process | None, now: datetime) -> Replica:
    pid, started = (process.pid, process.started) if process else (None, None)
    return replace(replica, pid=pid, started=started, url=None, since=now, next_start_at=None)
