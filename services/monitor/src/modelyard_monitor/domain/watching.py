"""Which versions are watched: the manifest of a version, or the reason why its rows are stored but not counted."""

from dataclasses import dataclass
from threading import Lock
from typing import Final

from modelyard_contracts.manifest import ModelManifest

MAX_NOTED: Final = 1_000

Version = tuple[str, int, str]
"""(model, version, digest)"""


@dataclass(frozen=True)
class Lookup:
    """The manifest of a version, or the reason why there is none."""

    manifest: ModelManifest | None = None
    reason: str = ""


class Unwatched:
    """Reasons why versions are not watched, of the versions seen last. Thread-safe."""

    def __init__(self) -> None:
        self._reasons: dict[Version, str] = {}
        self._lock = Lock()

    def note(self, version: Version, reason: str) -> bool:
        """Note a reason, or with '' that the version is watched; return whether that is news."""
        with self._lock:
            known = self._reasons.pop(version, "")
            if reason:
                self._reasons[version] = reason
            while len(self._reasons) > MAX_NOTED:
                self._reasons.pop(next(iter(self._reasons)))
        return known != reason

    def reasons(self) -> dict[Version, str]:
        """Return the reason of every version that is not watched."""
        with self._lock:
            return dict(self._reasons)
