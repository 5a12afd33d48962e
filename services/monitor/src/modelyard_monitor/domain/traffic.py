"""The values of traffic reports: models with traffic, and traffic over time."""

import math
from datetime import datetime, timedelta
from typing import Final

from modelyard_monitor.domain.reports import Report

MAX_BUCKETS: Final = 500
"""Buckets of one answer; a longer time gets wider buckets."""


class ModelTraffic(Report):
    """Traffic of one model on all routes, without copies that are only logged."""

    model: str
    predictions: int
    errors: int
    """Predictions whose status is neither `ok` nor `rejected`."""
    labelled: int
    """Predictions with a label that can be compared; the latest label counts."""
    wrong: int
    mean_absolute_error: float | None
    """Of a regression, in the unit of the target; None without true values."""
    latency_ms_p50: float | None
    latency_ms_p95: float | None
    cost_usd: float
    """Of all predictions."""
    last_at: datetime
    versions: tuple[int, ...]
    """Versions that answered, lowest first."""


class TrafficBucket(Report):
    """Traffic of one version and variant in one interval."""

    at: datetime
    """Start of the interval."""
    version: int
    variant: str
    predictions: int
    errors: int
    labelled: int
    wrong: int
    mean_absolute_error: float | None
    latency_ms_p50: float | None
    latency_ms_p95: float | None
    cost_usd: float


class TrafficOverTime(Report):
    """Traffic of one model by interval, oldest first; intervals without predictions are left out."""

    model: str
    bucket_s: int
    """Length of an interval; longer than requested when the time span needs more than 500 intervals."""
    items: tuple[TrafficBucket, ...]


def bucket_length_s(since: datetime, now: datetime, requested_s: int) -> int:
    """Return the length of an interval, in seconds, so that at most MAX_BUCKETS cover the time from `since` to `now`.

    One bucket is kept in reserve, as intervals start at multiples of their length.
    """
    span_s = max((now - since) / timedelta(seconds=1), 0.0)
    return max(requested_s, math.ceil(span_s / (MAX_BUCKETS - 1)))
