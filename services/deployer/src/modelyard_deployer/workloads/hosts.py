"""Processes that replicas of several versions of one model share, as the records of these replicas show them."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from modelyard_deployer.workloads.records import ReplicaRecords
from modelyard_deployer.workloads.replica import Process, Replica


@dataclass(frozen=True)
class Hosts:
    """silent_after: consecutive failed probes of a replica that is taken to hang."""

    records: ReplicaRecords
    alive: Callable[[Process], bool]
    silent_after: int

    def of(self, host: UUID) -> list[Replica]:
        return [replica for replica in self.records.all() if replica.host == host]

    def needed(self, host: UUID) -> bool:
        """Whether a replica that is not stopping runs in the process."""
        return any(not replica.stopping for replica in self.of(host))

    def closed(self, host: UUID) -> bool:
        """Whether a version that does not end is in the process, so that all others leave it."""
        return any(replica.stuck for replica in self.of(host))

    def open_to(self, replica: Replica) -> tuple[UUID, Process] | None:
        """The process that a replica may join: the fullest that lives, answers, and has no replica of its version."""
        found: dict[UUID, list[Replica]] = {}
        for other in self.records.all(replica.model):
            if other.host is not None:
                found.setdefault(other.host, []).append(other)
        fitting = {host: members for host, members in found.items() if self._takes(members, replica)}
        if not fitting:
            return None
        host = max(fitting, key=lambda one: (len(fitting[one]), str(one)))
        process = next(member.process for member in fitting[host] if member.process is not None)
        return host, process

    def blames(self, silent: Replica) -> bool:
        """Whether a replica that does not answer is the only such one in its process."""
        others = [other for other in self.of(silent.host) if other.id != silent.id] if silent.host else []
        return any(other.ready and not other.failed_probes for other in others)

    def _takes(self, members: list[Replica], replica: Replica) -> bool:
        staying = [member for member in members if not member.stopping]
        silent = [member for member in staying if member.failed_probes >= self.silent_after]
        process = members[0].process
        return (
            len(staying) > len(silent)
            and all(member.version != replica.version and not member.stuck for member in members)
            and process is not None
            and self.alive(process)
        )
