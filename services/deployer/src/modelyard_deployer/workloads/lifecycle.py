"""Lifecycle of a local replica, one step at a time: start, wait until ready, restart after an exit, drain, stop."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID, uuid4

from modelyard_deployer.domain.errors import VersionUnusable
from modelyard_deployer.domain.routes import Version
from modelyard_deployer.domain.workloads import Resources, VersionKey
from modelyard_deployer.workloads.downloads import Downloads
from modelyard_deployer.workloads.hosts import Hosts
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
ALONE_AFTER: Final = 2
"""Failures after which a replica no longer shares a process: one of those that shared it is the cause."""
ALONE_S: Final = 600.0
"""Time that a replica must be ready in a process of its own before it shares one again."""
STUCK_S: Final = 10.0
"""Time that a version has to leave a shared process; after it the others leave."""
log = logging.getLogger(__name__)


class Processes(Protocol):
    """Starts and stops processes: of one replica, or hosts that replicas of several versions share."""

    def warm(self) -> None:
        """Prepare for a start that is expected soon; returns at once."""

    def start(self, replica_id: UUID, folder: Path, version: Version, resources: Resources) -> Process:
        """Start a model server on the files in `folder`, without waiting until it serves. OSError if that fails."""

    def start_host(self, host_id: UUID, resources: Resources) -> Process:
        """Start a model server with the versions that were admitted. OSError if that fails."""

    def admit(self, host_id: UUID, version: Version, folder: Path) -> None:
        """Have a host load a version, now or when it starts; safe to repeat. OSError if that fails."""

    def dismiss(self, host_id: UUID, key: VersionKey) -> bool:
        """Have a host unload a version. Returns True once nothing of it runs there; poll until it does."""

    def refusal(self, host_id: UUID, key: VersionKey) -> str:
        """Why a host cannot serve a version that it was to load; empty if nothing speaks against it."""

    def alive(self, process: Process) -> bool: ...

    def address(self, process_id: UUID) -> str | None:
        """Address reported by the newest process of a replica or host; None before it has reported one."""

    def answers(self, url: str, member: VersionKey | None = None) -> bool:
        """Whether the replica reports ready, within half a second. member: its version, in a shared process."""

    def warm_up(self, url: str, version: Version) -> str | None:
        """Request one prediction; None on success, else the problem."""

    def last_words(self, process_id: UUID) -> str:
        """Last line of the log of a replica or host."""

    def find(self) -> dict[UUID, Process]:
        """Living processes of this deployer, including those whose record was lost in a crash. Slow; for startup."""

    def stop(self, process: Process) -> bool:
        """Terminate a process; kill it after a grace period. Returns True once it has exited; poll until it does."""

    def tidy(self, process_ids: set[UUID]) -> None:
        """Truncate oversized logs of these replicas and hosts, and delete the files of all others."""


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

    @property
    def hosts(self) -> "Hosts":
        return Hosts(self.records, self.processes.alive, self.spare_after_probes)

    def misplaced(self, replica: Replica, *, shared: bool) -> bool:
        """Whether a replica must move to another process: its own, or one that it shares."""
        if replica.process is None:
            return False
        if replica.host is None:
            return shared and not replica.alone
        return not shared or replica.alone or self.hosts.closed(replica.host)

    def advance(self, replica: Replica, version: Version, resources: Resources) -> None:
        """Move a wanted replica one step towards ready."""
        if replica.stop_at is not None:
            replica = self.records.save(replace(replica, stop_at=None))
        if replica.process is None:
            self._start(replica, version, resources)
        elif not self.processes.alive(replica.process):
            self._restart_later(replica, f"its process exited: {self.processes.last_words(replica.process_id)}")
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
        alone = silent.alone or self.hosts.blames(silent)
        return self.records.save(replace(slot, failures=silent.failures + 1, last_failure=why, alone=alone))

    def retire(self, replica: Replica, grace_s: float) -> bool:
        """Move an unwanted replica one step towards its end; True once its process has exited."""
        now = self.clock()
        if replica.process is not None and not replica.stopping:
            if replica.stop_at is None:
                replica = self.records.save(replace(replica, stop_at=now + timedelta(seconds=grace_s)))
            if replica.stop_at is not None and now < replica.stop_at:
                return False
            replica = self.records.save(replace(replica, stopping=True, url=None))
        if replica.process is not None and not self._ended(replica, replica.process):
            return False
        self.records.delete(replica.id)
        return True

    def _ended(self, replica: Replica, process: Process) -> bool:
        """Whether nothing of a stopping replica runs any more. The last one to leave a host ends its process."""
        if replica.host is None or not self.hosts.needed(replica.host):
            return self.processes.stop(process)
        if not self.processes.alive(process) or self.processes.dismiss(replica.host, replica.key):
            return True
        since = replica.stop_at or self.records.save(replace(replica, stop_at=self.clock())).stop_at
        if since is not None and self.clock() - since > timedelta(seconds=STUCK_S) and not replica.stuck:
            log.warning("version %s of %s does not end; the others leave its process", replica.version, replica.model)
            self.records.save(replace(replica, stuck=True))
        return False

    def probed(self, replica: Replica, answers: bool) -> bool:
        """Record the result of a probe; True when the replica became ready or unresponsive, or needs another one."""
        now, failed = self.clock(), 0 if answers else replica.failed_probes + 1
        if failed >= self.max_failed_probes:
            self._replace(replica, f"{failed} consecutive probes failed")
            return True
        ready_s = (now - replica.since).total_seconds() if answers and replica.since is not None else 0.0
        after = replace(
            replica,
            failed_probes=failed,
            next_probe_at=now + timedelta(seconds=PROBE_EVERY_S if answers else PROBE_AGAIN_S),
            failures=0 if ready_s > HEALTHY_S else replica.failures,
            alone=replica.alone and ready_s <= ALONE_S,
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
            if resources.shared and not replica.alone:
                self._join(replica, version, folder, resources)
                return
            process = self.processes.start(replica.id, folder, version, resources)
        except (VersionUnusable, OSError) as error:
            self._restart_later(replica, str(error))
            return
        self.records.save(with_process(replica, process, now))

    def _join(self, replica: Replica, version: Version, folder: Path, resources: Resources) -> None:
        """Have a host load the version: one that runs, or a new one."""
        host, process = self.hosts.open_to(replica) or (self.new_id(), None)
        self.processes.admit(host, version, folder)
        process = process or self.processes.start_host(host, resources)
        self.records.save(replace(with_process(replica, process, self.clock()), host=host))

    def _await(self, replica: Replica, process: Process, version: Version) -> None:
        """Check whether a started process has become ready; does not block until then."""
        now, url = self.clock(), self.processes.address(replica.process_id)
        if url and self.processes.answers(url, replica.member):
            if problem := self.processes.warm_up(url, version):
                self._replace(replica, f"warm-up prediction failed: {problem}")
                return
            probe_at = now + timedelta(seconds=PROBE_EVERY_S)
            self.records.save(replace(replica, url=url, since=now, next_probe_at=probe_at, failed_probes=0))
        elif url and replica.host and (problem := self.processes.refusal(replica.host, replica.key)):
            self._replace(replica, problem)
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
        alone = replica.alone or (replica.host is not None and failures >= ALONE_AFTER)
        return replace(slot, failures=failures, last_failure=why, next_start_at=next_start_at, alone=alone)


def with_process(replica: Replica, process: Process | None, now: datetime) -> Replica:
    """Return the replica with `process` as its current process; None for no process."""
    host = replica.host if process is not None else None
    return replace(replica, process=process, url=None, since=now, next_start_at=None, failed_probes=0, host=host)
