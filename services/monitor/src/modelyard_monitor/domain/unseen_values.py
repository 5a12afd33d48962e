"""The values behind an alarm about a categorical feature: those that the training data did not have. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

from modelyard_contracts import AlertRaised, DriftDetected, DriftKind
from modelyard_contracts.manifest import RESERVED_BINS, ModelManifest
from modelyard_monitor.domain.evidence_rows import Source, quoted
from modelyard_monitor.domain.reports import RecordedEvent, Report
from modelyard_monitor.domain.subjects import CLASSES, Subject, references_of

MAX_VALUES: Final = 5
MAX_READ_CHARS: Final = 200
"""Characters of a value that are read; fewer are shown."""
OTHER: Final = RESERVED_BINS.index("other")
UNSEEN: Final = "unseen_values_high"


class UnseenValue(Report):
    """A value that the training data did not have."""

    value: str
    """Shortened, without control characters."""
    rows: int
    """Predictions of the alarm's window with this value."""


@dataclass(frozen=True)
class UnseenScope:
    """Which rows an alarm is about, and of which subject."""

    model: str
    version: int
    digest: str
    variant: str
    start: datetime
    end: datetime
    subject: str
    kind: DriftKind | None
    """None: the event does not say it."""

    @classmethod
    def of(cls, event: RecordedEvent) -> Self | None:
        """Return the scope of an alarm about unseen values, or of a drift to which they contributed; None otherwise."""
        body, kind = event.payload, None
        if event.topic == DriftDetected.TOPIC:
            kind = _kind_with_others(body)
            if kind is None:
                return None
        elif event.topic != AlertRaised.TOPIC or body.get("alert") != UNSEEN:
            return None
        return cls(
            model=event.model,
            version=int(body["model_version"]),
            digest=body["model_digest"],
            variant=body["variant"],
            start=datetime.fromisoformat(body["window_start"]),
            end=datetime.fromisoformat(body["window_end"]),
            subject=body["subject"],
            kind=kind,
        )

    def sql(self, manifest: ModelManifest) -> str:
        """Return the query for the most frequent values; '' when the manifest does not name the subject."""
        subject = self._subject(manifest)
        reference = references_of(manifest.reference).get(subject)
        source = Source.of(*subject, manifest)
        if reference is None or source is None or source.numeric:
            return ""
        known = ", ".join(map(quoted, reference.categories))
        unseen = f"AND v NOT IN ({known})" if known else ""
        return (
            f"SELECT substringUTF8(v, 1, {MAX_READ_CHARS}) AS value, count() AS rows\n"  # noqa: S608  quoted
            f"FROM (SELECT {source.value} AS v FROM {{db}}.predictions\n"
            f"    WHERE status = 'ok' AND {source.counted} AND model = {quoted(self.model)}\n"
            f"    AND model_version = {self.version} AND model_digest = {quoted(self.digest)}\n"
            f"    AND variant = {quoted(self.variant)}\n"
            f"    AND occurred_at BETWEEN {_literal(self.start)} AND {_literal(self.end)})\n"
            f"WHERE v IS NOT NULL {unseen}\n"
            f"GROUP BY value ORDER BY rows DESC, value LIMIT {MAX_VALUES}"
        )

    def _subject(self, manifest: ModelManifest) -> Subject:
        """An alert names its subject without the kind; a feature may have the name of the classes."""
        if self.kind is None and self.subject not in manifest.signature.categorical and self.subject == CLASSES[1]:
            return CLASSES
        return CLASSES if self.kind is DriftKind.CLASSES else (DriftKind.FEATURE, self.subject)


def _kind_with_others(body: Mapping[str, Any]) -> DriftKind | None:
    """Return the kind of a drift whose window has values that the training data did not have."""
    kind, counts = body["kind"], body.get("current_counts") or ()
    if kind not in (DriftKind.FEATURE, DriftKind.CLASSES) or body.get("bin_edges") or len(counts) <= OTHER:
        return None
    return DriftKind(kind) if counts[OTHER] else None


def _literal(at: datetime) -> str:
    return f"toDateTime64('{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}', 6, 'UTC')"
