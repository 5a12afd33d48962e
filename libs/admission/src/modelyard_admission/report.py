"""Scans as the contracts' reports: in this process, or in a process of its own with limits."""

import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from modelyard_admission.limits import Limits
from modelyard_admission.run import run
from modelyard_admission.summary import RULES_VERSION
from modelyard_contracts.admission import FileScan, Finding, ScanReport, ScanVerdict

_STARTUP_SECONDS: Final = 20.0
"""Time on top of the limit of the scan, in which a busy machine starts Python."""


def scan(path: Path, limits: Limits | None = None, osv_snapshot: Path | None = None) -> ScanReport:
    """Scan a file or all files of a folder, in this process.

    The bytes may be hostile: a server calls `scan_isolated`. osv_snapshot: folder or zip file of OSV records with
    which requirement files are compared.
    """
    return ScanReport.model_validate(run(path, limits or Limits(), osv_snapshot))


def scan_isolated(path: Path, limits: Limits | None = None, osv_snapshot: Path | None = None) -> ScanReport:
    """Scan in a process with limits on memory and time; blocks until it ends.

    A crash, a time-out or too little memory is an incomplete scan, never an error.
    """
    limits, started = limits or Limits(), time.monotonic()
    try:
        done = subprocess.run(  # noqa: S603 - our own module, without a shell
            _command(path, limits, osv_snapshot),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=limits.seconds + _STARTUP_SECONDS,
            env={},
            check=False,
        )
        return ScanReport.model_validate_json(done.stdout)
    except subprocess.TimeoutExpired:
        reason = f"the scan took longer than {limits.seconds:g} seconds"
    except ValidationError:
        reason = f"the scan process ended with status {done.returncode} and no report; a file may have crashed it"
    return _incomplete(reason, time.monotonic() - started)


def _command(path: Path, limits: Limits, osv_snapshot: Path | None) -> list[str]:
    given = ["--json", "--confined", "--limits", json.dumps(asdict(limits))]
    snapshot = [] if osv_snapshot is None else ["--osv-snapshot", str(osv_snapshot.absolute())]
    return [sys.executable, "-I", "-m", "modelyard_admission", *given, *snapshot, "--", str(path.absolute())]


def _incomplete(reason: str, seconds: float) -> ScanReport:
    finding = Finding(rule="scan-process", verdict=ScanVerdict.INCOMPLETE, message=reason)
    file = FileScan(path=".", size_bytes=0, format="unknown", verdict=ScanVerdict.INCOMPLETE, findings=(finding,))
    return ScanReport(rules_version=RULES_VERSION, verdict=ScanVerdict.INCOMPLETE, files=(file,), seconds=seconds)
