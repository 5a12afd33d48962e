"""The router's counts and gauges for Prometheus."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from modelyard_router.domain.counters import Counters

_PREFIX: Final = "modelyard_router_"
_LABELS: Final = ("route", "variant", "status")
Gauges = Mapping[str, tuple[str, Callable[[], float]]]
"""Name -> (help, function that returns the present value)."""


class CountersCollector:
    """A collector for a Prometheus registry: reads the counts only when they are scraped."""

    def __init__(self, counters: Counters, gauges: Gauges) -> None:
        self._counters, self._gauges = counters, gauges

    def collect(self) -> Iterator[Any]:
        counts = self._counters
        yield from self._outcomes()
        yield _by_label("refused", "Requests refused before any version, by code.", "code", counts.refused)
        yield _by_label("shadow_copies", "Copies of requests that are only logged, by result.", "result", counts.copies)
        yield _by_label("tables", "Route tables read, by result.", "result", counts.tables)
        yield CounterMetricFamily(f"{_PREFIX}feedback_items", "Labels accepted.", value=counts.feedback_items)
        for name, (help_, value) in self._gauges.items():
            yield GaugeMetricFamily(f"{_PREFIX}{name}", help_, value=value())

    def _outcomes(self) -> Iterator[Any]:
        requests = CounterMetricFamily(f"{_PREFIX}predictions", "Predictions by outcome.", labels=_LABELS)
        attempts = CounterMetricFamily(f"{_PREFIX}attempts", "Attempts made for them.", labels=_LABELS)
        latency = HistogramMetricFamily(f"{_PREFIX}latency_seconds", "First byte in to answer.", labels=_LABELS)
        overhead = HistogramMetricFamily(f"{_PREFIX}overhead_seconds", "The router's share.", labels=_LABELS)
        for key, outcome in list(self._counters.outcomes.items()):
            requests.add_metric(key, outcome.requests)
            attempts.add_metric(key, outcome.attempts)
            latency.add_metric(key, outcome.latency.cumulative(), outcome.latency.total)
            overhead.add_metric(key, outcome.overhead.cumulative(), outcome.overhead.total)
        yield from (requests, attempts, latency, overhead)


def _by_label(name: str, help_: str, label: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"{_PREFIX}{name}", help_, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family
