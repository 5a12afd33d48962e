"""How the version that answered came to traffic: picked from lists of changes, evaluations and rollouts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from modelyard import AuditEntry, EvaluationRun, RolloutRun
from modelyard_contracts import VersionStage


@dataclass(frozen=True)
class Origin:
    """Parts that were found; each may be missing."""

    changes: Sequence[AuditEntry] = field(default_factory=tuple)
    """Of the version's stage, oldest first."""
    approval: AuditEntry | None = None
    evaluation: EvaluationRun | None = None
    rollout: RolloutRun | None = None


def origin_of(
    version: int,
    at: datetime,
    changes: Sequence[AuditEntry],
    evaluations: Sequence[EvaluationRun],
    rollouts: Sequence[RolloutRun],
) -> Origin:
    """Pick what led `version` to the traffic of the moment `at`. Lists are newest first, of the version's model."""
    own = [one for one in changes if one.version == version and one.stage is not None]
    return Origin(
        changes=list(reversed(own)),
        approval=next(
            (one for one in own if one.stage == VersionStage.APPROVED and _by_then(one.occurred_at, at)), None
        ),
        evaluation=next((one for one in evaluations if one.challenger_version == version and one.verdict), None),
        rollout=next((one for one in rollouts if one.to_version == version and _by_then(one.created_at, at)), None),
    )


def _by_then(moment: datetime | None, at: datetime) -> bool:
    return moment is not None and moment <= at
