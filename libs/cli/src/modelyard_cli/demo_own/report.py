"""The report of the demo, and what does not add up in it."""

from typing import Any, Final

from rich.console import Group
from rich.text import Text

from modelyard_cli.demo_own.cases import Case
from modelyard_cli.output import rows

Report = dict[str, Any]
COLUMNS: Final = (
    "name",
    "flavour",
    "task",
    "verdict",
    "p50_ms",
    "p95_ms",
    "memory_mib",
    "predictions_stored",
    "drift_detected",
)


def faults(report: Report, cases: tuple[Case, ...]) -> list[str]:
    """What does not add up; an empty list is a pass."""
    found = [fault for model in report["models"] for fault in _faults(model)]
    missing = {case.name for case in cases} - {model["name"] for model in report["models"]}
    found += [f"{name} was not served" for name in sorted(missing)]
    drifted = {model["name"] for model in report["models"] if model["drift_detected"]}
    found += [f"{case.name}: no drift was detected" for case in cases if case.shifted and case.name not in drifted]
    if not report["refused"]:
        found.append("no malicious file was refused")
    if report["rollback_seconds"] is None and any(case.code_reason for case in cases):
        found.append("no version was rolled back")
    return found


def _faults(model: Report) -> list[str]:
    name, found = model["name"], []
    if model["predictions_sent"] != model["predictions_stored"]:
        found.append(f"{name}: {model['predictions_sent']} rows sent, {model['predictions_stored']} stored")
    if not model["digest_in_answers"]:
        found.append(f"{name}: an answer or a stored prediction has another digest than the version")
    if model["verdict"] != "deploy":
        found.append(f"{name}: the verdict is {model['verdict']}")
    if model["answers_equal"] is False:
        found.append(f"{name}: its answers differ from the recorded ones")
    return found


def as_tables(report: Report) -> Group:
    """For the terminal."""
    lines = [f"refused: {one['file']}: {one['finding']}" for one in report["refused"]]
    if report["rollback_seconds"] is not None:
        lines.append(f"rollback: {report['rollback_seconds']:.2f} s")
    lines.append(f"wall time: {report['wall_seconds']} s")
    return Group(rows("models", COLUMNS, report["models"]), Text("\n".join(lines)))
