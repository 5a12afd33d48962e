"""modelyard train: a CSV file becomes a dataset, a run, a version, and in time what serves."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args

import typer

from modelyard_cli.context import Platform
from modelyard_cli.outcomes import Exit, await_release, await_run
from modelyard_cli.output import (
    Form,
    FormOption,
    complain,
    complaints,
    console,
    printable,
    progress,
    reports_errors,
    show,
)
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, StackError
from modelyard_cli.verbs.options import (
    DEFAULT_REASON,
    ColumnTypes,
    Decimal,
    Encoding,
    Follow,
    ModelArgument,
    Reason,
    Separator,
    TargetColumn,
    TaskName,
    TimeColumn,
)
from modelyard_contracts.policies import CLASS_METRICS, VALUE_METRICS, Window
from modelyard_contracts.signature import ColumnType, Task

if TYPE_CHECKING:
    from modelyard_contracts.tables.inference import Ambiguous, Choices, TrainingPlan
    from modelyard_contracts.tables.preview import Preview
    from modelyard_contracts.tables.table import Table

WINDOWS: Final = get_args(Window)
SHOWN_CHARS: Final = 200


@reports_errors
def train(
    model: ModelArgument,
    file: Annotated[Path, typer.Argument(help="A CSV file with a header, in order of time unless --time is given.")],
    task: TaskName = None,
    target: TargetColumn = None,
    time: TimeColumn = None,
    shuffle: Annotated[
        bool, typer.Option("--shuffle", help="The rows are in no order of time: take them in a random one.")
    ] = False,
    column: ColumnTypes = None,
    separator: Separator = ",",
    decimal: Decimal = ".",
    encoding: Encoding = "utf-8",
    recipe: Annotated[str | None, typer.Option(help="Recipe; without it, the policy's or the task's.")] = None,
    metric: Annotated[
        str | None, typer.Option(help="Metric that chooses the model; proposed from the target without it.")
    ] = None,
    window: Annotated[
        list[str] | None,
        typer.Option(help=f"Training window to try: {', '.join(WINDOWS)}; repeatable. Without it, all rows."),
    ] = None,
    new_contract: Annotated[
        bool, typer.Option("--new-contract", help="Make a new signature from this file, even if versions exist.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show how the file is read; train nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Train without asking, in spite of doubts.")] = False,
    reason: Reason = DEFAULT_REASON,
    follow: Follow = True,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Train a version on a table; evaluation, approval and rollout follow by themselves. Ctrl-C stops none of them.

    First the reading of the file is shown: target, time, types, missing values, metric and split. On a terminal it is
    asked for where it is not clear, and confirmed.

    Exit codes: 0 serves, serves as a canary or waits for an approval (with --no-follow: was registered); 1 a service
    refused or did not answer; 2 the file or an option cannot be used, or is ambiguous; 3 the run failed; 4 the verdict
    is not `deploy`; 5 the rollout failed; 6 the outcome was not known in time.
    """
    _check_windows(window or ())
    choices = choices_of(target, time, task, column, separator, decimal, encoding)
    preview = read_preview(file, choices, shuffle=shuffle)
    if metric is not None:
        _check_metric(metric, preview.plan)
    for line in preview.lines():
        complaints.print(printable(line), soft_wrap=True, markup=False, highlight=False)
    if dry_run:
        show(output, preview.document(), lambda: "nothing was trained (--dry-run)")
        return
    if not yes:
        _confirm(preview)
    platform = Platform.find(data_dir)
    digest = _upload(platform, preview, model, new_contract=new_contract)
    run = platform.trainer.start_run(
        model,
        dataset_digest=digest,
        recipe=recipe,
        task=preview.plan.task,
        target=preview.plan.target,
        time=preview.plan.time,
        columns={name: str(type_) for name, type_ in preview.plan.types.items()},
        windows=window or (),
        parameters={"metric": metric} if metric else None,
        new_contract=new_contract,
        reason=reason,
    )
    _follow_run(platform, run.run_id, follow=follow, output=output)


def _upload(platform: Platform, preview: "Preview", model: str, *, new_contract: bool) -> str:
    """Compare the file with the version that serves, and register it as a dataset; returns its digest."""
    from modelyard.datasets import upload_table
    from modelyard_contracts.tables.comparison import check

    platform.registry.create_model(model)
    known = None if new_contract else platform.registry.kept_signature(model)
    for note in check(preview.plan, known) if known is not None else ():
        complaints.print(printable(f"note: {note}"), soft_wrap=True, markup=False, highlight=False)
    return upload_table(platform.registry, preview.table, preview.plan, model)


def _follow_run(platform: Platform, run_id: str, *, follow: bool, output: Form) -> None:
    """Wait for the run and, if asked, for what becomes of its version; exits with the outcome's code."""
    with progress(f"run {run_id}") as report:
        run = await_run(platform, run_id, report)
        outcome = None
        if run.state == "succeeded" and follow and run.version is not None:
            outcome = await_release(platform, run.model, run.version, report)
    left = f"version {run.version} is registered; see `modelyard history {run.model}`" if not follow else ""
    found = {**run.model_dump(mode="json"), "outcome": outcome.text if outcome else left}
    show(output, found, lambda: _run_line(found))
    if run.state != "succeeded":
        complain(f"the run {run.state}: {_end_of(run.reason or 'no reason given')}")
        raise typer.Exit(Exit.RUN_FAILED)
    if output is Form.TABLE:
        console.print(printable(run.reason), soft_wrap=True, markup=False, highlight=False)
        console.print(f"timeline: modelyard timeline {run.correlation_id}", soft_wrap=True)
    _end(outcome.text if outcome else left, outcome.code if outcome else Exit.DONE, output)


def _end(text: str, code: Exit, output: Form) -> None:
    if code is not Exit.DONE:
        complain(text)
        raise typer.Exit(code)
    if output is Form.TABLE:
        console.print(printable(text), soft_wrap=True, markup=False, highlight=False)


def _run_line(run: dict[str, Any]) -> str:
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in (run.get("metrics") or {}).items())
    version = f", version {run['version']}" if run.get("version") else ""
    return f"run {run['run_id']}: {run['state']}{version}{f' ({metrics})' if metrics else ''}"


def _end_of(reason: str) -> str:
    """The end of a log names the error; the whole reason is in `modelyard runs`."""
    return reason if len(reason) <= SHOWN_CHARS else f"... {reason[-SHOWN_CHARS:]}"


def choices_of(
    target: str | None,
    time: str | None,
    task: str | None,
    columns: list[str] | None,
    separator: str,
    decimal: str,
    encoding: str,
) -> "Choices":
    """The choices of options; StackError names one that cannot be used."""
    from modelyard_contracts.tables.inference import Choices
    from modelyard_contracts.tables.table import Dialect

    found = dict(_typed(text) for text in columns or [])
    types = {name: type_ for name, type_ in found.items() if type_ is not None}
    dialect = Dialect.of(separator, decimal, encoding)
    return Choices(target, time, _checked_task(task), types, frozenset(found.keys() - types.keys()), dialect)


def read_preview(file: Path, choices: "Choices", *, shuffle: bool = False) -> "Preview":
    """Read a file and infer how to train on it; asks on a terminal where it is ambiguous."""
    from modelyard_contracts.tables.reading import previewed, table_of

    table = table_of(file, choices, shuffle=shuffle)
    return previewed(table, _inferred(table, choices))


def _inferred(table: "Table", choices: "Choices") -> "TrainingPlan":
    from modelyard_contracts.tables.inference import Ambiguous, infer

    while True:
        try:
            return infer(table, choices)
        except Ambiguous as question:
            if not interactive():
                raise
            choices = _answered(choices, question)


def interactive() -> bool:
    """Whether a person can answer questions."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _answered(choices: "Choices", question: "Ambiguous") -> "Choices":
    """The choices with the answer to a question."""
    from dataclasses import replace

    complain(str(question))
    while (answer := typer.prompt(question.option.removeprefix("--"), err=True)) not in question.candidates:
        complain(f"choose one of {', '.join(question.candidates)}")
    if question.option == "--task":
        return replace(choices, task=Task(answer))
    return replace(choices, target=answer) if question.option == "--target" else replace(choices, time=answer)


def _confirm(preview: "Preview") -> None:
    """Ask on a terminal; elsewhere, doubts are an error."""
    if interactive():
        typer.confirm("Train on this?", default=not preview.doubts, abort=True, err=True)
    elif preview.doubts:
        raise StackError(f"{preview.table.path}: {preview.doubts[0]}, or set --yes to train nevertheless")


def _checked_task(text: str | None) -> Task | None:
    """The task of an option; StackError if such models are not trained."""
    trained = (Task.BINARY, Task.MULTICLASS, Task.REGRESSION)
    if text is not None and text not in trained:
        raise StackError(f"--task {text}: use {', '.join(trained)}")
    return None if text is None else Task(text)


def _check_metric(metric: str, plan: "TrainingPlan") -> None:
    fitting = CLASS_METRICS if plan.task.classifies else VALUE_METRICS
    if metric not in fitting:
        raise StackError(f"--metric {metric}: for the task {plan.task} use {', '.join(fitting)}")


def _check_windows(names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in WINDOWS]
    if unknown:
        raise StackError(f"--window {unknown[0]}: use {', '.join(WINDOWS)}")
    if len(set(names)) != len(names):
        raise StackError("--window: name each window once")


def _typed(text: str) -> tuple[str, ColumnType | None]:
    """A column and its type; None for one that is left out."""
    from modelyard_contracts.tables.inference import LEAVE_OUT

    name, found, type_ = text.rpartition("=")
    if not found or type_ not in (*ColumnType, LEAVE_OUT):
        known = ", ".join(ColumnType)
        raise StackError(
            f"--column {text}: write NAME=TYPE with a type of {known}, or NAME={LEAVE_OUT} to leave it out"
        )
    return name, None if type_ == LEAVE_OUT else ColumnType(type_)
