"""The result of checking the files of a version before it may be loaded: findings, and one verdict."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Self

from modelyard_contracts.messages.base import Part, UtcDatetime
from modelyard_contracts.numbers import Amount, Count


class ScanVerdict(StrEnum):
    """What the scan of a file, or of a whole version, came to; from best to worst."""

    SAFE_FORMAT = "safe_format"
    """The format cannot hold code, and its structure is sound."""
    ALLOW_LISTED = "allow_listed"
    """The format can name code; everything that it names is on the server's allow-list."""
    SUSPICIOUS = "suspicious"
    """It holds or names code that is on no list, which need not be harmful: a person decides."""
    INCOMPLETE = "incomplete"
    """It could not be checked to the end: damaged, too large, too deep, or of an unknown format. Never clean."""
    MALICIOUS = "malicious"
    """It names code that models do not need, or is built to deceive a reader."""

    @property
    def rank(self) -> int:
        """0 is best."""
        return list(ScanVerdict).index(self)

    @classmethod
    def worst(cls, verdicts: Iterable[Self]) -> Self:
        """The worst of several; SAFE_FORMAT of none."""
        return max(verdicts, key=lambda verdict: verdict.rank, default=cls("safe_format"))


class Finding(Part):
    """One observation about a file. `rule` is stable, such as `pickle-global`; `message` is for people."""

    rule: str
    verdict: ScanVerdict
    """What this finding alone would make of the file."""
    message: str
    place: str | None = None
    """Where in the file: a member of an archive, an offset in bytes, a line."""
    remedy: str | None = None


class FileScan(Part):
    path: str
    size_bytes: Count
    format: str
    """Recognised by content, such as `safetensors`, `pickle`, `onnx`; `unknown` otherwise."""
    verdict: ScanVerdict
    findings: tuple[Finding, ...] = ()


class Vulnerability(Part):
    """A known vulnerability of a dependency."""

    package: str
    version: str
    id: str
    """Such as `PYSEC-2025-1` or `GHSA-...`."""
    summary: str = ""
    fixed_in: tuple[str, ...] = ()


class DependencyScan(Part):
    """Dependencies compared with a snapshot of the OSV database that the operator supplied."""

    snapshot_at: UtcDatetime | None = None
    """Time of the snapshot; None when there is none, so that nothing is known about the dependencies."""
    checked: Count = 0
    unchecked: tuple[str, ...] = ()
    """Lines of requirement files that name no exact version."""
    vulnerabilities: tuple[Vulnerability, ...] = ()


class ScanReport(Part):
    """The scan of all files of a version."""

    rules_version: str
    """Version of the rules; a version is scanned again when it changes."""
    verdict: ScanVerdict
    """The worst of the files'."""
    files: tuple[FileScan, ...] = ()
    dependencies: DependencyScan | None = None
    seconds: Amount = 0.0

    @property
    def findings(self) -> tuple[tuple[str, Finding], ...]:
        """(path, finding) of all files, the worst first."""
        found = [(file.path, finding) for file in self.files for finding in file.findings]
        return tuple(sorted(found, key=lambda pair: -pair[1].verdict.rank))


class TensorDigest(Part):
    """Digest of one tensor's type, shape and values, whatever file and order it is stored in."""

    name: str
    dtype: str
    shape: tuple[Count, ...] = ()
    size_bytes: Count
    digest: str
    """BLAKE2b with 16 bytes, in hexadecimal digits."""
