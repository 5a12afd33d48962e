"""One scan from files to the report as plain data."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from modelyard_admission.dependencies import Dependencies, check, is_requirements, notes
from modelyard_admission.limits import Limits
from modelyard_admission.notes import FileResult, worst
from modelyard_admission.scanning import scan_tree
from modelyard_admission.summary import summary

_TEXTS: Final = frozenset({"text", "markdown", "yaml", "csv"})


def run(path: Path, limits: Limits, osv_snapshot: Path | None) -> dict[str, Any]:
    """Scan a file or a folder; returns the report as a JSON object."""
    started = time.monotonic()
    files = scan_tree(path, limits)
    found = _dependencies(path, files, osv_snapshot)
    if found is not None:
        files = tuple(_with_vulnerabilities(file, found) for file in files)
    return summary(files, seconds=time.monotonic() - started, dependencies=found)


def _dependencies(path: Path, files: tuple[FileResult, ...], snapshot: Path | None) -> Dependencies | None:
    """None if the model has no requirements file."""
    listed = [file for file in files if is_requirements(file.path) and file.format in _TEXTS]
    if not listed:
        return None
    texts = [(file.path, (path / file.path if path.is_dir() else path).read_text("utf-8")) for file in listed]
    return check(texts, snapshot)


def _with_vulnerabilities(file: FileResult, found: Dependencies) -> FileResult:
    added = tuple(notes(found, file.path))
    verdict = worst([file.verdict, *(note.verdict for note in added)])
    return replace(file, notes=(*file.notes, *added), verdict=verdict)
