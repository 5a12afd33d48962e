"""The snapshot of known vulnerabilities that the operator supplies: which one it is, and how old."""

import hashlib
import json
import re
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

NONE: Final = "none"
_MODIFIED: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


@dataclass(frozen=True)
class Snapshot:
    """A snapshot as it is now. path: None without a usable one. newest: last change of a record in it."""

    path: Path | None
    identity: str
    newest: datetime | None = None
    problem: str = ""


class OsvSnapshot:
    """A folder or zip file of OSV records. It may be replaced at any time; rename a complete file into its place."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: tuple[str, Snapshot] | None = None

    def now(self) -> Snapshot:
        """The snapshot, read again when its file has changed. Never raises: a missing one is a problem in words."""
        if self._path is None:
            return Snapshot(None, NONE, problem="REGISTRY_OSV_SNAPSHOT names none")
        try:
            stat = self._path.stat()
            identity = hashlib.sha256(f"{stat.st_ino} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:12]
            if self._known is None or self._known[0] != identity:
                self._known = identity, _read(self._path, identity)
            return self._known[1]
        except (OSError, zipfile.BadZipFile, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            return Snapshot(None, NONE, problem=f"the file of REGISTRY_OSV_SNAPSHOT cannot be used: {reason}")

    def described(self, now: datetime) -> str:
        """Its age in words, for operators."""
        found = self.now()
        if found.path is None:
            return f"dependencies are not compared with known vulnerabilities: {found.problem}"
        if found.newest is None:
            return "the snapshot of known vulnerabilities states no time"
        return f"snapshot of {found.newest:%Y-%m-%d}, {max(0, (now - found.newest).days)} days old"


def _read(path: Path, identity: str) -> Snapshot:
    newest = max(_moments(path), default=None)
    if newest is None:
        raise ValueError("it holds no OSV records (*.json with `modified`)")
    return Snapshot(path, identity, newest)


def _moments(path: Path) -> list[datetime]:
    """Times of change of all records."""
    if path.is_dir():
        texts = [file.read_bytes() for file in path.rglob("*.json")]
    else:
        with zipfile.ZipFile(path) as archive:
            texts = [archive.read(entry) for entry in archive.infolist() if entry.filename.endswith(".json")]
    return [moment for text in texts if (moment := _modified(text)) is not None]


def _modified(text: bytes) -> datetime | None:
    try:
        found = _MODIFIED.match(str(json.loads(text)["modified"]))
        return datetime.fromisoformat(found[0]).replace(tzinfo=UTC) if found else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
