"""The `Workloads` port, implemented with processes on this machine."""

import logging
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from modelyard_deployer.domain.routes import Version
from modelyard_deployer.domain.workloads import Instance, Resources, VersionKey, Workload
from modelyard_deployer.workloads.lifecycle import Lifecycle, with_process
from modelyard_deployer.workloads.replica import Replica

PROBES_AT_ONCE: Final = 8
log = logging.getLogger(__name__)


class LocalWorkloads:
    """Replicas as local processes. `ensure` and `drain` are called by one thread per model at a time.

    A replica that stopped answering stays for a while, as it may only be busy; another one takes its traffic meanwhile.
    """

    def __init__(self, lifecycle: Lifecycle, drain_s: float = 5.0, pool: Executor | None = None) -> None:
        self._lifecycle, self._drain_s = lifecycle, drain_s
        self._records, self._processes, self._clock = lifecycle.records, lifecycle.processes, lifecycle.clock
        self._pool = pool or ThreadPoolExecutor(PROBES_AT_ONCE, thread_name_prefix="probe")

    def ensure(self, version: Version, replicas: int, resources: Resources) -> Workload:
        key = VersionKey(version.model, version.version)
        self._stop_exiting(key)
        kept, moving = self._placed(key, resources)
        silent = [replica for replica in kept if self._lifecycle.needs_spare(replica)]
        wanted = replicas + len(silent)
        kept += [self._lifecycle.spare(replica) for replica in silent[: max(0, wanted - max(len(kept), replicas))]]
        kept += [self._records.save(self._new(key)) for _ in range(wanted - len(kept))]
        kept.sort(key=lambda replica: not replica.ready)
        for replica in kept[:wanted]:
            self._lifecycle.advance(replica, version, resources)
        moved = sum(replica.ready for replica in self._placed(key, resources)[0]) >= replicas
        for replica in [*kept[wanted:], *(moving if moved else ())]:
            self._lifecycle.retire(replica, self._drain_s)
        return self.observe(key, replicas)

    def _placed(self, key: VersionKey, resources: Resources) -> tuple[list[Replica], list[Replica]]:
        """Replicas in the right kind of process, and those that serve until others have taken their place."""
        kept = [replica for replica in self._records.of(key) if not replica.stopping]
        moving = [replica for replica in kept if self._lifecycle.misplaced(replica, shared=resources.shared)]
        return [replica for replica in kept if replica not in moving], moving

    def drain(self, key: VersionKey, grace_s: float) -> bool:
        stopped = [self._lifecycle.retire(replica, grace_s) for replica in self._records.of(key)]
        return all(stopped)

    def observe(self, key: VersionKey, replicas: int) -> Workload:
        found = [replica for replica in self._records.of(key) if not replica.stopping]
        worst = max(found, key=lambda replica: replica.failures, default=None)
        return Workload(
            urls=tuple(sorted(r.url for r in found if r.url and r.ready and r.stop_at is None)),
            wanted=replicas,
            starting=sum(replica.process is not None and replica.url is None for replica in found),
            failures=worst.failures if worst else 0,
            last_words=worst.last_failure if worst else "",
        )

    def running(self, model: str | None = None) -> frozenset[VersionKey]:
        return frozenset(replica.key for replica in self._records.all(model))

    def instances(self, model: str | None = None) -> list[Instance]:
        return [replica.describe() for replica in self._records.all(model)]

    def poll(self) -> frozenset[str]:
        now, known = self._clock(), self._records.all()
        changed = {replica.model for replica in known if replica.moving}
        due = [r for r in known if not r.moving and (r.next_probe_at is None or r.next_probe_at <= now)]
        changed |= {replica.model for replica in due if not self._alive(replica)}
        answers = self._pool.map(self._processes.answers, [r.url or "" for r in due], [r.member for r in due])
        changed |= {r.model for r, answer in zip(due, answers, strict=True) if self._lifecycle.probed(r, answer)}
        return frozenset(changed)

    def prepare(self) -> None:
        self._processes.warm()

    def adopt(self) -> tuple[int, int]:
        """Adopt the running replicas of an earlier deployer at startup, and stop those without a record.

        Returns the numbers of adopted and of stopped replicas.
        """
        found = self._processes.find()
        known = self._records.all()
        for replica in known:
            process = found.get(replica.process_id)
            if process != replica.process:
                self._records.save(with_process(replica, process, self._clock()))
        for replica in known:
            found.pop(replica.process_id, None)
        for replica_id, process in found.items():
            # A record tracks the unknown process until it has exited; no model needs its version.
            self._records.save(Replica(replica_id, "", 0, process, stopping=True))
            self._processes.stop(process)
        self.tidy()
        return sum(replica.process is not None for replica in self._records.all()) - len(found), len(found)

    def tidy(self) -> None:
        """Truncate oversized logs, and delete the files of removed replicas."""
        self._processes.tidy({replica.process_id for replica in self._records.all()})

    def stop_all(self) -> bool:
        """Stop every replica. Returns True once all processes have exited; poll until it does."""
        now = self._clock()
        stopped = [self._lifecycle.retire(replace(replica, stop_at=now), 0.0) for replica in self._records.all()]
        return all(stopped)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _alive(self, replica: Replica) -> bool:
        return replica.process is not None and self._processes.alive(replica.process)

    def _stop_exiting(self, key: VersionKey) -> None:
        for replica in self._records.of(key):
            if replica.stopping:
                self._lifecycle.retire(replica, 0.0)

    def _new(self, key: VersionKey) -> Replica:
        return Replica(self._lifecycle.new_id(), key.model, key.version)
