"""The report: what was measured, as data; the terminal and the page only show it."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Group
from rich.table import Table
from rich.text import Text

from modelyard_cli.backtest.learners import Outputs
from modelyard_cli.demo.data import Stream
from modelyard_cli.demo.loops import closed
from modelyard_cli.demo.measure import mean_by_part, rolling, row_scores
from modelyard_cli.demo.traffic import Answers
from modelyard_cli.output import rows

Report = dict[str, Any]
NAMES: Final = {
    "frozen": "version 1 frozen",
    "scheduled": "scheduled retraining",
    "online": "online forest",
    "platform": "platform",
}
"""Ways to work that are compared, as people read them; the platform last."""


def make_report(
    stream: Stream,
    first: int,
    answers: Answers,
    compared: Mapping[str, Outputs],
    stored: Mapping[str, Any],
    found_loops: list[dict[str, Any]],
    versions: list[dict[str, Any]],
) -> Report:
    """All but the roll-back and the wall time, which are measured later.

    compared: outputs for every row from `first` on, by name: of version 1 alone (`frozen`) and of other ways to work.
    """
    scores = _scores(stream, first, answers, compared)
    return {
        "model": stream.name,
        "metric": "accuracy" if stream.classes else "mean absolute error",
        "rows_trained": first,
        "rows_sent": answers.sent,
        "predictions_stored": int(stored["stored"]),
        "predictions_distinct": int(stored["distinct"]),
        "labels_sent": answers.labels_sent,
        "labels_joined": int(stored["joined"]),
        "versions": versions,
        "loops": found_loops,
        "accuracy": {
            **{name: mean_by_part(found) for name, found in scores.items()},
            **{f"{name}_overall": round(float(found.mean()), 4) for name, found in scores.items()},
        },
        "curve": {name: rolling(found) for name, found in scores.items()},
        "rows_per_s": round(answers.sent / max(max(answers.at.values()) - min(answers.at.values()), 1e-9), 1),
        "marks": marks(answers, found_loops),
        "latency_ms": {f"p{part}": round(float(np.percentile(answers.latencies_ms, part)), 2) for part in (50, 99)},
        "cost": {
            "predictions_usd": float(stored["cost_usd"] or 0.0),
            "training_usd": round(sum(loop["training_cost_usd"] for loop in found_loops), 6),
            "training_seconds": round(sum(loop["run_seconds"] for loop in found_loops), 2),
        },
        "rollback_seconds": None,
        "rollback": None,
        "rollback_error": None,
        "wall_seconds": None,
    }


def _scores(
    stream: Stream, first: int, answers: Answers, compared: Mapping[str, Outputs]
) -> dict[str, NDArray[np.float64]]:
    """Score of each answered row, by way to work."""
    sent = sorted(answers.outputs)
    outputs: dict[str, list[Any]] = {name: [found[row - first] for row in sent] for name, found in compared.items()}
    outputs["platform"] = [answers.outputs[row] for row in sent]
    return {name: row_scores(found, stream.labels[sent], stream) for name, found in outputs.items()}


def marks(answers: Answers, found_loops: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Where in the stream the events of the loops fell: the number of rows answered by then."""
    from datetime import datetime

    moments = np.sort(np.array(list(answers.at.values())))

    def row_at(moment: str) -> int:
        return int(np.searchsorted(moments, datetime.fromisoformat(moment).timestamp()))

    found = []
    for number, loop in enumerate(found_loops, start=1):
        found.append({"row": row_at(loop["alarm_at"]), "what": "alarm", "loop": number})
        if loop["promoted_at"]:
            found.append(
                {"row": row_at(loop["promoted_at"]), "what": f"v{loop['rollout_version']} live", "loop": number}
            )
    return sorted(found, key=lambda mark: mark["row"])


def faults(report: Report) -> list[str]:
    """What does not add up; an empty list is a pass. Whether the platform won is no fault."""
    found = []
    if not report["rows_sent"] == report["predictions_stored"] == report["predictions_distinct"]:
        found.append(
            f"predictions: {report['rows_sent']} answered, {report['predictions_stored']} stored, "
            f"{report['predictions_distinct']} distinct"
        )
    if not report["rows_sent"] == report["labels_sent"] == report["labels_joined"]:
        found.append(f"labels: {report['labels_sent']} sent, {report['labels_joined']} joined")
    if not any(closed(loop) for loop in report["loops"]):
        found.append("no loop closed: no alarm led to a version that was promoted or refused")
    if report["rollback_error"]:
        found.append(f"no roll-back could be shown: {report['rollback_error']}")
    return found


def as_tables(report: Report) -> Group:
    """For the terminal."""
    return Group(_accuracy_table(report), Text(), _loops(report), Text(), _counts(report))


def _accuracy_table(report: Report) -> Group:
    accuracy = report["accuracy"]
    names = [name for name in NAMES if name in accuracy]
    parts = [*zip(*(accuracy[name] for name in names), strict=True), [accuracy[f"{name}_overall"] for name in names]]
    items = [
        {"eighth": "all" if number == len(parts) else str(number)}
        | {NAMES[name]: f"{value:.3f}" for name, value in zip(names, part, strict=True)}
        | {"gain": f"{part[-1] - part[0]:+z.3f}"}
        for number, part in enumerate(parts, start=1)
    ]
    title = f"{report['metric']} over the stream"
    return Group(rows(title, ("eighth", *(NAMES[name] for name in names), "gain"), items), Text(note(report), "dim"))


def note(report: Report) -> str:
    """What to know before comparing the columns."""
    return (
        f"The stream is compressed: {report['rows_per_s']:.0f} rows a second, so each second of the platform's work "
        "costs it that many rows; the other columns are computed offline and lose no row."
    )


def _loops(report: Report) -> Group:
    """Three lines a loop: what began it, what came of it, how to read the whole timeline."""
    table = Table.grid(padding=(0, 1))
    for number, loop in enumerate(report["loops"], start=1):
        lines = [
            f"{loop['alarm_at'][11:19]}  {loop['cause']}",
            f"{_outcome(loop)}, {loop['seconds']:.1f} s from the alarm (run {loop['run_seconds']:.1f} s)",
            f"timeline {loop['correlation_id']}",
        ]
        table.add_row(f"{number}.", Text("\n".join(lines)))
    closed_ones = sum(map(closed, report["loops"]))
    return Group(Text(f"loops: {len(report['loops'])}, closed by themselves: {closed_ones}", style="bold"), table)


def _outcome(loop: Mapping[str, Any]) -> str:
    if loop["challenger"] is None:
        return f"run {loop['run_state']}"
    rollout = loop["rollout"] or "not rolled out"
    if loop["rollout_version"] not in (None, loop["challenger"]):
        rollout = f"version {loop['rollout_version']} again: {rollout}"
    steps = [f"version {loop['challenger']}", loop["verdict"] or "not judged yet", rollout]
    return " -> ".join(step.replace("_", " ") for step in steps)


def _counts(report: Report) -> Text:
    rollback = report["rollback"]
    back = (
        f"rollback v{rollback['from_version']} -> v{rollback['to_version']} in {rollback['seconds']:.2f} s"
        if rollback
        else "no rollback: it failed"
        if report["rollback_error"]
        else "no rollback: only one version ever served"
    )
    cost = report["cost"]
    return Text(
        f"predictions: {report['rows_sent']} sent = {report['predictions_stored']} stored = "
        f"{report['predictions_distinct']} distinct; labels: {report['labels_sent']} sent = "
        f"{report['labels_joined']} joined\n"
        f"answers: p50 {report['latency_ms']['p50']} ms, p99 {report['latency_ms']['p99']} ms; {back}\n"
        f"cost: {cost['training_seconds']} s of training, {cost['training_usd'] + cost['predictions_usd']:.4f} USD; "
        f"wall time {report['wall_seconds']} s"
    )
