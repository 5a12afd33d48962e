"""Whether the scan of a version's files lets it be registered."""

from collections.abc import Sequence
from typing import Any, Final

from modelyard_contracts.admission import Finding, ScanReport, ScanVerdict
from modelyard_contracts.manifest import Permissions
from modelyard_runtime.errors import Conflict, Invalid

PASSING: Final = frozenset({ScanVerdict.SAFE_FORMAT, ScanVerdict.ALLOW_LISTED})
REFUSED: Final = frozenset({ScanVerdict.MALICIOUS, ScanVerdict.INCOMPLETE})
"""Verdicts that no person can permit."""
MAX_FINDINGS: Final = 20
"""Findings in an answer; `GET .../scan` has all."""


class Inadmissible(Invalid):
    """The scan of its files refuses the version. `extension`: the worst findings, with file, rule and remedy."""

    code = "inadmissible"

    def __init__(self, report: ScanReport, remedy: str) -> None:
        found = worst_findings(report)
        super().__init__(f"the scan found the files {report.verdict}: {reason_of(report)}", field="manifest.files")
        self.remedy = found[0][1].remedy if found and found[0][1].remedy else remedy
        self.extension = {"verdict": report.verdict.value, "findings": [_shown(*one) for one in found]}


class PermissionNotGranted(Invalid):
    """The manifest asks for a permission that no person with the right has granted."""

    code = "permission_not_granted"

    def __init__(self, permissions: Permissions) -> None:
        super().__init__(
            f"manifest.permissions asks for {', '.join(asked(permissions))}, and no role that may allow it has done so",
            field="manifest.permissions",
            remedy="ask a reviewer or an admin to call .../allow-code with a reason, then finalize again",
        )


class NothingToAllow(Conflict):
    """The version asks for no permission."""

    code = "nothing_to_allow"

    def __init__(self, version: int) -> None:
        super().__init__(f"the manifest of version {version} asks for no permission", field="manifest.permissions")


class NotScanned(Conflict):
    """A pending version is scanned when it is finalized."""

    code = "not_scanned"

    def __init__(self, version: int) -> None:
        super().__init__(f"version {version} is not scanned yet; finalize it first")


def asked(permissions: Permissions) -> tuple[str, ...]:
    """Names of the permissions that a manifest asks for."""
    return tuple(name for name in ("code", "network") if getattr(permissions, name))


def refusal(report: ScanReport, permissions: Permissions) -> Inadmissible | None:
    """Return the error of a report that refuses a version; None when it may be registered."""
    if report.verdict in REFUSED:
        return Inadmissible(report, "remove or convert the file, then register a new version")
    if report.verdict not in PASSING and not permissions.code:
        return Inadmissible(
            report,
            "if the code is wanted, register a version whose manifest has permissions.code with a reason; a reviewer "
            "or an admin allows it",
        )
    return None


def worst_findings(report: ScanReport) -> Sequence[tuple[str, Finding]]:
    """Path and finding of what makes the verdict, at most MAX_FINDINGS."""
    return [pair for pair in report.findings if pair[1].verdict.rank >= ScanVerdict.SUSPICIOUS.rank][:MAX_FINDINGS]


def reason_of(report: ScanReport) -> str:
    """The worst finding in one sentence, for histories."""
    found = worst_findings(report)
    if not found:
        return f"verdict {report.verdict}"
    path, finding = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{path}: {finding.message} [{finding.rule}]{more}"


def _shown(path: str, finding: Finding) -> dict[str, Any]:
    return {"file": path, **finding.model_dump(mode="json")}
