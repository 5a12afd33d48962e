"""Verbs that move a version: evaluate, approve, reject, retire, deploy, advance, hold, resume, abort, rollback."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from modelyard import ApiError, DeployerClient, RolloutRun
from modelyard_cli.context import Platform
from modelyard_cli.outcomes import Exit, Outcome, await_rollout, await_verdict, verdict_outcome
from modelyard_cli.output import Form, FormOption, cell, complain, console, printable, progress, reports_errors, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR
from modelyard_cli.verbs.options import DEFAULT_REASON, Follow, ModelArgument, Reason, VersionArgument
from modelyard_contracts import RolloutState

WAIT_S: Final = 30.0


@reports_errors
def evaluate(
    model: ModelArgument,
    version: VersionArgument,
    champion: Annotated[
        int | None, typer.Option(min=1, help="Compare with this version; without it, with the serving one.")
    ] = None,
    reason: Reason = DEFAULT_REASON,
    follow: Follow = True,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Evaluate a version against another on recent labelled rows. Exit code 4 if the verdict is not `deploy`."""
    platform = Platform.find(data_dir)
    evaluation = platform.evaluator.evaluate(model, version, champion_version=champion, reason=reason)
    if not follow:
        show(output, evaluation.model_dump(mode="json"), lambda: f"evaluation {evaluation.evaluation_id} started")
        return
    with progress(f"evaluation {evaluation.evaluation_id}") as report:
        evaluation = await_verdict(platform, evaluation.evaluation_id, report)
    end(output, evaluation.model_dump(mode="json"), verdict_outcome(evaluation))


@reports_errors
def approve(
    model: ModelArgument,
    version: VersionArgument,
    reason: Reason = DEFAULT_REASON,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Approve a version, also one without a verdict or a rejected one; its first rollout starts by itself."""
    _moved(output, Platform.find(data_dir).registry.approve(model, version, reason=reason))


@reports_errors
def reject(
    model: ModelArgument,
    version: VersionArgument,
    reason: Reason = DEFAULT_REASON,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Reject a version: it can no longer be approved or deployed."""
    _moved(output, Platform.find(data_dir).registry.reject(model, version, reason=reason))


@reports_errors
def retire(
    model: ModelArgument,
    version: VersionArgument,
    reason: Reason = DEFAULT_REASON,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Retire a version that does not serve."""
    _moved(output, Platform.find(data_dir).registry.retire(model, version, reason=reason))


def _moved(output: Form, version: Any) -> None:
    found = version.model_dump(mode="json")
    show(output, found, lambda: f"{version.model} version {version.version}: {version.stage}")


@reports_errors
def deploy(
    model: ModelArgument,
    version: VersionArgument,
    strategy: Annotated[
        str | None, typer.Option(help="`full` or `canary`; without it, by the model's rollout policy.")
    ] = None,
    reason: Reason = DEFAULT_REASON,
    follow: Follow = True,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Roll out an approved version. Exit code 5 if the rollout fails or is aborted."""
    if strategy not in (None, "full", "canary"):
        raise typer.BadParameter("use full or canary", param_hint="--strategy")
    platform = Platform.find(data_dir)
    rollout = platform.deployer.start_rollout(model, version, strategy=strategy, reason=reason)  # type: ignore[arg-type]  # checked above
    _note_time(platform, model, version)
    if not follow:
        show(output, rollout.model_dump(mode="json"), lambda: f"rollout {rollout.rollout_id} started")
        return
    with progress(f"rollout {rollout.rollout_id}") as report:
        outcome = await_rollout(platform, rollout, report)
    end(output, platform.deployer.rollout(rollout.rollout_id).model_dump(mode="json"), outcome)


def _note_time(platform: Platform, model: str, version: int) -> None:
    """Say so where the route waits longer than the rollout policy states. A registry that is away stops no rollout."""
    try:
        policy = platform.registry.policy(model, "rollout")
        waiting_ms = policy.waiting_ms(platform.registry.manifest(model, version))
    except ApiError:
        return
    if waiting_ms != policy.timeout_ms:
        complain(
            f"its route waits {waiting_ms / 1000:g} s for an answer, or for the first piece of a text; set timeout_ms "
            "of the rollout policy for another time"
        )


@reports_errors
def abort(
    model: ModelArgument,
    reason: Reason = DEFAULT_REASON,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Abort the open rollout of a model; the version that served before gets all traffic."""
    aborted = Platform.find(data_dir).deployer.abort_rollout(model, reason=reason)
    show(output, aborted.model_dump(mode="json"), lambda: f"{model}: rollout of version {aborted.to_version} aborts")


@reports_errors
def advance(
    model: ModelArgument,
    reason: Reason = DEFAULT_REASON,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Go to the next step of the open rollout now, without waiting for more predictions or time."""
    deployer, current = _open_step(model, data_dir)
    moved = deployer.advance_rollout(current.rollout_id, current.step, reason=reason)
    show(output, moved.model_dump(mode="json"), lambda: f"{model}: version {moved.to_version} goes to the next step")


@reports_errors
def hold(
    model: ModelArgument,
    reason: Reason = DEFAULT_REASON,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Keep the open rollout at its step until `resume` or `advance`; harm still aborts it."""
    deployer, current = _open_step(model, data_dir)
    held = deployer.hold_rollout(current.rollout_id, current.step, reason=reason)
    show(output, held.model_dump(mode="json"), lambda: f"{model}: version {held.to_version} stays at {_share(held)}")


@reports_errors
def resume(
    model: ModelArgument,
    reason: Reason = DEFAULT_REASON,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Let a rollout that was held go on by its policy."""
    deployer, current = _open_step(model, data_dir)
    moved = deployer.resume_rollout(current.rollout_id, current.step, reason=reason)
    show(output, moved.model_dump(mode="json"), lambda: f"{model}: version {moved.to_version} goes on by its policy")


def _open_step(model: str, data_dir: Path) -> tuple[DeployerClient, RolloutRun]:
    """The rollout of the model that shifts traffic now."""
    deployer = Platform.find(data_dir).deployer
    for found in deployer.rollouts(model, unfinished=True):
        if found.state in (RolloutState.SHIFTING, RolloutState.HOLDING):
            return deployer, found
    complain(f"no rollout of {model} shifts traffic now; `modelyard deploy` starts one")
    raise typer.Exit(1)


def _share(rollout: RolloutRun) -> str:
    return f"{rollout.weight_percent:g} % of the traffic"


@reports_errors
def rollback(
    model: ModelArgument,
    version: Annotated[
        int | None, typer.Option(help="Version to serve; without it, the one that served before.")
    ] = None,
    reason: Reason = DEFAULT_REASON,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Give all traffic to the previous version; returns when every live router has applied it."""
    done = Platform.find(data_dir).deployer.roll_back(model, version=version, reason=reason, wait_s=WAIT_S)
    show(output, done.model_dump(mode="json"), lambda: _rolled_back(model, done))
    if done.state == "failed":
        complain(f"{model} was not rolled back: {done.reason}")
        raise typer.Exit(1)


def _rolled_back(model: str, done: RolloutRun) -> str:
    """One line of the outcome; the reason of a failure goes to stderr."""
    if done.state == "failed":
        return ""
    if done.state == "aborted":
        return f"{model}: the canary of version {done.to_version} is aborted; the serving version stays"
    moved = f"{model}: version {cell(done.from_version)} -> {cell(done.to_version)}"
    if done.seconds is None:
        return f"{moved}, {done.state}: not every live router has acknowledged it after {WAIT_S:.0f} s"
    return f"{moved}, applied by every live router after {done.seconds:.2f} s"


def end(output: Form, found: Any, outcome: Outcome) -> None:
    """Print the result, the outcome as the last line, and exit with its code."""
    if output is Form.JSON:
        show(output, found, lambda: "")
    if outcome.code is not Exit.DONE:
        complain(outcome.text)
        raise typer.Exit(outcome.code)
    if output is Form.TABLE:
        console.print(printable(outcome.text), soft_wrap=True, markup=False, highlight=False)
