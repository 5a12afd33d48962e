"""Which actions on a model can work now."""

from collections.abc import Sequence
from typing import Final

from modelyard import RolloutRun, TrafficOverTime, VersionInfo
from modelyard_contracts import VersionStage

HAS_SERVED: Final = frozenset({VersionStage.APPROVED, VersionStage.LIVE})
"""Stages of versions that served before and may serve again."""


def can_roll_back(champion: int | None, versions: Sequence[VersionInfo], rollouts: Sequence[RolloutRun]) -> bool:
    """Whether there is an open rollout to abort, or another version that may serve."""
    if champion is None:
        return False
    earlier = (one for one in versions if one.version != champion and one.stage in HAS_SERVED)
    return any(earlier) or any(not one.ended for one in rollouts)


def no_rows_to_learn_from(versions: Sequence[VersionInfo], traffic: TrafficOverTime) -> bool:
    """Whether no version was trained here and no label arrived, so that a retraining has no rows."""
    labels = any(row.labelled or row.mean_absolute_error is not None for row in traffic.items)
    return bool(versions) and not labels and all(one.source_kind is not None for one in versions)
