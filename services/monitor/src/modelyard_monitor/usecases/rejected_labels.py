"""Labels that do not match a model, and what to change so that they do."""

from collections import Counter
from datetime import datetime
from typing import Final

from modelyard_contracts.inference.errors import shown
from modelyard_monitor.domain.labels import Rejection, remedy
from modelyard_monitor.domain.ports import Manifests, RejectedRows, Row
from modelyard_monitor.domain.rejected_labels import RejectedLabels, RejectedText
from modelyard_runtime.errors import Retryable

MAX_TEXTS: Final = 5
NEED_CLASSES: Final = (Rejection.UNKNOWN_CLASS, Rejection.WRONG_KIND)
"""Reasons whose remedy depends on the classes of the version."""


class LabelsThatDoNotMatch:
    """Every method blocks; Retryable while the database is away."""

    def __init__(self, rows: RejectedRows, manifests: Manifests) -> None:
        self._rows = rows
        self._manifests = manifests

    def of(self, model: str, since: datetime) -> RejectedLabels:
        """Return the rejected labels of predictions since a moment, copies left out."""
        counted = self._rows.reasons(model, since)
        texts = self._rows.texts(model, since, MAX_TEXTS) if counted else []
        reasons: Counter[str] = Counter()
        for row in counted:
            reasons[row["reason"]] += row["labels"]
        return RejectedLabels(
            model=model,
            since=since,
            labels=reasons.total(),
            reasons=dict(reasons.most_common()),
            texts=tuple(RejectedText(**{**row, "text": shown(row["text"])}) for row in texts),
            remedy=self._remedy(model, counted, reasons, texts) if counted else "",
        )

    def _remedy(self, model: str, counted: list[Row], reasons: Counter[str], texts: list[Row]) -> str:
        [(reason, _)] = reasons.most_common(1)
        version = next(row for row in counted if row["reason"] == reason)
        try:
            manifest = self._manifests.find((model, version["version"], version["digest"])).manifest
        except Retryable:
            manifest = None
        if manifest is None and reason in NEED_CLASSES:
            return ""
        classes = manifest.signature.classes if manifest else ()
        of_reason = {row["text"]: row["labels"] for row in texts if row["reason"] == reason}
        return remedy({reason: reasons[reason]}, of_reason, classes)
