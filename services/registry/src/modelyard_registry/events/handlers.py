"""Topics: one event, one use case. Each use case claims the event in the transaction of its effect."""

from collections.abc import Mapping

from modelyard_contracts import EvaluationFinished, Message, RolloutChanged, TrainingRunChanged
from modelyard_registry.domain.ports import Deps
from modelyard_registry.usecases.outcomes import record_evaluation, record_rollout, record_training
from modelyard_runtime.kafka import EventContext, Handler

GROUP = "registry"


def handlers(deps: Deps) -> Mapping[type[Message], Handler]:
    """What the registry listens to."""

    def on_evaluation_finished(event: EvaluationFinished, _: EventContext) -> None:
        record_evaluation(deps, event)

    def on_rollout_changed(event: RolloutChanged, _: EventContext) -> None:
        record_rollout(deps, event)

    def on_training_run_changed(event: TrainingRunChanged, _: EventContext) -> None:
        record_training(deps, event)

    return {
        EvaluationFinished: on_evaluation_finished,
        RolloutChanged: on_rollout_changed,
        TrainingRunChanged: on_training_run_changed,
    }
