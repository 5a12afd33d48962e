"""What the deployer needs of the world."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol
from uuid import UUID

from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.policies import RolloutPolicy
from modelyard_deployer.domain.analysis import Stratum
from modelyard_deployer.domain.model import Version


class RegistryAway(Exception):
    """The registry does not answer now."""

    retryable = True


class Refused(Exception):
    """The registry's answer cannot be served from: no such version, wrong bytes."""

    retryable = False


class Registry(Protocol):
    """The registry's answers. Raises Refused, or RegistryAway."""

    def version(self, model: str, version: int) -> Version: ...

    def policy(self, model: str) -> RolloutPolicy: ...

    def download(self, manifest: ModelManifest, folder: Path) -> None:
        """All files of the version and `manifest.json` in `folder`, digests verified."""


class Monitor(Protocol):
    """The monitor's answers."""

    def health(self, model: str, route: str, since: datetime, new: int, old: int) -> Stratum | None:
        """What versions `new` (as canary) and `old` (as stable) did since then; None when there is no answer."""


@dataclass(frozen=True)
class Process:
    """A replica as the runtime knows it."""

    pid: int
    started: float


class Runtime(Protocol):
    """Where replicas run: local processes here; Ray Serve or Kubernetes behind the same verbs."""

    def warm(self) -> None:
        """Something will soon be started; returns at once."""

    def start(self, replica_id: UUID, folder: Path, version: Version) -> Process:
        """Start a model server on the files in `folder`, and do not wait until it serves. OSError when it cannot."""

    def alive(self, process: Process) -> bool: ...

    def address(self, replica_id: UUID) -> str | None:
        """Where the newest process of this replica says that it listens; None before it has said so."""

    def answers(self, url: str) -> bool:
        """Whether it calls itself ready, within a second or two."""

    def warm_up(self, url: str, manifest: ModelManifest) -> str | None:
        """Ask it for one answer; None when it gave one, else what is wrong."""

    def last_words(self, replica_id: UUID) -> str:
        """The end of its log, one line."""

    def find(self) -> dict[UUID, Process]:
        """Living replicas of this deployer, also those whose record was lost in a crash. Slow; for the start."""

    def stop(self, process: Process) -> bool:
        """Ask it to end, and after some seconds of asking end it. True when it is gone; call again until then."""

    def tidy(self, replica_ids: set[UUID]) -> None:
        """Keep the logs of these replicas within bounds, and forget those of all others."""
