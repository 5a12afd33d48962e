"""Workloads: the running replicas of a version, as observed by the reconciler."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple


class VersionKey(NamedTuple):
    """Identifies one version of a model."""

    model: str
    version: int


@dataclass(frozen=True)
class Resources:
    """Resources of each replica."""

    memory_mib: int | None = None
    """Limit of the private memory of its process; a process that exceeds it exits. None sets no limit."""
    shared: bool = False
    """Whether replicas of several versions of the model may share a process; one that proved harmful does not."""


@dataclass(frozen=True)
class Workload:
    """Observed state of the replicas of one version."""

    urls: tuple[str, ...] = ()
    """Addresses of the ready and warm replicas, the only ones that may get traffic."""
    wanted: int = 1
    starting: int = 0
    failures: int = 0
    """Failed starts and unexpected exits since the replica was last ready for a minute."""
    last_words: str = ""
    """Cause of the last failure, with the end of the replica's log."""

    @property
    def ready(self) -> bool:
        return len(self.urls) >= self.wanted


@dataclass(frozen=True)
class Instance:
    """One replica, as listed by the API."""

    id: str
    model: str
    version: int
    state: Literal["waiting", "starting", "ready", "unresponsive", "draining"]
    url: str | None
    since: datetime | None
    failures: int
    last_failure: str
