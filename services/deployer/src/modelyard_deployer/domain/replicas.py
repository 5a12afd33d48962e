"""Replicas of a version, and their state summed up per version."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True)
class VersionReplicas:
    """State of the replicas of one version."""

    urls: tuple[str, ...] = ()
    """Addresses of the ready replicas."""
    wanted: int = 1
    failures: int = 0
    """Failed starts and unexpected exits since the last minute of good health."""
    last_failure: str = ""

    @property
    def ready(self) -> bool:
        return len(self.urls) >= self.wanted


@dataclass(frozen=True)
class Replica:
    """A slot for one process of a version. Process id and start time together identify a process for good."""

    id: UUID
    model: str
    version: int
    pid: int | None = None
    started: float | None = None
    """Start time of the process: seconds since the epoch, from the operating system."""
    url: str | None = None
    """Address; None until the replica is ready."""
    since: datetime | None = None
    """Start of the process, or the moment it became ready."""
    failures: int = 0
    last_failure: str = ""
    next_start_at: datetime | None = None
    next_probe_at: datetime | None = None
    failed_probes: int = 0
    drain_until: datetime | None = None
    """Set when the version is no longer wanted."""
    stopping: bool = False
    """The process was asked to exit; it can no longer be acquired, start another replica of the version."""
