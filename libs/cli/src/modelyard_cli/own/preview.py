"""How `modelyard register` read a model and its sample, before anything is uploaded."""

from collections.abc import Iterator
from typing import Any, Final

from modelyard_contracts.external import not_served
from modelyard_contracts.inference.errors import shown
from modelyard_contracts.tables.table import listed
from modelyard_own import Plan

SHOWN_COLUMNS: Final = 20
MIB: Final = 1 << 20


def plan_lines(plan: Plan) -> Iterator[str]:
    """Lines for people."""
    size = sum(file.source.stat().st_size for file in plan.files)
    made = f", made by {plan.source.framework}" if plan.source.framework else ""
    served = "flavour" if not_served(plan.flavour, plan.options) else "served by the flavour"
    yield f"model: {plan.source.format}{made}, {served} {plan.flavour}"
    yield f"files: {listed(file.path for file in plan.files)} ({size / MIB:.1f} MiB)"
    if plan.stored:
        stored = sum(entry.size_bytes for entry in plan.stored)
        yield f"base: {plan.source.base_model}, {len(plan.stored)} files, stored already ({stored / MIB:.1f} MiB)"
    classes = f", classes: {listed(plan.signature.classes)}" if plan.signature.classes else ""
    vector = f", vectors of {plan.signature.width} numbers" if plan.signature.output.dimension else ""
    yield f"task: {plan.signature.task}{classes}{vector}"
    yield f"sample: {plan.sample.file}, {plan.sample.rows} rows{_own_columns(plan)}"
    columns = [f"{shown(column.name)} ({column.type})" for column in plan.signature.columns]
    more = f" and {len(columns) - SHOWN_COLUMNS} more" if len(columns) > SHOWN_COLUMNS else ""
    yield f"columns: {', '.join(columns[:SHOWN_COLUMNS])}{more}"
    answers = "with" if plan.example.answers else "without"
    yield f"example: {len(plan.example.rows)} rows {answers} recorded answers, replayed before it serves"
    if plan.permissions.code or plan.permissions.network:
        granted = "its code runs, confined" if plan.permissions.code else "it is called over the network"
        yield f"permission: {granted}; reason: {plan.permissions.reason}"
    yield from (f"note: {note}" for note in plan.notes)


def _own_columns(plan: Plan) -> str:
    target = f", target: {shown(plan.sample.target)}" if plan.sample.target else ""
    return f"{target}{f', answers: {shown(plan.sample.answers)}' if plan.sample.answers else ''}"


def plan_document(plan: Plan) -> dict[str, Any]:
    """The same for programs."""
    return {
        "flavour": plan.flavour,
        "source": plan.source.model_dump(mode="json"),
        "files": [file.path for file in plan.files],
        "stored_files": [entry.path for entry in plan.stored],
        "signature": plan.signature.model_dump(mode="json"),
        "options": plan.options,
        "sample_rows": plan.sample.rows,
        "example_rows": len(plan.example.rows),
        "recorded_answers": bool(plan.example.answers),
        "permissions": plan.permissions.model_dump(mode="json"),
        "notes": list(plan.notes),
    }
