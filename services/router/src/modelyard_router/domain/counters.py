"""Counts of requests and latencies: plain numbers that only grow. api/metrics.py exports them to Prometheus."""

from bisect import bisect_left
from typing import Final

BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Histogram:
    """Observations per bucket, and their sum in seconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.total = 0.0

    def cumulative(self) -> list[tuple[str, float]]:
        """(upper bound, observations up to it) for each bucket."""
        running, out = 0, []
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), self.counts, strict=True):
            running += count
            out.append((bound, float(running)))
        return out


class Outcomes:
    """Predictions of one route, variant and status."""

    __slots__ = ("attempts", "latency", "overhead", "requests")

    def __init__(self) -> None:
        self.requests = self.attempts = 0
        self.latency, self.overhead = Histogram(), Histogram()

    def observe(self, latency_s: float, overhead_s: float, attempts: int) -> None:
        self.requests += 1
        self.attempts += attempts
        latency, overhead = self.latency, self.overhead
        latency.counts[bisect_left(BUCKETS_S, latency_s)] += 1
        latency.total += latency_s
        overhead.counts[bisect_left(BUCKETS_S, overhead_s)] += 1
        overhead.total += overhead_s


class Counters:
    """All counts of one router."""

    def __init__(self) -> None:
        self.outcomes: dict[tuple[str, str, str], Outcomes] = {}
        """By route, variant and status."""
        self.refused: dict[str, int] = {}
        """Requests that reached no version, by error code."""
        self.feedback_items = 0
        self.copies = {"sent": 0, "dropped": 0, "not_matching": 0, "failed": 0}
        """Shadow copies by result."""
        self.tables = {"applied": 0, "refused": 0, "stale": 0, "unreadable": 0, "not_signed": 0}

    def outcome(self, route: str, variant: str, status: str) -> Outcomes:
        key = route, variant, status
        found = self.outcomes.get(key)
        if found is None:
            found = self.outcomes[key] = Outcomes()
        return found

    def refuse(self, code: str) -> None:
        self.refused[code] = self.refused.get(code, 0) + 1
