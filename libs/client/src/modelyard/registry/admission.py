"""Scans and comparisons of versions, and the permissions that people grant."""

from typing import Any

from modelyard.records import ScanInfo, VersionInfo
from modelyard.registry.paths import PagedClient, version_path
from modelyard_contracts.comparison import Resemblance, VersionDiff


class AdmissionClient(PagedClient):
    """Evidence about the files of a version."""

    def scan(self, model: str, version: int) -> ScanInfo:
        """The last scan; conflict (409) while the version is pending."""
        return ScanInfo.model_validate(self.get(f"{version_path(model, version)}/scan"))

    def scan_now(self, model: str, version: int) -> ScanInfo:
        """Scan by the rules of today. A malicious version is rejected, or marked while it serves."""
        return ScanInfo.model_validate(self.post(f"{version_path(model, version)}/scan"))

    def bom(self, model: str, version: int) -> dict[str, Any]:
        """The bill of materials as a CycloneDX 1.6 document."""
        found: dict[str, Any] = self.get(f"{version_path(model, version)}/bom")
        return found

    def allow_code(self, model: str, version: int, reason: str, *, actor: str | None = None) -> VersionInfo:
        """Grant the permissions that the manifest of a version asks for; needs the action `allow-code`."""
        body = {"reason": reason, "actor": actor}
        return VersionInfo.model_validate(self.post(f"{version_path(model, version)}/allow-code", body))

    def diff(self, model: str, version: int, other: int | str) -> VersionDiff:
        """What differs from a version (before) to another one (after). other: its number, or `MODEL@VERSION`."""
        found = self.get(f"{version_path(model, version)}/diff", **{"with": str(other)})
        return VersionDiff.model_validate(found, extra="ignore")

    def resemblance(self, model: str, version: int) -> tuple[Resemblance, ...]:
        """Versions that the caller may read and that share files or tensors, the most alike first."""
        items = self.get(f"{version_path(model, version)}/resemblance")["items"]
        return tuple(Resemblance.model_validate(item, extra="ignore") for item in items)
