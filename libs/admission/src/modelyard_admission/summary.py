"""The result of a scan as plain data, in the shape of the contracts' `ScanReport`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from modelyard_admission.dependencies import Dependencies
from modelyard_admission.notes import FileResult, Note, Verdict, worst

RULES_VERSION: Final = "2026.11.3"
"""Changes with every change of rules or lists; a version that an older one admitted is scanned again."""


def summary(files: Sequence[FileResult], *, seconds: float, dependencies: Dependencies | None = None) -> dict[str, Any]:
    """The report as a JSON object. An empty folder is incomplete: there is nothing that could be admitted."""
    verdict = worst((file.verdict for file in files), default=Verdict.INCOMPLETE)
    return {
        "rules_version": RULES_VERSION,
        "verdict": verdict.name.lower(),
        "files": [_file(file) for file in files],
        "dependencies": None if dependencies is None else _dependencies(dependencies),
        "seconds": round(seconds, 3),
    }


def _dependencies(found: Dependencies) -> dict[str, Any]:
    return {
        "snapshot_at": found.snapshot_at,
        "checked": found.checked,
        "unchecked": found.unchecked,
        "vulnerabilities": [
            {
                "package": hit.pin.package,
                "version": hit.pin.version,
                "id": hit.id,
                "summary": hit.summary,
                "fixed_in": hit.fixed_in,
            }
            for hit in found.hits
        ],
    }


def _file(file: FileResult) -> dict[str, Any]:
    return {
        "path": file.path,
        "size_bytes": file.size_bytes,
        "format": file.format,
        "verdict": file.verdict.name.lower(),
        "findings": [_finding(note) for note in file.notes],
    }


def _finding(note: Note) -> dict[str, Any]:
    return {**asdict(note), "verdict": note.verdict.name.lower()}


def table(report: dict[str, Any]) -> str:
    """The report as lines for people."""
    lines = [f"{report['verdict']} ({len(report['files'])} files, rules {report['rules_version']})"]
    for file in report["files"]:
        lines.append(f"  {file['verdict']:<13} {file['path']} ({file['format']})")
        lines += [f"      {_line(finding)}" for finding in file["findings"]]
    return "\n".join(lines)


def _line(finding: dict[str, Any]) -> str:
    place = f" [{finding['place']}]" if finding["place"] else ""
    return f"{finding['rule']}: {finding['message']}{place}"
