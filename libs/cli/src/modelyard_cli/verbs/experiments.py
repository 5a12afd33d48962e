"""`modelyard experiments`: experiments, and the runs of one."""

from typing import Annotated, Any, Final

import typer

from modelyard import RegistryClient
from modelyard.records import ExperimentInfo, ExperimentRun
from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, reports_errors, rows, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, StackError
from modelyard_cli.verbs.options import Limit

SHOWN: Final = 6
"""Most columns of metrics, and of parameters; JSON has all."""


@reports_errors
def experiments(
    experiment: Annotated[str | None, typer.Argument(help="Name or number; without it, all experiments.")] = None,
    filter: Annotated[str, typer.Option(help="Of runs, such as: metrics.accuracy > 0.9 AND params.depth = '3'")] = "",
    order_by: Annotated[str, typer.Option(help="Of runs, such as: metrics.accuracy DESC")] = "",
    workspace: Annotated[str | None, typer.Option(help="Workspace of the experiment; without it, all.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    limit: Limit = 20,
    output: FormOption = Form.TABLE,
) -> None:
    """List experiments, or the runs of one with parameters and latest metrics."""
    registry = Platform.find(data_dir).registry
    if experiment is None:
        found = [one.model_dump(mode="json") for one in registry.experiments(workspace=workspace)[:limit]]
        columns = ("id", "workspace", "name", "runs", "created_at", "created_by")
        show(output, found, lambda: rows("experiments", columns, found))
        return
    one = _named(registry, experiment, workspace)
    page = registry.experiment_runs(one.id, filter=filter or None, order_by=order_by or None, limit=limit)
    lines = [_line(run) for run in page.items]
    shown = [run.model_dump(mode="json") for run in page.items]
    show(output, shown, lambda: rows(f"runs of {one.name}", _columns(lines), lines))


def _named(registry: RegistryClient, experiment: str, workspace: str | None) -> ExperimentInfo:
    if experiment.isdigit():
        return registry.experiment(int(experiment))
    found = [one for one in registry.experiments(workspace=workspace, q=experiment) if one.name == experiment]
    if not found:
        raise StackError(f"there is no experiment {experiment!r}; `modelyard experiments` lists them")
    if len(found) > 1:
        raise StackError(f"several workspaces have an experiment {experiment!r}; set --workspace")
    return found[0]


def _line(run: ExperimentRun) -> dict[str, Any]:
    """A run with a column for each parameter and metric."""
    params = {f"params.{name}": value for name, value in run.params.items()}
    metrics = {f"metrics.{name}": one.text for name, one in run.metrics.items()}
    own = {"name": run.name, "status": run.status, "started_at": run.started_at.isoformat(), "id": run.id}
    return {**own, **metrics, **params}


def _columns(lines: list[dict[str, Any]]) -> tuple[str, ...]:
    names = sorted({name for line in lines for name in line})
    metrics = [name for name in names if name.startswith("metrics.")][:SHOWN]
    params = [name for name in names if name.startswith("params.")][:SHOWN]
    return ("name", "status", "started_at", *metrics, *params, "id")
