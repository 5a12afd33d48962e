"""An online learner of a model: whether it should run, what it published, and why it does not run."""

from datetime import datetime, timedelta
from typing import Final, Literal, Self
from uuid import UUID

from pydantic import Field

from modelyard_contracts import Part, UtcDatetime, derived_id
from modelyard_contracts.policies import RetrainPolicy

FIRST_RETRY_S: Final = 1.0
MAX_RETRY_S: Final = 300.0
BASE_FACT: Final = "base_version"
"""Parameter of a snapshot's lineage: the trained version whose signature it has."""
KEEP_VERSIONS: Final = 3
"""Newest snapshots of a learner that are not retired."""


class Learner(Part):
    """One learner. Frozen: a change is a new value."""

    id: UUID
    model: str
    kind: Literal["forest", "linear"]
    wanted: bool = True
    """Named by the model's retraining policy."""
    publish_every_rows: int = 500
    window_rows: int = 4_000
    """Stored labels that a new learner starts with."""
    versions: tuple[int, ...] = ()
    """Versions published and not retired yet, oldest first."""
    published_rows: int = 0
    """Rows that the newest published snapshot has learned."""
    published_at: UtcDatetime | None = None
    failures: int = 0
    """Processes that ended in a row without learning anything."""
    learned_at_start: int = 0
    retry_at: UtcDatetime | None = None
    reason: str = ""
    """Why it does not run; empty while it does."""

    @classmethod
    def new(cls, model: str, kind: Literal["forest", "linear"]) -> Self:
        return cls(id=derived_id("learner", model, kind), model=model, kind=kind)

    def following(self, policy: RetrainPolicy) -> Self:
        """The learner under a policy; one that was stopped starts at once."""
        wanted = self.kind in policy.online
        fresh = {} if self.wanted == wanted else {"failures": 0, "retry_at": None, "reason": ""}
        rows = {"publish_every_rows": policy.publish_every_rows, "window_rows": policy.window_rows}
        return self.model_copy(update={"wanted": wanted, **rows, **fresh})

    def may_start(self, now: datetime) -> bool:
        return self.wanted and (self.retry_at is None or now >= self.retry_at)

    def started(self, learned: int) -> Self:
        """A process was started. learned: rows of the state that it continues."""
        return self.model_copy(update={"learned_at_start": learned, "retry_at": None, "reason": ""})

    def ended(self, now: datetime, learned: int, reason: str) -> Self:
        """Its process ended; the pause doubles with each one that learned nothing."""
        failures = 1 if learned > self.learned_at_start else self.failures + 1
        pause_s = min(MAX_RETRY_S, FIRST_RETRY_S * 2 ** (failures - 1))
        retry_at = now + timedelta(seconds=pause_s)
        return self.model_copy(update={"failures": failures, "retry_at": retry_at, "reason": reason})

    def waits(self, reason: str) -> Self:
        return self if self.reason == reason else self.model_copy(update={"reason": reason})

    def published(self, version: int, rows: int, at: datetime) -> Self:
        versions = (*(one for one in self.versions if one != version), version)
        return self.model_copy(update={"versions": versions, "published_rows": rows, "published_at": at})

    @property
    def outdated(self) -> tuple[int, ...]:
        """Versions to retire."""
        return self.versions[:-KEEP_VERSIONS]


class LearnerStatus(Part):
    """What a learner's process last reported."""

    learned: int = Field(default=0, ge=0)
    """Labelled rows learned."""
    left_out: int = 0
    """Labels that could not be used."""
    lag_s: float | None = None
    """Age of the newest label that it read while more are waiting; 0 if none is waiting."""
    memory_mib: float = 0.0
