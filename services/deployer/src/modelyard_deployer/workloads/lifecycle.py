"""Lifecycle of a local replica, one step at a time: start, wait until ready, restart after an exit, drain, stop."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID, uuid4

from modelyard_contracts.manifest import ModelManifest
from modelyard_deployer.domain.errors import VersionUnusable
from modelyard_deployer.domain.routes import Version
from modelyard_deployer.domain.workloads import Resources
from modelyard_deployer.workloads.downloads import Downloads
from modelyard_deployer.workloads.records import ReplicaRecords
from modelyard_deployer.workloads.replica import Process, Replica
from modelyard_runtime.clock import Clock

BACK_OFF_S: Final = 0.5
MAX_BACK_OFF_S: Final = 30.0
HEALTHY_S: Final = 60.0
"""The failure count is reset once a replica has been ready this long."""
PROBE_EVERY_S: Final = 1.0
PROBE_AGAIN_S: Final = 0.1
"""Pause after a failed probe, which takes up to 0.4 s: the second one fails within two seconds of a hang."""
SPARE_AFTER_PROBES: Final = 8
"""Consecutive failed probes after which another replica starts beside this one: four seconds."""
MAX_FAILED_PROBES: Final = 60
"""Consecutive failed probes before a replica is ended: half a minute, because a busy one responds late."""
log = logging.getLogger(__name__)


class Processes(Protocol):
    """Starts and stops the processes of replicas."""

    def warm(self) -> None:
        """Prepare for a start that is expected soon; returns at once."""

    def start(self, replica_id: UUID, folder: Path, version: Version, resources: Resources) -> Process:
        """Start a model server on the files in `folder`, without waiting until it serves. OSError if that fails."""

    def alive(self, process: Process) -> bool: ...

    def address(self, replica_id: UUID) -> str | None:
        """Address reported by the newest process of this replica; None before it has reported one."""

    def answers(self, url: str) -> bool:
        """Whether the replica reports ready, within half a second."""

    def warm_up(self, url: str, manifest: ModelManifest) -> str | None:
        """Request one prediction; None on success, else the problem."""

    def last_words(self, replica_id: UUID) -> str:
        """Last line of the replica's log."""

    def find(self) -> dict[UUID, Process]:
        """Living replicas of this deployer, including those whose record was lost in a crash. Slow; for startup."""

    def stop(self, process: Process) -> bool:
        """Terminate a process; kill it after a grace period. Returns True once it has exited; poll until it does."""

    def tidy(self, replica_ids: set[UUID]) -> None:
        """Truncate oversized logs of these replicas, and delete the logs of all others."""


@dataclass(frozen=True)
class Lifecycle:
    """Steps of one replica. Each step persists the record before the next step relies on it."""

    processes: Processes
    downloads: Downloads
    records: ReplicaRecords
    clock: Clock
    start_timeout_s: float = 60.0
    max_failed_probes: int = MAX_FAILED_PROBES
    spare_after_probes: int = SPARE_AFTER_PROBES
    new_id: Callable[[], UUID] = uuid4

    def advance(self, replica: Replica, version: Version, resources: Resources) -> None:
        """Move a wanted replica one step towards ready."""
        if replica.stop_at is not None:
            replica = self.records.save(replace(replica, stop_at=None))
        if replica.process is None:
            self._start(replica, version, resources)
        elif not self.processes.alive(replica.process):
            self._restart_later(replica, f"its process exited: {self.processes.last_words(replica.id)}")
        elif replica.url is None:
            self._await(replica, replica.process, version)

    def needs_spare(self, replica: Replica) -> bool:
        """Whether a replica has not answered for so long that another one should take its traffic."""
        return replica.failed_probes >= self.spare_after_probes

    def spare(self, silent: Replica) -> Replica:
        """A slot beside a silent replica; it counts as a failure, so that a version that hangs again and again ends."""
        why = f"{silent.failed_probes} consecutive probes failed"
        slot = Replica(self.new_id(), silent.model, silent.version)
        log.warning("replica of %s version %s: %s; another one starts", silent.model, silent.version, why)
        return self.records.save(replace(slot, failures=silent.failures + 1, last_failure=why))

    def retire(self, replica: Replica, grace_s: float) -> bool:
        """Move an unwanted replica one step towards its end; True once its process has exited."""
        now = self.clock()
        if replica.process is not None and not replica.stopping:
            if replica.stop_at is None:
                replica = self.records.save(replace(replica, stop_at=now + timedelta(seconds=grace_s)))
            if replica.stop_at is not None and now < replica.stop_at:
                return False
            replica = self.records.save(replace(replica, stopping=True, url=None))
        if replica.process is not None and not self.processes.stop(replica.process):
            return False
        self.records.delete(replica.id)
        return True

    def probed(self, replica: Replica, answers: bool) -> bool:
        """Record the result of a probe; True when the replica became ready or unresponsive, or needs another one."""
        now, failed = self.clock(), 0 if answers else replica.failed_probes + 1
        if failed >= self.max_failed_probes:
            self._replace(replica, f"{failed} consecutive probes failed")
            return True
        healthy = answers and replica.since is not None and now - replica.since > timedelta(seconds=HEALTHY_S)
        after = replace(
            replica,
            failed_probes=failed,
            next_probe_at=now + timedelta(seconds=PROBE_EVERY_S if answers else PROBE_AGAIN_S),
            failures=0 if healthy else replica.failures,
        )
        moved = after.ready != replica.ready or self.needs_spare(after) != self.needs_spare(replica)
        return self.records.swap(replica, after) and moved

    def _start(self, replica: Replica, version: Version, resources: Resources) -> None:
        now = self.clock()
        if replica.next_start_at and now < replica.next_start_at:
            return
        try:
            folder = self.downloads.folder(version)
            if folder is None:
                self.processes.warm()
                return
            process = self.processes.start(replica.id, folder, version, resources)
        except (VersionUnusable, OSError) as error:
            self._restart_later(replica, str(error))
            return
        self.records.save(with_process(replica, process, now))

    def _await(self, replica: Replica, process: Process, version: Version) -> None:
        """Check whether a started process has become ready; does not block until then."""
        now, url = self.clock(), self.processes.address(replica.id)
        if url and self.processes.answers(url):
            if problem := self.processes.warm_up(url, version.file.manifest):
                self._replace(replica, f"warm-up prediction failed: {problem}")
                return
            probe_at = now + timedelta(seconds=PROBE_EVERY_S)
            self.records.save(replace(replica, url=url, since=now, next_probe_at=probe_at, failed_probes=0))
        elif replica.since and now - replica.since > timedelta(seconds=self.start_timeout_s):
            self._replace(replica, f"not ready within {self.start_timeout_s:.0f} s")

    def _restart_later(self, replica: Replica, why: str) -> None:
        """Free the slot of a process that has exited; restarts back off exponentially."""
        self.records.save(self._after_failure(replica, why))

    def _replace(self, replica: Replica, why: str) -> None:
        """Stop an unresponsive process and open a new slot; the old record stays until the process has exited."""
        self.records.save(self._after_failure(replace(replica, id=self.new_id()), why))
        self.records.save(replace(replica, stopping=True, url=None))

    def _after_failure(self, replica: Replica, why: str) -> Replica:
        failures = replica.failures + 1
        pause_s = min(BACK_OFF_S * 2 ** (failures - 1), MAX_BACK_OFF_S)
        log.warning("replica of %s version %s: %s; restart in %.1f s", replica.model, replica.version, why, pause_s)
        next_start_at = self.clock() + timedelta(seconds=pause_s)
        slot = Replica(replica.id, replica.model, replica.version)
        return replace(slot, failures=failures, last_failure=why, next_start_at=next_start_at)


def with_process(replica: Replica, process: Process | None, now: datetime) -> Replica:
    """Return the replica with `process` as its current process; None for no process."""
    return replace(replica, process=process, url=None, since=now, next_start_at=None, failed_probes=0)
