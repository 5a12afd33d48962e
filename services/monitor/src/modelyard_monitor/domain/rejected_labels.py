"""The values of the report about labels that do not match."""

from datetime import datetime

from modelyard_monitor.domain.reports import Report


class RejectedText(Report):
    """A label that does not match."""

    text: str
    """Shortened, without control characters."""
    reason: str
    labels: int
    """How often it was received."""


class RejectedLabels(Report):
    """Labels that were received and stored, but do not match the model; they are counted nowhere else."""

    model: str
    since: datetime
    """Of the predictions that they are about."""
    labels: int
    reasons: dict[str, int]
    """Labels by reason: `unknown_class`, `wrong_kind`, `unusable_number`, `empty`, `ambiguous`."""
    texts: tuple[RejectedText, ...]
    """The most frequent ones."""
    remedy: str
    """What to change so that labels match; empty without rejected labels, or while the classes are not known."""
