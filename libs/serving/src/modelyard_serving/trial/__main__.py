"""Try one version: `python -m modelyard_serving.trial --model-dir DIR [--json]`.

Without --report-fd it starts the confined process and prints the report; with it, it is that process.
"""

import argparse
import os
import sys
from pathlib import Path

from modelyard_contracts.connections import ConnectionAccess
from modelyard_serving.trial.confined import attempt_confined
from modelyard_serving.trial.report import TrialLimits, TrialReport
from modelyard_serving.trial.run import run_trial


def main() -> int:
    """Returns 0 if the version passed, 1 if not."""
    given = _parser().parse_args()
    limits = TrialLimits(given.seconds, given.memory_mib, given.scratch_mib, given.measure_s, given.allow_unconfined)
    if given.report_fd is not None:
        report = attempt_confined(given.model_dir, given.scratch, limits, given.connection)
        with os.fdopen(given.report_fd, "wb") as file:
            file.write(report.model_dump_json().encode())
        return 0
    access = ConnectionAccess.model_validate_json(given.connection.read_bytes()) if given.connection else None
    report = run_trial(given.model_dir, limits, access)
    print(report.model_dump_json(indent=2) if given.json else _sentence(report))
    return 0 if report.passed else 1


def _parser() -> argparse.ArgumentParser:
    usual = TrialLimits()
    parser = argparse.ArgumentParser(prog="modelyard_serving.trial", description=__doc__)
    parser.add_argument("--model-dir", type=Path, required=True, help="folder with manifest.json and the files")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--seconds", type=float, default=usual.seconds)
    parser.add_argument("--memory-mib", type=int, default=usual.memory_mib)
    parser.add_argument("--scratch-mib", type=int, default=usual.scratch_mib)
    parser.add_argument("--measure-s", type=float, default=usual.measure_s)
    parser.add_argument("--allow-unconfined", action="store_true")
    parser.add_argument("--connection", type=Path, help="file with the connection of a model of a provider")
    parser.add_argument("--report-fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    return parser


def _sentence(report: TrialReport) -> str:
    if report.reason:
        return f"{report.outcome}: {report.reason}"
    figures = "" if report.p50_ms is None else f", p50 {report.p50_ms:.2f} ms, p95 {report.p95_ms:.2f} ms"
    differs = f"; {report.first_difference}" if report.first_difference else ""
    return f"{report.outcome}: {report.rows} rows{figures}, peak memory {report.peak_rss_mib:.0f} MiB{differs}"


if __name__ == "__main__":
    sys.exit(main())
