"""How `modelyard train` reads a file, shown before it trains: rows, target, time, columns, metric and split."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from modelyard_contracts.balance import MIN_MINORITY_ROWS, class_metric, held_out_rows, minority_rows
from modelyard_contracts.inference.errors import shown
from modelyard_contracts.policies import RetrainPolicy
from modelyard_contracts.signature import ColumnType, Task
from modelyard_contracts.tables.inference import LEAVE_OUT, TrainingPlan, converted
from modelyard_contracts.tables.table import Table, UnfitFile, listed
from modelyard_contracts.usable import is_missing
from modelyard_contracts.usable.kinds import MAX_CATEGORIES

HOLDOUT_ROWS: Final = RetrainPolicy().holdout_rows
SHOWN_COLUMNS: Final = 20
METRIC_NAMES: Final = {"accuracy": "accuracy", "macro_f1": "macro F1", "mae": "mean absolute error"}


@dataclass(frozen=True)
class Preview:
    """Facts of a file and what is proposed for it. `doubts` keep a run from starting unless they are accepted."""

    table: Table
    plan: TrainingPlan
    left_out: int
    """Rows without a value of the target."""
    missing: dict[str, int]
    classes: dict[str, int]
    metric: str
    held_out: int
    notes: tuple[str, ...]
    doubts: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Lines for people."""
        table, plan = self.table, self.plan
        blank = f", {table.blank_rows} blank ones left out" if table.blank_rows else ""
        unlabelled = f", {self.left_out} without a value of the target left out" if self.left_out else ""
        yield f"{table.path}: {len(table.rows)} rows{blank}{unlabelled}"
        last = " (the last column; --target names another one)" if plan.target == table.header[-1] else ""
        yield f"task: {plan.task}, target: {shown(plan.target)}{self._values()}{last}"
        yield f"time: {shown(plan.time) if plan.time else 'order of the rows'}"
        columns = [f"{shown(name)} ({type_}{self._missing(name)})" for name, type_ in plan.types.items()]
        more = f" and {len(columns) - SHOWN_COLUMNS} more" if len(columns) > SHOWN_COLUMNS else ""
        yield f"columns: {', '.join(columns[:SHOWN_COLUMNS])}{more}"
        if others := self.not_used:
            yield f"left out: {listed(others)}"
        yield f"metric: {METRIC_NAMES[self.metric]}{self._why_metric()}"
        yield f"split: {len(table.rows) - self.held_out} rows to learn from, the newest {self.held_out} held out"
        yield from (f"note: {note}" for note in self.notes)
        yield from (f"doubt: {doubt}" for doubt in self.doubts)

    @property
    def not_used(self) -> list[str]:
        """Columns that are neither feature nor target nor time."""
        used = {*self.plan.types, self.plan.target, self.plan.time}
        return [name for name in self.table.header if name not in used]

    def document(self) -> dict[str, Any]:
        """The preview for programs."""
        return {
            "rows": len(self.table.rows),
            "left_out": self.left_out,
            "task": self.plan.task,
            "target": self.plan.target,
            "time": self.plan.time,
            "columns": dict(self.plan.types),
            "columns_left_out": self.not_used,
            "missing": self.missing,
            "values": list(self.plan.values),
            "classes": self.classes,
            "metric": self.metric,
            "held_out": self.held_out,
            "notes": list(self.notes),
            "doubts": list(self.doubts),
        }

    def _values(self) -> str:
        named = [f"{shown(name)} {count}" for name, count in list(self.classes.items())[:5]]
        return f" ({', '.join(named)}{', ...' if len(self.classes) > 5 else ''})" if named else ""

    def _missing(self, name: str) -> str:
        return f", {self.missing[name]} missing" if self.missing.get(name) else ""

    def _why_metric(self) -> str:
        if self.metric != "macro_f1":
            return ""
        share = max(self.classes.values()) / sum(self.classes.values())
        return f", as {share:.1%} of the rows have one class, which accuracy would reward"


def preview_of(table: Table, plan: TrainingPlan, left_out: int) -> Preview:
    """The preview of a table whose rows all have a target; UnfitFile if the newest rows cannot judge a version."""
    targets = table.cells(plan.target)
    classes = dict(Counter(targets).most_common()) if plan.values else {}
    held = _held_out(table, plan, targets)
    return Preview(
        table=table,
        plan=plan,
        left_out=left_out,
        missing={name: count for name in plan.types if (count := _missing(table, plan, name))},
        classes=classes,
        metric=class_metric(classes.values()) if classes else "mae",
        held_out=held,
        notes=tuple(_notes(table, plan)),
        doubts=tuple(_doubts(classes, _in_order(table, plan, targets)[-held:])),
    )


def _in_order(table: Table, plan: TrainingPlan, targets: Sequence[str]) -> list[str]:
    """Targets in the order of time."""
    if plan.time is None:
        return list(targets)
    times = converted(table, plan.time, ColumnType.TIMESTAMP)
    return [targets[place] for place in sorted(range(len(times)), key=times.__getitem__)]


def _held_out(table: Table, plan: TrainingPlan, targets: Sequence[str]) -> int:
    if plan.task is Task.REGRESSION:
        return held_out_rows([], HOLDOUT_ROWS, len(targets))
    ordered = _in_order(table, plan, targets)
    held = held_out_rows(ordered, HOLDOUT_ROWS)
    newest = set(ordered[-held:])
    if len(newest) == 1:
        remedy = "check the time column" if plan.time else "name a time column by --time, or set --shuffle"
        raise UnfitFile(
            f"{table.path}: the newest {held} rows all have {shown(next(iter(newest)))!r} as {shown(plan.target)!r}, "
            f"so they cannot judge a version; is the file sorted by the target? Then {remedy}"
        )
    return held


def _missing(table: Table, plan: TrainingPlan, name: str) -> int:
    counts = table.counts(name)
    if not plan.types[name].numeric:
        return counts.get("", 0)
    return sum(rows for cell, rows in counts.items() if is_missing(cell))


def _notes(table: Table, plan: TrainingPlan) -> Iterator[str]:
    for name, type_ in plan.types.items():
        if type_ is ColumnType.TIMESTAMP and plan.time is None:
            yield (
                f"column {shown(name)!r} holds times and is a feature; if it is when a row happened, name it by --time"
            )
        if not type_.numeric and (cells := table.trimmed.get(name)):
            yield (
                f"column {shown(name)!r}: blanks around {cells} values were removed; send requests without them, as "
                "a value with blanks is another one"
            )
        if type_ is not ColumnType.CATEGORY:
            continue
        counts, column = table.counts(name), f"column {shown(name)!r}"
        zeros = next((cell for cell in counts if cell.isdigit() and cell.startswith("0") and len(cell) > 1), None)
        if zeros is not None:
            yield f"{column} has leading zeros ({shown(zeros)!r}), so it is a category, no number"
        if words := [cell for cell in counts if cell and is_missing(cell)]:
            rows = sum(counts[cell] for cell in words)
            yield f"{column}: {listed(words)} in {rows} rows is a category; leave these cells empty if it means missing"
        if len(counts) > MAX_CATEGORIES:
            leave_out = f"leave it out by --column {shown(name)}={LEAVE_OUT}"
            yield f"{column} has {len(counts)} different values; if it is an identifier, {leave_out}"


def _doubts(classes: dict[str, int], held_out: Sequence[str]) -> Iterator[str]:
    if classes and (rare := minority_rows(held_out)) < MIN_MINORITY_ROWS:
        yield (
            f"only {rare} held-out rows are not of the commonest class; {MIN_MINORITY_ROWS} are needed to show that a "
            "version is better than always answering that class, so give more rows"
        )
