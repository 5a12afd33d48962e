"""modelyard train: a CSV file becomes a dataset, a run, a version, and in time what serves."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from modelyard_cli.context import Platform
from modelyard_cli.outcomes import Exit, await_release, await_run
from modelyard_cli.output import Form, FormOption, cell, complain, complaints, console, progress, reports_errors, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, StackError
from modelyard_cli.verbs.options import DEFAULT_REASON, Follow, ModelArgument, Reason
from modelyard_contracts.signature import ColumnType, Task

if TYPE_CHECKING:
    from modelyard import RegistryClient
    from modelyard_cli.demo.table import Table
    from modelyard_cli.inference import TrainingPlan

MIN_ROWS: Final = 500
SHOWN_CHARS: Final = 200


@reports_errors
def train(
    model: ModelArgument,
    file: Annotated[Path, typer.Argument(help="A CSV file with a header, in order of time unless --time is given.")],
    task: Annotated[
        str | None, typer.Option(help="binary, multiclass or regression; inferred from the target without it.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Target column; inferred from its name without it.")] = None,
    time: Annotated[str | None, typer.Option(help="Time column, or `none` if the rows are in order of time.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="NAME=TYPE: number, integer, boolean, category, text or timestamp.")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Recipe; without it, the policy's or the task's.")] = None,
    new_contract: Annotated[
        bool, typer.Option("--new-contract", help="Make a new signature from this file, even if versions exist.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show how the file is read; train nothing.")] = False,
    reason: Reason = DEFAULT_REASON,
    follow: Follow = True,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Train a version on a table; evaluation, approval and rollout follow by themselves. Ctrl-C stops none of them.

    Exit codes: 0 serves, serves as a canary or waits for an approval; 3 the run failed; 4 the verdict is not `deploy`;
    5 the rollout failed; 2 the file or an option cannot be used, also when the target or the task is ambiguous.
    """
    table, plan = read_plan(file, target, time, task, column or [])
    _show_plan(table, plan)
    if dry_run:
        show(output, plan_as_json(plan), lambda: "nothing was trained (--dry-run)")
        return
    platform = Platform.find(data_dir)
    platform.registry.create_model(model)
    digest = upload_table(platform.registry, table, plan, model)
    run = platform.trainer.start_run(
        model,
        dataset_digest=digest,
        recipe=recipe,
        task=plan.task,
        columns={name: str(type_) for name, type_ in plan.types.items()},
        new_contract=new_contract,
        reason=reason,
    )
    with progress(f"run {run.run_id}") as report:
        run = await_run(platform, run.run_id, report)
        outcome = None
        if run.state == "succeeded" and follow and run.version is not None:
            outcome = await_release(platform, model, run.version, report)
    found = {**run.model_dump(mode="json"), "outcome": outcome.text if outcome else ""}
    show(output, found, lambda: _run_line(found))
    if run.state != "succeeded":
        complain(f"the run {run.state}: {_end_of(run.reason or 'no reason given')}")
        raise typer.Exit(Exit.RUN_FAILED)
    if output is Form.TABLE:
        console.print(f"timeline: modelyard timeline {run.correlation_id}", soft_wrap=True)
    if outcome is not None:
        _end(outcome.text, outcome.code, output)


def _end(text: str, code: Exit, output: Form) -> None:
    if code is not Exit.DONE:
        complain(text)
        raise typer.Exit(code)
    if output is Form.TABLE:
        console.print(text, soft_wrap=True, markup=False, highlight=False)


def _run_line(run: dict[str, Any]) -> str:
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in (run.get("metrics") or {}).items())
    version = f", version {run['version']}" if run.get("version") else ""
    return f"run {run['run_id']}: {run['state']}{version}{f' ({metrics})' if metrics else ''}"


def _end_of(reason: str) -> str:
    """The end of a log names the error; the whole reason is in `modelyard runs`."""
    return reason if len(reason) <= SHOWN_CHARS else f"... {reason[-SHOWN_CHARS:]}"


def read_plan(
    file: Path, target: str | None, time: str | None, task: str | None, columns: list[str]
) -> "tuple[Table, TrainingPlan]":
    """Read a file and infer how to train on it; asks on a terminal where the target is ambiguous."""
    from modelyard_cli.demo.table import UnfitFile, read_table
    from modelyard_cli.inference import Choices, infer

    table = read_table(file)
    if len(table.rows) < MIN_ROWS:
        raise UnfitFile(f"{file}: {len(table.rows)} rows; at least {MIN_ROWS} are needed")
    return table, infer(table, Choices(target, time, checked_task(task), dict(_typed(text) for text in columns)))


def checked_task(text: str | None) -> Task | None:
    """The task of an option; StackError if such models are not trained."""
    trained = (Task.BINARY, Task.MULTICLASS, Task.REGRESSION)
    if text is not None and text not in trained:
        raise StackError(f"--task {text}: use {', '.join(trained)}")
    return None if text is None else Task(text)


def _typed(text: str) -> tuple[str, ColumnType]:
    name, found, type_ = text.rpartition("=")
    if not found or type_ not in list(ColumnType):
        raise StackError(f"--column {text}: write NAME=TYPE with a type of {', '.join(ColumnType)}")
    return name, ColumnType(type_)


def _show_plan(table: "Table", plan: "TrainingPlan") -> None:
    """Report on stderr how the file is read, before anything is trained."""
    values = f" ({', '.join(plan.values[:5])}{', ...' if len(plan.values) > 5 else ''})" if plan.values else ""
    lines = [
        f"{table.path}: {len(table.rows)} rows",
        f"task: {plan.task}, target: {plan.target}{values}",
        f"time: {plan.time or 'order of the rows'}",
        "columns: " + ", ".join(f"{name} ({type_})" for name, type_ in plan.types.items()),
    ]
    for line in lines:
        complaints.print(cell(line), soft_wrap=True, markup=False, highlight=False)


def plan_as_json(plan: "TrainingPlan") -> dict[str, Any]:
    """The plan for programs."""
    return {
        "task": plan.task,
        "target": plan.target,
        "time": plan.time,
        "columns": dict(plan.types),
        "values": list(plan.values),
    }


def upload_table(registry: "RegistryClient", table: "Table", plan: "TrainingPlan", model: str) -> str:
    """Register the table as a dataset; returns its digest. The same rows again change nothing."""
    import pyarrow.parquet as pq

    converted = arrow_table(table, plan)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        pq.write_table(converted, path)
        digest = registry.put_blob(path)
        registry.create_dataset(
            digest=digest,
            name=table.path.stem,
            model=model,
            rows=len(table.rows),
            size_bytes=path.stat().st_size,
            columns={field.name: str(field.type) for field in converted.schema},
            source={"file": table.path.name},
        )
    return digest


def arrow_table(table: "Table", plan: "TrainingPlan") -> Any:
    """The table with a type for each column, the target as `label` and the time as `occurred_at`.

    Classes stay strings, numbers become doubles. Without a time column the rows are a second apart, the last one now.
    """
    import pyarrow as pa

    from modelyard_cli.inference import converted

    types = {
        ColumnType.NUMBER: pa.float64(),
        ColumnType.INTEGER: pa.int64(),
        ColumnType.BOOLEAN: pa.bool_(),
        ColumnType.TIMESTAMP: pa.timestamp("us", tz="UTC"),
    }
    columns = {
        name: pa.array(converted(table, name, type_), types.get(type_, pa.string()))
        for name, type_ in plan.types.items()
    }
    target = ColumnType.NUMBER if plan.task is Task.REGRESSION else ColumnType.CATEGORY
    columns["label"] = pa.array(converted(table, plan.target, target), types.get(target, pa.string()))
    columns["occurred_at"] = pa.array(_moments(table, plan.time), types[ColumnType.TIMESTAMP])
    return pa.table(columns)


def _moments(table: "Table", time: str | None) -> list[datetime]:
    from modelyard_cli.inference import converted

    if time is not None:
        return converted(table, time, ColumnType.TIMESTAMP)
    start = datetime.now(UTC) - timedelta(seconds=len(table.rows))
    return [start + timedelta(seconds=row) for row in range(len(table.rows))]
