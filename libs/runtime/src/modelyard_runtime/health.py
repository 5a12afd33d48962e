"""Readiness: named checks, each with a detail."""

from dataclasses import dataclass, field
from threading import Lock


@dataclass(frozen=True)
class Check:
    ok: bool
    detail: str = ""


@dataclass
class Readiness:
    """Ready when every named check is good; set from any thread."""

    _checks: dict[str, Check] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)
    _stopping: bool = False

    def set(self, name: str, ok: bool, detail: str = "") -> None:
        with self._lock:
            self._checks[name] = Check(ok, detail)

    def forget(self, name: str) -> None:
        """Drop a check that no longer applies."""
        with self._lock:
            self._checks.pop(name, None)

    @property
    def stopping(self) -> bool:
        """Whether the service is stopping: long responses end now."""
        with self._lock:
            return self._stopping

    def stop(self) -> None:
        """Mark the service as stopping, and not ready."""
        with self._lock:
            self._stopping = True
            self._checks["service"] = Check(False, "stopping")

    @property
    def ready(self) -> bool:
        with self._lock:
            return all(check.ok for check in self._checks.values())

    def as_dict(self, *, details: bool = True) -> dict[str, object]:
        """`{"ready": bool, "checks": {name: {"ok": bool, "detail": str}}}`.

        details: they may name hosts, topics and users; without them each is empty.
        """
        with self._lock:
            checks = dict(self._checks)
        return {
            "ready": all(check.ok for check in checks.values()),
            "checks": {
                name: {"ok": check.ok, "detail": check.detail if details else ""}
                for name, check in sorted(checks.items())
            },
        }
