"""modelyard train: a table becomes a dataset, a run, and in time a version."""

import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from modelyard_cli.context import Platform
from modelyard_cli.datasets import upload
from modelyard_cli.demo.data import read_csv
from modelyard_cli.output import Form, FormOption, complaints, console, rows, show, told
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, StackError

TIMEOUT_S: Final = 600.0
POLL_S: Final = 0.5
MIN_ROWS: Final = 500


@told
def train(
    model: Annotated[str, typer.Argument(help="Name of the model; made when there is none.")],
    file: Annotated[Path, typer.Argument(help="A CSV file, in the order of time, with a binary target.")],
    recipe: Annotated[str | None, typer.Option(help="tabular-classifier or torch-mlp; the policy's without.")] = None,
    reason: Annotated[str, typer.Option(help="Why; it stays in the history.")] = "asked for on the command line",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Train a version on a table; evaluation, approval and roll-out follow by themselves."""
    platform = Platform.find(data_dir)
    table = read_csv(file, name=model, min_rows=MIN_ROWS)
    platform.registry.create_model(model)
    digest = upload(platform.registry, table, table.rows, name=file.stem)
    run = platform.trainer.start_run(model, dataset_digest=digest, recipe=recipe, reason=reason)
    run = _follow(platform, run["run_id"])
    show(output, run, lambda: rows("run", ("run_id", "state", "version", "reason"), [run]))
    if run["state"] != "succeeded":
        raise typer.Exit(1)
    console.print(f"see it on its way: modelyard rollouts {model}") if output is Form.TABLE else None


def _follow(platform: Platform, run_id: str) -> dict[str, Any]:
    """Show the run's progress until it ends; Ctrl-C leaves the run running."""
    deadline = time.monotonic() + TIMEOUT_S
    with complaints.status("requested") as status:
        while time.monotonic() < deadline:
            run = platform.trainer.run(run_id)
            status.update(f"{run['state']} {run['progress']:.0%}")
            if run["state"] in ("succeeded", "failed", "cancelled", "refused"):
                return run
            time.sleep(POLL_S)
    raise StackError(f"run {run_id} still runs after {TIMEOUT_S:.0f} s; see `modelyard runs`")
