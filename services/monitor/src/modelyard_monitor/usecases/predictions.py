"""A single prediction with everything that is known about it."""

import math
from collections.abc import Collection
from typing import Any

from modelyard_contracts.signature import Signature
from modelyard_monitor.domain.ports import Manifests, PredictionRows, Row
from modelyard_monitor.domain.prediction_record import (
    Attempt,
    ReceivedLabel,
    StoredPrediction,
    Vote,
    named_features,
    named_scores,
)
from modelyard_runtime.errors import NotFound, Retryable


class Predictions:
    """Every method blocks; Retryable while the database is away."""

    def __init__(self, rows: PredictionRows, manifests: Manifests) -> None:
        self._rows = rows
        self._manifests = manifests

    def find(self, prediction_id: str, model: str, workspaces: Collection[str] | None) -> list[StoredPrediction]:
        """Return the predictions with this id, one per model. model: '' for all; workspaces: None for all. NotFound."""
        found = self._rows.predictions(prediction_id, model, workspaces)
        if not found:
            raise NotFound(
                f"no prediction {prediction_id[:80]!r} is stored for models that you may read; "
                "predictions are stored some seconds after the answer",
                field="prediction_id",
            )
        labels = self._rows.labels(prediction_id)
        return [self._record(row, [one for one in labels if one["model"] == row["model"]]) for row in found]

    def _record(self, row: Row, labels: list[Row]) -> StoredPrediction:
        signature = self._signature(row)
        known = tuple(ReceivedLabel(**_without(label, "model")) for label in labels)
        counted = [label for label in known if not label.rejected]
        shown = _finite(_without(row, "features_by_name", "attempts", "votes", "num_features", "scores"))
        return StoredPrediction(
            **shown,
            features=_finite(named_features(row, signature)),
            num_features=tuple(map(_number, row["num_features"])),
            scores=named_scores([one for one in row["scores"] if math.isfinite(one)], signature),
            attempts=tuple(Attempt(**_finite(one)) for one in row["attempts"]),
            votes=tuple(Vote(**_finite(one)) for one in row["votes"]),
            labels=known,
            is_wrong=counted[-1].wrong if counted else None,
            absolute_error=counted[-1].absolute_error if counted else None,
        )

    def _signature(self, row: Row) -> Signature | None:
        """Return the version's signature; None while the registry is away, so that the row is shown without names."""
        try:
            manifest = self._manifests.find((row["model"], row["version"], row["digest"])).manifest
        except Retryable:
            return None
        return manifest.signature if manifest else None


def _without(row: Row, *names: str) -> Row:
    return {name: value for name, value in row.items() if name not in names}


def _finite(fields: Any) -> Any:
    """Return fields with None in place of numbers that JSON cannot hold."""
    return fields and {name: _number(value) for name, value in fields.items()}


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
