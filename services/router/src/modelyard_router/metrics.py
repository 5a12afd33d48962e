"""The router's figures: plain numbers on the hot path, Prometheus' form only when asked."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from modelyard_runtime.metrics import Metrics

BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_PREFIX: Final = "modelyard_router_"


class Histogram:
    """Counts per bucket, and the sum of what was observed (in Outcomes, for both of its histograms at once)."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.total = 0.0

    def cumulated(self) -> list[tuple[str, float]]:
        running, out = 0, []
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), self.counts, strict=True):
            running += count
            out.append((bound, float(running)))
        return out


class Outcomes:
    """Of one route, variant and status."""

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


class RouterMetrics:
    """Numbers that only grow, and functions asked for the present state."""

    def __init__(self) -> None:
        self._outcomes: dict[tuple[str, str, str], Outcomes] = {}
        self.refused: dict[str, int] = {}
        """By error code: requests that never reached a version."""
        self.feedback_items = 0
        self.tables = {"applied": 0, "refused": 0, "stale": 0, "unreadable": 0}
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}

    def outcome(self, route: str, variant: str, status: str) -> Outcomes:
        key = route, variant, status
        found = self._outcomes.get(key)
        if found is None:
            found = self._outcomes[key] = Outcomes()
        return found

    def refuse(self, code: str) -> None:
        self.refused[code] = self.refused.get(code, 0) + 1

    def collect(self) -> Iterator[Any]:
        """For Prometheus."""
        labels = ["route", "variant", "status"]
        requests = CounterMetricFamily(f"{_PREFIX}predictions", "Predictions by how they ended.", labels=labels)
        attempts = CounterMetricFamily(f"{_PREFIX}attempts", "Replicas asked for them.", labels=labels)
        latency = HistogramMetricFamily(f"{_PREFIX}latency_seconds", "First byte in to answer.", labels=labels)
        overhead = HistogramMetricFamily(f"{_PREFIX}overhead_seconds", "The router's share.", labels=labels)
        for key, outcome in list(self._outcomes.items()):
            requests.add_metric(key, outcome.requests)
            attempts.add_metric(key, outcome.attempts)
            latency.add_metric(key, outcome.latency.cumulated(), outcome.latency.total)
            overhead.add_metric(key, outcome.overhead.cumulated(), outcome.overhead.total)
        yield from (requests, attempts, latency, overhead)
        yield _by_word("refused", "Requests refused before any version, by code.", "code", self.refused)
        yield _by_word("tables", "Route tables read, by what became of them.", "result", self.tables)
        yield CounterMetricFamily(f"{_PREFIX}feedback_items", "Labels taken in.", value=self.feedback_items)
        for name, (help_, value) in self.gauges.items():
            yield GaugeMetricFamily(f"{_PREFIX}{name}", help_, value=value())

    def register(self, metrics: Metrics) -> None:
        """Let the service's /metrics show these."""
        metrics.registry.register(self)


def _by_word(name: str, help_: str, label: str, counts: dict[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"{_PREFIX}{name}", help_, labels=[label])
    for word, count in sorted(counts.items()):
        family.add_metric([word], count)
    return family
