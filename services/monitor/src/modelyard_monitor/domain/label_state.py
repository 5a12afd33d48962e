"""How far the labels of a version have come, and what they show."""

from dataclasses import dataclass
from enum import Enum

from modelyard_monitor.domain.finding import Finding
from modelyard_monitor.domain.rises import errors_of
from modelyard_monitor.domain.rules import CONSEQUENCE_ROWS, LABELS_MISSING_ROWS, LATE_LABEL_ROWS, MIN_LABELS
from modelyard_monitor.domain.state import VersionState


class Labels(Enum):
    """What labels can contribute to the judgement of a drift now."""

    NONE = "no label has arrived for this version"
    MISSING = "the labels stopped arriving"
    LATE = "the labels arrive late"
    COMING = "the labels of these predictions are on their way"
    ARRIVED = "labels of these predictions have arrived"


@dataclass(frozen=True)
class LabelStatus:
    """The labels of a version at the moment of a finding."""

    labels: Labels
    rows: int
    """Predictions that labels have not reached, as far as recent blocks show."""


def label_status(state: VersionState, found: Finding) -> LabelStatus:
    """Return how far labels have come, compared with the rows of a finding."""
    unreached = rows_without_labels(state)
    if not state.labels:
        late = state.rows >= LATE_LABEL_ROWS
        return LabelStatus(Labels.NONE if late else Labels.COMING, state.rows)
    if state.unlabelled.rows >= LABELS_MISSING_ROWS:
        return LabelStatus(Labels.MISSING, state.unlabelled.rows)
    if unreached >= LATE_LABEL_ROWS:
        return LabelStatus(Labels.LATE, unreached)
    start, until = found.window.start, state.labels_until
    reached = start is not None and until is not None and until > start
    arrived = reached and state.labels >= MIN_LABELS
    return LabelStatus(Labels.ARRIVED if arrived else Labels.COMING, unreached)


def rows_without_labels(state: VersionState) -> int:
    """Return the rows of recent blocks whose predictions are newer than those of the newest labels."""
    until = state.labels_until
    spans = [*state.blocks.closed, state.blocks.filling]
    return sum(span.rows for span in spans if until is None or (span.end is not None and span.end > until))


def errors_rose(state: VersionState) -> bool:
    """Return whether a rise of the error was found within the last rows."""
    return state.errors_rose_at is not None and state.rows - state.errors_rose_at <= CONSEQUENCE_ROWS


def error_in_words(state: VersionState) -> str:
    """Return the error over the newest labels, for a reason."""
    wrong, far = errors_of(state.error_rate.window), errors_of(state.absolute_error.window)
    if wrong.labels:
        return f"the error rate over the last {wrong.labels} labels is {wrong.mean:.3f}"
    return f"the mean absolute error over the last {far.labels} labels is {far.mean:.4g}"
