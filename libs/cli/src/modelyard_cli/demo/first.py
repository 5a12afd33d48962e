"""Version 1: the first tenth of the stream becomes a dataset, a run, a version, a route."""

import time
from collections.abc import Callable
from typing import Final

from modelyard import ApiError
from modelyard_cli.context import Platform
from modelyard_cli.datasets import upload
from modelyard_cli.demo.data import TRAIN_SHARE, Stream
from modelyard_cli.stack.layout import StackError
from modelyard_contracts.policies import AdaptivePolicy, GatePolicy, RetrainPolicy, RolloutPolicy

TIMEOUT_S: Final = 600.0
"""For each step of the first version: seconds on a free machine, minutes on a busy one; a failed run ends by itself."""
POLL_S: Final = 0.3

MEMBERS: Final = 9
LEARNING_RATE: Final = 0.05
"""At this pace versions come a thousand rows late. Many members, and weights that move slowly, help when the world of
an older version returns meanwhile (decision 0110). Online learners would take their time from the trainer."""

Tell = Callable[[str], None]

RETRAIN: Final = RetrainPolicy(cool_down_s=8, max_runs_per_day=50, window_rows=4_000, holdout_rows=500)
"""The retrain policy of the demo: waits are cut to the pace of a stream that takes minutes instead of years."""
HELD_OUT_SHARE: Final = 0.18
"""Slightly less than the share of training rows that the trainer holds out."""


def gate_policy(rows: int) -> GatePolicy:
    """The gate for a first version that is trained on `rows` rows: a small file has few held-out rows."""
    return GatePolicy(min_rows=min(150, max(30, int(rows * HELD_OUT_SHARE))), recent_rows=2_000, earlier_versions=10)


def rollout_policy(rate_per_s: float) -> RolloutPolicy:
    """A step ends with the answers that the first one, of five percent, gives in four seconds; 20 to 60 of them."""
    return RolloutPolicy(
        strategy="adaptive",
        adaptive=AdaptivePolicy(members=MEMBERS, learning_rate=LEARNING_RATE, update_every_s=1),
        min_samples=int(min(max(rate_per_s * 0.05 * 4, 20), 60)),
        min_step_s=1,
        max_hold_s=90,
    )


def create_model(platform: Platform, stream: Stream, rate_per_s: float) -> None:
    """The model and its policies."""
    platform.registry.create_model(stream.name, description=f"demo: {stream.rows} rows, {len(stream.numeric)} numbers")
    platform.registry.set_policy(stream.name, RETRAIN)
    platform.registry.set_policy(stream.name, gate_policy(int(stream.rows * TRAIN_SHARE)))
    platform.registry.set_policy(stream.name, rollout_policy(rate_per_s))


def upload_first_tenth(platform: Platform, stream: Stream) -> str:
    """Register the first tenth as a dataset; its digest."""
    return upload_first(platform, stream, int(stream.rows * TRAIN_SHARE))


def upload_first(platform: Platform, stream: Stream, rows: int) -> str:
    """Register the first `rows` rows as a dataset; its digest."""
    return upload(platform.registry, stream, rows, name=f"{stream.name}-first")


def train_first(platform: Platform, stream: Stream, digest: str, tell: Tell) -> None:
    """Train version 1 and wait until it answers all traffic; StackError when it does not come to that."""
    run = platform.trainer.start_run(
        stream.name,
        dataset_digest=digest,
        task=stream.task,
        target=stream.target,
        time=None,
        reason="first version, from the first tenth",
    )
    _wait(lambda: _run_ended(platform, run.run_id, tell), "the first training run")
    _await_first(platform, stream, tell)


def share_first(platform: Platform, source: str, stream: Stream, tell: Tell) -> None:
    """Register version 1 of model `source` as that of the stream's model, and wait until it answers all traffic.

    For models that would be trained on the same rows with the same recipe and seed: training them again gives the same
    files. Safe to repeat. StackError when it does not come to that.
    """
    own = platform.registry.manifest(source, 1).model_copy(update={"model": stream.name})
    registered = platform.registry.create_version(own, idempotency_key=f"first-of-{stream.name}")
    platform.registry.finalize_version(stream.name, registered.version)
    _await_first(platform, stream, tell)


def _await_first(platform: Platform, stream: Stream, tell: Tell) -> None:
    _wait(lambda: _first_is_live(platform, stream.name, tell), "the first roll-out")
    _wait(lambda: _answers(platform, stream), "the router to answer")


def _run_ended(platform: Platform, run_id: str, tell: Tell) -> bool:
    run = platform.trainer.run(run_id)
    tell(f"training version 1: {run.state} {run.progress:.0%}")
    if run.ended and run.state != "succeeded":
        raise StackError(f"the first training run {run.state}: {run.reason}; see the trainer's log")
    return run.ended


def _first_is_live(platform: Platform, model: str, tell: Tell) -> bool:
    rollouts = platform.deployer.rollouts(model)
    if not rollouts:
        _refused_by_evaluator(platform, model)
        tell("version 1 is registered; evaluating it")
        return False
    first = rollouts[0]
    tell(f"rolling out version 1: {first.state}")
    if first.state in ("failed", "aborted"):
        raise StackError(f"the first rollout {first.state}: {first.reason}")
    return first.state == "promoted"


def _refused_by_evaluator(platform: Platform, model: str) -> None:
    for evaluation in platform.evaluator.evaluations(model):
        if evaluation.verdict not in (None, "deploy"):
            reasons = " ".join(evaluation.reasons)
            raise StackError(f"the evaluator did not let version 1 pass ({evaluation.verdict}): {reasons}")


def _answers(platform: Platform, stream: Stream) -> bool:
    try:
        return any(route.route == stream.name for route in platform.router.routes())
    except ApiError as error:
        if error.status != 503:
            raise
        return False


def _wait(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not done():
        if time.monotonic() > deadline:
            raise StackError(f"waited {TIMEOUT_S:.0f} s for {what}; see the logs of the stack")
        time.sleep(POLL_S)
