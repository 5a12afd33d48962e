"""The record of one local replica."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from modelyard_deployer.domain.workloads import Instance, VersionKey

UNRESPONSIVE_AFTER: Final = 2
"""Consecutive failed probes after which a replica gets no traffic while another one of its version is ready."""


@dataclass(frozen=True)
class Process:
    """A process on this machine, identified by pid and start time, because pids are reused."""

    pid: int
    started: float
    """Seconds since the epoch, from the operating system."""


@dataclass(frozen=True)
class Replica:
    """A slot for one process of a version; after an exit the next process takes the same slot."""

    id: UUID
    model: str
    version: int
    process: Process | None = None
    url: str | None = None
    """Address; None until the replica is ready."""
    since: datetime | None = None
    """Start of the process, or the moment it became ready."""
    failures: int = 0
    last_failure: str = ""
    next_start_at: datetime | None = None
    next_probe_at: datetime | None = None
    failed_probes: int = 0
    stop_at: datetime | None = None
    """Set while the replica drains."""
    stopping: bool = False
    """The process is terminating and gets no traffic; it cannot become ready again."""
    host: UUID | None = None
    """The process that it shares with replicas of other versions; None for a process of its own."""
    alone: bool = False
    """It must not share a process: it hung beside others, or processes with it exited more than once."""
    stuck: bool = False
    """It was to leave a shared process, but its prediction does not end: the others leave that process."""

    @property
    def key(self) -> VersionKey:
        return VersionKey(self.model, self.version)

    @property
    def member(self) -> VersionKey | None:
        """Names it among the replicas that share its process; None in a process of its own."""
        return self.key if self.host is not None else None

    @property
    def process_id(self) -> UUID:
        """Names the files of its process."""
        return self.host or self.id

    @property
    def moving(self) -> bool:
        """Whether it starts or stops, so that its model needs `ensure`; a ready one is only probed."""
        return self.stopping or self.stop_at is not None or self.process is None or self.url is None

    @property
    def ready(self) -> bool:
        return self.url is not None and not self.stopping and self.failed_probes < UNRESPONSIVE_AFTER

    def describe(self) -> Instance:
        return Instance(
            str(self.id),
            self.model,
            self.version,
            self._state(),
            self.url,
            self.since,
            self.failures,
            self.last_failure,
        )

    def _state(self) -> Literal["waiting", "starting", "ready", "unresponsive", "draining"]:
        if self.stop_at or self.stopping:
            return "draining"
        if self.url:
            return "ready" if self.ready else "unresponsive"
        return "starting" if self.process else "waiting"
