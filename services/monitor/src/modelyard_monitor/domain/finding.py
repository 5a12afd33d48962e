"""A finding: one drift or alert, before it becomes an event."""

from dataclasses import dataclass, field

from modelyard_contracts import DriftKind, OffsetRange, Severity
from modelyard_contracts.manifest import FeatureReference
from modelyard_monitor.domain.state import Window

SCORE = "(score)"
"""Name of the score among the features of slices; findings call it `score`."""


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
    p_value: float | None = None
    q_value: float | None = None
    reference_rows: int = 0
    current_rows: int = 0
    reference: FeatureReference | None = None
    current_counts: tuple[int, ...] = ()
    covers: tuple[OffsetRange, ...] = ()
    window: Window = field(default_factory=Window)

    @property
    def name(self) -> tuple[str, str]:
        """What the rest period applies to."""
        return (self.kind or self.alert, self.subject)


def kind_of(name: str) -> tuple[DriftKind, str]:
    """Return kind and subject of a feature of a slice."""
    return (DriftKind.SCORE, "score") if name == SCORE else (DriftKind.FEATURE, name)
