"""modelyard scan: check files before anything loads them, without a platform and without a network."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from modelyard_cli.outcomes import Exit
from modelyard_cli.output import Form, FormOption, complain, reports_errors, show
from modelyard_cli.stack.layout import StackError
from modelyard_contracts.admission import Finding, ScanReport, ScanVerdict

PASSING: Final = frozenset({ScanVerdict.SAFE_FORMAT, ScanVerdict.ALLOW_LISTED})
"""Verdicts that need no person."""
SHOWN_FINDINGS: Final = 30


@reports_errors
def scan(
    path: Annotated[Path, typer.Argument(help="File or folder; nothing of it is loaded or run.")],
    osv_snapshot: Annotated[
        Path | None, typer.Option(help="Folder or zip file of OSV records, for requirement files with exact versions.")
    ] = None,
    output: FormOption = Form.TABLE,
) -> None:
    """Scan the files of a model, as the registry does before it registers them.

    Exit codes: 0 every file is in a safe format or names allowed code only; 2 the path cannot be read; 4 a file is
    suspicious, malicious, or could not be checked to its end.
    """
    report = scanned(path, osv_snapshot)
    show(output, report.model_dump(mode="json"), lambda: "\n".join(report_lines(report)))
    if report.verdict not in PASSING:
        complain(f"{path}: {report.verdict.words}")
        raise typer.Exit(Exit.NOT_ACCEPTED)


def scanned(path: Path, osv_snapshot: Path | None = None) -> ScanReport:
    """The report of a scan in a process with limits; StackError if there is no such path."""
    from modelyard_admission import scan_isolated

    if not path.exists():
        raise StackError(f"{path}: no such file or folder")
    return scan_isolated(path, osv_snapshot=osv_snapshot)


def report_lines(report: ScanReport) -> Iterator[str]:
    """The verdict of each file and its findings, the worst first, for people."""
    yield f"scan: {report.verdict.words} ({len(report.files)} files, rules {report.rules_version})"
    for file in sorted(report.files, key=lambda file: -file.verdict.rank):
        if len(report.files) <= SHOWN_FINDINGS or file.verdict not in PASSING:
            yield f"  {file.path}: {file.format}, {file.verdict.words}"
    if report.dependencies is not None:
        yield f"  dependencies {report.dependencies.sentence(datetime.now(UTC))}"
    yield from finding_lines(report.findings)


def finding_lines(findings: Sequence[tuple[str, Finding]]) -> Iterator[str]:
    """Findings with their remedies. findings: (path, finding), the worst first."""
    for path, finding in findings[:SHOWN_FINDINGS]:
        place = f" at {finding.place}" if finding.place else ""
        remedy = f" {finding.remedy}" if finding.remedy else ""
        yield f"  {path}{place}: {finding.message} [{finding.rule}, {finding.verdict}]{remedy}"
    if len(findings) > SHOWN_FINDINGS:
        yield f"  and {len(findings) - SHOWN_FINDINGS} more; see -o json"
