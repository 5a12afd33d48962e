"""The evaluator's nouns."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from modelyard_contracts import Verdict
from modelyard_contracts.policies import GatePolicy


class Stage(StrEnum):
    """How far an evaluation is. Each stage can be done again after a crash."""

    PENDING = "pending"
    """Written down; the registry has not been asked yet."""
    WAITING = "waiting"
    """Known what to compare; waiting for labelled rows."""
    SCORING = "scoring"
    """The rows are fixed by a moment; pinned, scored and compared."""
    FINISHED = "finished"


@dataclass(frozen=True)
class Side:
    """One of the two versions."""

    version: int
    digest: str


@dataclass(frozen=True)
class Evaluation:
    """One comparison. Its id is derived from what asked for it, so asking twice is one."""

    id: UUID
    model: str
    challenger_version: int
    cause_id: UUID | None
    correlation_id: UUID
    requested_by: str
    created_at: datetime
    changed_at: datetime
    reason: str = ""
    asked_champion: int | None = None
    stage: Stage = Stage.PENDING
    challenger: Side | None = None
    champion: Side | None = None
    """None: there is no champion, and the majority class is the one to beat."""
    policy: GatePolicy = field(default_factory=GatePolicy)
    since: datetime | None = None
    """Rows predicted after it were seen by neither version in training."""
    as_of: datetime | None = None
    """Labels known at this moment count; set once, so that a repeat pins the same rows."""
    dataset_digest: str | None = None
    note: str = ""
    """What it waits for, or what went wrong last."""
    attempts: int = 0
    """Failed ones at this stage."""
    next_at: datetime | None = None
    """Not to be tried before."""
    return_to: int | None = None
    """An earlier version that shall serve again."""
    verdict: Verdict | None = None
    report: dict[str, Any] | None = None
    writes: int = 0

    @property
    def champion_name(self) -> str:
        """What the challenger has to beat, in words."""
        return f"version {self.champion.version}" if self.champion else "the majority class"

    @property
    def done(self) -> bool:
        return self.stage is Stage.FINISHED
