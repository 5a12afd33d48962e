"""Drift of one model as rankings, charts and histograms."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from modelyard import Alert, Histogram, RolloutRun, StabilityBucket, StabilityOverTime
from modelyard_console.domain import links
from modelyard_console.domain.charts import Bar, Chart, Line, Mark, histogram
from modelyard_console.domain.formats import words

MAX_LINES: Final = 5
"""Features in one chart."""
ADWIN: Final = "adwin"


@dataclass(frozen=True)
class Subject:
    """A feature, or the score or classes, which have no feature."""

    kind: str
    feature: str = ""

    @property
    def name(self) -> str:
        return self.feature if self.kind == "feature" else words(self.kind)

    @property
    def key(self) -> str:
        """Value of the query parameter."""
        return f"feature:{self.feature}" if self.kind == "feature" else self.kind

    @classmethod
    def read(cls, key: str) -> "Subject | None":
        """The subject of an address; None for an empty one."""
        kind, _, feature = key.partition(":")
        return cls(kind, feature) if kind else None


@dataclass(frozen=True)
class Ranked:
    """Stability of one subject over the window, against the training data."""

    subject: Subject
    psi: float
    expected: float
    """PSI that chance alone would give."""
    p_value: float
    rows: int
    reference_rows: int
    alarm: Alert | None = None
    """The newest alarm about it."""

    @property
    def excess(self) -> float:
        return self.psi - self.expected


def ranked(
    rows: Iterable[Mapping[str, Any]], version: int | None, variant: str, alarms: Iterable[Alert]
) -> list[Ranked]:
    """The subjects of one version and variant, those that moved most first. rows: as `GET .../psi` returns them."""
    newest: dict[str, Alert] = {}
    for alarm in alarms:
        if alarm.version == version and alarm.type == "drift":
            newest.setdefault(alarm.subject, alarm)
    found = [
        Ranked(
            subject=(subject := Subject(str(row["kind"]), str(row["feature"]))),
            psi=row["psi"],
            expected=row["expected_without_drift"],
            p_value=row["p_value"],
            rows=row["current_rows"],
            reference_rows=row["reference_rows"],
            alarm=newest.get(subject.feature or subject.kind),
        )
        for row in rows
        if row["version"] == version and row["variant"] == variant
    ]
    return sorted(found, key=lambda one: (-one.excess, one.subject.name))


def watched(rows: Iterable[Mapping[str, Any]]) -> list[tuple[int, str]]:
    """Versions and variants with counted rows, the busiest first."""
    counts: dict[tuple[int, str], int] = {}
    for row in rows:
        key = (int(row["version"]), str(row["variant"]))
        counts[key] = max(counts.get(key, 0), int(row["current_rows"]))
    return sorted(counts, key=lambda key: (-counts[key], -key[0], key[1]))


def psi_chart(
    over_time: StabilityOverTime,
    subjects: Sequence[Subject],
    version: int | None,
    variant: str,
    marks: Sequence[Mark],
) -> Chart:
    """PSI over time of some subjects; of a single one also what chance alone would give."""
    rows = [one for one in over_time.items if one.version == version and one.variant == variant]
    moments = sorted({row.at for row in rows})
    lines = [Line(subject.name, _along(moments, rows, subject, "psi")) for subject in subjects[:MAX_LINES]]
    if len(lines) == 1:
        expected = _along(moments, rows, subjects[0], "expected_without_drift")
        lines.append(Line("expected without drift", expected, dashed=True))
    return Chart("PSI against the training data", moments, lines, [one for one in marks if _within(one, moments)])


def _along(
    moments: Sequence[datetime], rows: Iterable[StabilityBucket], subject: Subject, name: str
) -> list[float | None]:
    values = {row.at: getattr(row, name) for row in rows if (row.kind, row.feature) == (subject.kind, subject.feature)}
    return [values.get(moment) for moment in moments]


def _within(mark: Mark, moments: Sequence[datetime]) -> bool:
    return bool(moments) and isinstance(mark.at, datetime) and mark.at >= moments[0]


def marks_of(rollouts: Iterable[RolloutRun], alarms: Iterable[Alert], subject: Subject | None) -> list[Mark]:
    """Deployments, and alarms about one subject, or about any."""
    found: list[tuple[datetime, Mark]] = []
    for rollout in rollouts:
        if rollout.ended and rollout.changed_at and rollout.state.value in ("promoted", "rolled_back"):
            text = f"v{rollout.to_version} {words(rollout.state)}"
            found.append((rollout.changed_at, Mark(rollout.changed_at, text, links.rollout(rollout.rollout_id))))
    for alarm in alarms:
        if subject is None or alarm.subject in (subject.feature, subject.kind):
            text = f"alarm: {alarm.subject}"
            found.append((alarm.occurred_at, Mark(alarm.occurred_at, text, links.alarm(alarm.event_id))))
    return [mark for _, mark in sorted(found, key=lambda one: one[0])]


def bars_of(histograms: Iterable[Histogram], version: int | None, variant: str) -> dict[Subject, list[Bar]]:
    """Histogram pairs by subject; bins that are empty on both sides are left out if they are reserved ones."""
    return {
        Subject(one.kind, one.feature): histogram(
            [
                (row.label, row.reference, row.current)
                for row in one.bins
                if row.bin >= 0 or row.reference or row.current
            ]
        )
        for one in histograms
        if one.version == version and one.variant == variant
    }
