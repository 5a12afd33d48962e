"""Requirements of a model, compared with a snapshot of the OSV database that the operator supplied.

Format of the records: https://ossf.github.io/osv-schema/ (1.6). Versions are compared as PEP 440 orders them.
"""

import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from modelyard_admission.notes import Note, Verdict

_FILE: Final = re.compile(r"(?:^|/)requirements[\w.-]*\.txt$")
_PIN: Final = re.compile(r"([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*===?\s*([\w.!+-]+)")
_VERSION: Final = re.compile(
    r"v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(a|alpha|b|beta|c|rc|pre|preview)[-_.]?(\d*))?"
    r"(?:[-_.]?(?:post|rev|r)[-_.]?(\d*)|-(\d+))?(?:[-_.]?dev[-_.]?(\d*))?(?:\+[\w.-]+)?"
)
_MODIFIED: Final = re.compile(rb'"modified"\s*:\s*"([0-9T:.Z+-]+)"')
MAX_RECORD_BYTES: Final = 4 * 1024 * 1024
_PHASES: Final = {"a": 0, "alpha": 0, "b": 1, "beta": 1, "c": 2, "rc": 2, "pre": 2, "preview": 2}
_FINAL, _DEV = 3, -1
Order = tuple[int, tuple[int, ...], int, int, int, int]
"""Key by which versions are ordered: epoch, release, phase and its number, post-release, development release."""


@dataclass(frozen=True, slots=True)
class Pin:
    path: str
    line: int
    package: str
    version: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A known vulnerability of a pin."""

    pin: Pin
    id: str
    summary: str
    fixed_in: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dependencies:
    """`unchecked`: lines without an exact version. `snapshot_at` is None without a snapshot: then nothing is known."""

    snapshot_at: str | None
    checked: int
    unchecked: tuple[str, ...]
    hits: tuple[Hit, ...]


def is_requirements(path: str) -> bool:
    return _FILE.search(path) is not None


def check(texts: Iterable[tuple[str, str]], snapshot: Path | None) -> Dependencies:
    """Compare the exact pins of (path, text) of requirement files with a snapshot: a folder or zip file of records."""
    lines = [(path, number, line) for path, text in texts for number, line in _lines(text)]
    pins = [pin for pin in (_pin(*line) for line in lines) if pin is not None]
    unchecked = tuple(line for path, number, line in lines if _pin(path, number, line) is None)
    if snapshot is None:
        return Dependencies(None, 0, unchecked, ())
    try:
        raw = list(_relevant(snapshot, {pin.package for pin in pins}))
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError):
        return Dependencies(None, 0, unchecked, ())  # a damaged snapshot says nothing about the files of a model
    hits = [hit for record in _parsed(raw) for pin in pins for hit in _hits(record, pin)]
    newest = max((stamp for stamp, _ in raw if stamp), default=None)
    return Dependencies(newest, len(pins), unchecked, tuple(dict.fromkeys(hits)))


def notes(found: Dependencies, path: str) -> Iterator[Note]:
    """Findings of one requirements file."""
    for hit in found.hits:
        if hit.pin.path == path:
            message = f"requires {hit.pin.package} {hit.pin.version}, which has {hit.id}: {hit.summary}"[:300]
            remedy = f"Require {hit.pin.package} {hit.fixed_in[0]} or newer." if hit.fixed_in else None
            yield Note("vulnerable-dependency", Verdict.SUSPICIOUS, message, f"line {hit.pin.line}", remedy)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.replace("\\\n", " ").splitlines(), 1):
        plain = re.sub(r"(?:^|\s)#.*|\s--hash=\S+", "", line).strip()
        if plain:
            yield number, plain


def _pin(path: str, number: int, line: str) -> Pin | None:
    match = _PIN.fullmatch(line.partition(";")[0].strip())
    return Pin(path, number, normalized(match[1]), match[2]) if match else None


def normalized(package: str) -> str:
    """The name as PyPI compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _relevant(snapshot: Path, packages: set[str]) -> Iterator[tuple[str, bytes]]:
    """(time of change, record) of all records; the record is empty if it names none of the packages."""
    names = [
        re.compile(rb'"name"\s*:\s*"' + re.sub("-", "[-_.]+", name).encode() + b'"', re.IGNORECASE) for name in packages
    ]
    for raw in _records(snapshot):
        stamp = max((match[1] for match in _MODIFIED.finditer(raw)), default=b"").decode()
        yield stamp, raw if any(name.search(raw) for name in names) else b""


def _records(snapshot: Path) -> Iterator[bytes]:
    if snapshot.is_dir():
        for path in sorted(snapshot.rglob("*.json")):
            yield path.read_bytes()
        return
    with zipfile.ZipFile(snapshot) as archive:
        for entry in archive.infolist():
            if entry.filename.endswith(".json") and entry.file_size <= MAX_RECORD_BYTES:
                yield archive.read(entry)


def _parsed(raw: Iterable[tuple[str, bytes]]) -> Iterator[dict[str, Any]]:
    for _, record in raw:
        with suppress(ValueError):
            content = json.loads(record)
            if isinstance(content, dict) and not content.get("withdrawn"):
                yield content


def _hits(record: dict[str, Any], pin: Pin) -> Iterator[Hit]:
    for affected in record.get("affected", []):
        package = affected.get("package", {})
        if package.get("ecosystem") == "PyPI" and normalized(package.get("name", "")) == pin.package:
            ranges = [entry for entry in affected.get("ranges", []) if entry.get("type") == "ECOSYSTEM"]
            if pin.version in affected.get("versions", []) or any(_inside(pin.version, entry) for entry in ranges):
                fixed = tuple(
                    event["fixed"] for entry in ranges for event in entry.get("events", []) if "fixed" in event
                )
                yield Hit(pin, str(record.get("id", "?")), str(record.get("summary", "")), fixed)


def _inside(version: str, entry: dict[str, Any]) -> bool:
    """Events in the order of their versions switch the state; an unreadable version counts as affected."""
    mine = order(version)
    affected = False
    for event in entry.get("events", []):
        if "introduced" in event:
            affected = affected or event["introduced"] == "0" or _not_before(mine, event["introduced"])
        elif "fixed" in event and _not_before(mine, event["fixed"]):
            affected = False
        elif "last_affected" in event and _not_before(mine, event["last_affected"]):
            affected = mine == order(event["last_affected"])
    return affected


def _not_before(mine: Order | None, version: str) -> bool:
    theirs = order(version)
    return mine is not None and theirs is not None and mine >= theirs


def order(version: str) -> Order | None:
    """Sort key of a version by PEP 440; None if it is no version."""
    match = _VERSION.fullmatch(version.lower().strip())
    if match is None:
        return None
    epoch, release, phase, phase_number, post, implicit, dev = match.groups()
    parts = [int(part) for part in release.split(".")]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    kind = _PHASES[phase] if phase else _DEV if dev is not None and post is None and implicit is None else _FINAL
    after = int(post or implicit or 0) if post is not None or implicit is not None else -1
    return (
        int(epoch or 0),
        tuple(parts),
        kind,
        int(phase_number or 0),
        after,
        int(dev) if dev else 0 if dev == "" else 1 << 62,
    )
