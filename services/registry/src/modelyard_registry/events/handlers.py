"""Each event calls one use case, which claims the event in the transaction of its effect."""

from collections.abc import Mapping

from modelyard_contracts import EvaluationFinished, Message, RolloutChanged, TrainingRunChanged
from modelyard_registry.domain.ports import Deps
from modelyard_registry.usecases.outcomes import record_evaluation, record_training
from modelyard_registry.usecases.rollouts import record_rollout
from modelyard_runtime.kafka import EventContext, Handler


def handlers(deps: Deps) -> Mapping[type[Message], Handler]:
    """Handlers of the events that the registry reads."""

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
