"""Prometheus metrics, named `modelyard_<service>_<what>_<unit>`; asking twice for a name gives the same metric."""

from collections.abc import Sequence
from threading import Lock
from typing import Any, Final, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SECONDS_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

M = TypeVar("M", Counter, Gauge, Histogram)
_registries: dict[str, tuple[CollectorRegistry, dict[str, Any]]] = {}
_lock = Lock()


def _registry(service: str) -> tuple[CollectorRegistry, dict[str, Any]]:
    with _lock:
        if service not in _registries:
            registry = CollectorRegistry()
            ProcessCollector(registry=registry)
            PlatformCollector(registry=registry)
            _registries[service] = (registry, {})
        return _registries[service]


class Metrics:
    """The metrics of one service in this process; every Metrics(service) of one name shares them."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.registry, self._known = _registry(service)

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        return self._get(Counter, name, help, labels)

    def gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
        return self._get(Gauge, name, help, labels)

    def histogram(
        self, name: str, help: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS_BUCKETS
    ) -> Histogram:
        return self._get(Histogram, name, help, labels, buckets=tuple(buckets))

    def render(self) -> bytes:
        """All metrics in Prometheus' text format (CONTENT_TYPE)."""
        return generate_latest(self.registry)

    def _get(self, kind: type[M], name: str, help: str, labels: Sequence[str], **more: Any) -> M:
        full = f"modelyard_{self.service.replace('-', '_')}_{name}"
        with _lock:
            if full not in self._known:
                self._known[full] = kind(full, help, tuple(labels), registry=self.registry, **more)
            found = self._known[full]
        if not isinstance(found, kind):
            raise TypeError(f"metric {full} is already a {type(found).__name__}")
        return found
