"""Which versions are watched: the manifest of a version, or the reason why its rows are stored but not counted."""

from dataclasses import dataclass
from threading import Lock
from typing import Final

from modelyard_contracts.manifest import ModelManifest, ReferenceProfile
from modelyard_contracts.signature import ColumnType, Signature

MAX_NOTED: Final = 1_000
NO_PROFILE: Final = "the manifest has no reference profile"

Version = tuple[str, int, str]
"""(model, version, digest)"""


@dataclass(frozen=True)
class Lookup:
    """The manifest of a version, or the reason why there is none.

    A manifest whose reference profile cannot be used comes without it, and with the reason.
    """

    manifest: ModelManifest | None = None
    reason: str = ""

    @classmethod
    def of(cls, manifest: ModelManifest) -> "Lookup":
        """Return a manifest as far as it can be used."""
        defect = profile_defect(manifest)
        return cls(manifest.model_copy(update={"reference": None}) if defect else manifest, defect)


def profile_defect(manifest: ModelManifest) -> str:
    """Return why live traffic cannot be compared with a manifest's reference profile; '' when it can.

    The manifest's own checks cover each reference by itself; these compare them with the signature.
    """
    profile = manifest.reference
    if profile is None:
        return NO_PROFILE
    types = {column.name: column.type for column in manifest.signature.columns}
    names = [one.name for one in profile.features]
    if len(set(names)) != len(names):
        return "reference: a feature is listed twice"
    for one in profile.features:
        if one.name not in types:
            return f"reference: {one.name} is not a column of the signature"
        if one.edges if types[one.name] is ColumnType.CATEGORY else one.categories:
            return f"reference: {one.name} is a {types[one.name]}, but its bins are of another kind"
    return _output_defect(manifest.signature, profile)


def _output_defect(signature: Signature, profile: ReferenceProfile) -> str:
    if profile.score is not None and profile.score.categories:
        return "reference: score has categories instead of edges"
    if profile.classes is not None and profile.classes.edges:
        return "reference: classes has edges instead of categories"
    if profile.classes is not None and not signature.task.classifies:
        return f"reference: classes of a {signature.task}"
    return ""


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
