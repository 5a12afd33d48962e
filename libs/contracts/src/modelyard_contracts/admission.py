"""The result of checking the files of a version before it may be loaded: findings, and one verdict."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal, Self

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
    def words(self) -> str:
        """What the verdict means, for people: a format that names known code only passes as well."""
        return _WORDS[self.value]

    @property
    def rank(self) -> int:
        """0 is best."""
        return list(ScanVerdict).index(self)

    @classmethod
    def worst(cls, verdicts: Iterable[Self]) -> Self:
        """The worst of several; SAFE_FORMAT of none."""
        return max(verdicts, key=lambda verdict: verdict.rank, default=cls("safe_format"))


_WORDS: Final = {
    "safe_format": "safe: its format cannot hold code",
    "allow_listed": "passed: its format can name code, and all that it names is known and allowed",
    "suspicious": "suspicious: it holds or names unknown code, so a person decides",
    "incomplete": "incomplete: it could not be checked to its end",
    "malicious": "malicious",
}


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

    @property
    def state(self) -> Literal["vulnerable", "incomplete", "clean"]:
        """`clean` only if every dependency has an exact version and was compared with a snapshot."""
        if self.vulnerabilities:
            return "vulnerable"
        return "incomplete" if self.snapshot_at is None or self.unchecked else "clean"

    def sentence(self, now: datetime | None = None) -> str:
        """The result for people. now: to state the age of the snapshot."""
        if self.snapshot_at is None:
            return "incomplete: not compared with known vulnerabilities, as there is no usable snapshot of them"
        age = "" if now is None else f", {max(0, (now - self.snapshot_at).days)} days old"
        found = len(self.vulnerabilities)
        parts = [f"{found} known vulnerabilit{'y' if found == 1 else 'ies'}" if found else "no known vulnerability"]
        if self.unchecked:
            parts.append(f"{len(self.unchecked)} without an exact version were not compared")
        snapshot = f"{self.checked} compared with the snapshot of {self.snapshot_at:%Y-%m-%d}{age}"
        return f"{self.state}: {snapshot}: {'; '.join(parts)}"


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
