"""modelyard train: a table becomes a dataset, a run, a version, and in time what answers."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, complain, complaints, console, rows, show, reports_errors
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, StackError

TIMEOUT_S: Final = 600.0
POLL_S: Final = 0.5
MIN_ROWS: Final = 500
SHOWN_CHARS: Final = 200
ENDED_RUN: Final = ("succeeded", "failed", "cancelled", "refused")
ENDED_ROLLOUT: Final = ("promoted", "aborted", "rolled_back", "failed")

Tell = Callable[[str], None]
Json = dict[str, Any]
T = TypeVar("T")


@reports_errors
def train(
    model: Annotated[str, typer.Argument(help="Name of the model; made when there is none.")],
    file: Annotated[Path, typer.Argument(help="A CSV file, in the order of time, with a binary target.")],
    recipe: Annotated[str | None, typer.Option(help="tabular-classifier or torch-mlp; the policy's without.")] = None,
    reason: Annotated[str, typer.Option(help="Why; it stays in the history.")] = "asked for on the command line",
    follow: Annotated[bool, typer.Option(help="Wait for the verdict and the roll-out, too.")] = True,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Train a version on a table; evaluation, approval and roll-out follow by themselves. Ctrl-C stops none of it."""
    from modelyard_cli.datasets import upload
    from modelyard_cli.demo.data import read_csv

    platform = Platform.find(data_dir)
    table = read_csv(file, name=model, min_rows=MIN_ROWS)
    platform.registry.create_model(model)
    digest = upload(platform.registry, table, table.rows, name=file.stem)
    started = platform.trainer.start_run(model, dataset_digest=digest, recipe=recipe, reason=reason)
    with complaints.status("requested") as status:
        run = _await_run(platform, started["run_id"], status.update)
        outcome = _await_outcome(platform, run, status.update) if follow and run["state"] == "succeeded" else ""
    found = {**run, "outcome": outcome}
    columns = ("run_id", "correlation_id", "state", "version", "reason", *(("outcome",) if outcome else ()))
    show(output, found, lambda: rows(f"run of {model}", columns, [found]))
    if run["state"] != "succeeded":
        complain(f"the run {run['state']}: {_end_of(run['reason'] or 'no reason given')}")
        raise typer.Exit(1)
    if output is Form.TABLE:
        console.print(f"why and when: modelyard story {run['correlation_id']}", soft_wrap=True)


def _end_of(reason: str) -> str:
    """The last words of a log say what went wrong; all of it is in the table above."""
    return reason if len(reason) <= SHOWN_CHARS else f"... {reason[-SHOWN_CHARS:]}"


def _await_run(platform: Platform, run_id: str, tell: Tell) -> Json:
    """The run when it has ended."""

    def look() -> Json | None:
        run = platform.trainer.run(run_id)
        tell(f"run: {run['state']} {run['progress']:.0%}")
        return run if run["state"] in ENDED_RUN else None

    return _await(look, f"run {run_id} still runs; see `modelyard runs`")


def _await_outcome(platform: Platform, run: Json, tell: Tell) -> str:
    """What became of its version: it answers, it was refused, or it waits for a person or for traffic."""
    model, version = run["model"], run["version"]

    def look() -> str | None:
        rollout = _of(platform.deployer.rollouts(model), "to_version", version)
        if rollout:
            tell(f"roll-out: {rollout['state']}")
            return _rollout_told(rollout, model)
        verdict = _of(platform.evaluator.evaluations(model), "challenger_version", version)
        tell(f"verdict: {(verdict or {}).get('verdict') or 'being made'}")
        return _verdict_told(platform, verdict, model, version) if verdict and verdict.get("verdict") else None

    return _await(look, f"version {version} is registered, but not judged yet; see `modelyard history {model}`")


def _rollout_told(rollout: Json, model: str) -> str | None:
    if rollout["state"] in ENDED_ROLLOUT:
        return f"version {rollout['to_version']} {rollout['state'].replace('_', ' ')}: {rollout['reason']}"
    if rollout["strategy"] == "canary" and rollout["state"] in ("shifting", "holding"):
        share = f"{rollout['weight_percent']:.0f} % of the traffic"
        return f"version {rollout['to_version']} answers {share} as a canary; see `modelyard rollouts {model}`"
    return None


def _verdict_told(platform: Platform, evaluation: Json, model: str, version: int) -> str | None:
    reasons = " ".join((evaluation.get("report") or {}).get("reasons") or ())
    if evaluation["verdict"] != "deploy":
        return f"{evaluation['verdict'].replace('_', ' ')}: {reasons}"
    if platform.registry.policy(model, "gate").approval == "manual":
        return f"version {version} waits for an approval: POST /v1/models/{model}/versions/{version}/approve. {reasons}"
    return None


def _of(found: list[Json], name: str, version: int) -> Json | None:
    """The newest of them that is about a version."""
    return next((it for it in found if it[name] == version), None)


def _await(look: Callable[[], T | None], late: str) -> T:
    """What `look` finds; StackError when it has found nothing for long."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(POLL_S)
    raise StackError(f"after {TIMEOUT_S:.0f} s: {late}")
