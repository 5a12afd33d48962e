"""A finding: one drift or alert, before it becomes an event."""

from dataclasses import dataclass, field
from datetime import datetime

from modelyard_contracts import DriftKind, OffsetRange, Recommendation, Severity
from modelyard_contracts.manifest import FeatureReference
from modelyard_monitor.domain.spans import Span


@dataclass(frozen=True)
class Finding:
    """A drift (`kind` is set) or an alert (`alert` is set)."""

    kind: DriftKind | None
    subject: str
    severity: Severity
    reason: str
    statistic: float
    threshold: float
    detector: str = ""
    alert: str = ""
    of: DriftKind = DriftKind.FEATURE
    """Kind of the subject of an alert about values."""
    p_value: float | None = None
    q_value: float | None = None
    reference_rows: int = 0
    current_rows: int = 0
    before: float = 0.0
    """Value that the current one is compared with, for means and errors."""
    spread: float = 1.0
    """Standard deviation that a shift of a mean is measured in."""
    reference: FeatureReference | None = None
    current_counts: tuple[int, ...] = ()
    covers: tuple[OffsetRange, ...] = ()
    window: Span = field(default_factory=Span)
    change_at: datetime | None = None
    """Time of the first row after the change, for errors."""
    dispersion: float = 1.0
    """Variance of the counts over that of independent rows."""
    recommendation: Recommendation | None = None
    because: str = ""
    """Why this action is recommended."""

    @property
    def name(self) -> tuple[str, str, str]:
        """What the rest period applies to: statistics of two detectors are never compared."""
        return (self.kind or self.alert, self.subject, self.detector)
