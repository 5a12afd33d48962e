"""Every message on every topic, as typed Python; the `.avsc` files in `schemas/` are the truth on the wire."""

from typing import Final

from modelyard_contracts.messages.base import ControlMessage, Message, Part, Severity, UtcDatetime, derived_id
from modelyard_contracts.messages.deployment import (
    RolloutAction,
    RolloutChanged,
    RolloutRequested,
    RolloutState,
    RolloutStrategy,
    RouteApplied,
    RoutePublished,
    RouteTarget,
)
from modelyard_contracts.messages.evaluation import EvaluationFinished, EvaluationRequested, Verdict
from modelyard_contracts.messages.monitoring import (
    AlertRaised,
    DriftDetected,
    DriftKind,
    FeatureSlice,
    OffsetRange,
    SliceSource,
    SliceSummarised,
)
from modelyard_contracts.messages.registry import ModelChange, ModelChanged, VersionStage
from modelyard_contracts.messages.serving import FeedbackReceived, PredictionLogged, PredictionStatus
from modelyard_contracts.messages.training import RunState, TrainingRunChanged, TrainingRunRequested

MESSAGES: Final[dict[str, type[Message]]] = {
    message.TOPIC: message
    for message in (
        PredictionLogged,
        FeedbackReceived,
        SliceSummarised,
        DriftDetected,
        AlertRaised,
        TrainingRunRequested,
        TrainingRunChanged,
        ModelChanged,
        EvaluationRequested,
        EvaluationFinished,
        RolloutRequested,
        RolloutChanged,
        RoutePublished,
        RouteApplied,
    )
}
"""Topic to message class."""

__all__ = [
    "MESSAGES",
    "AlertRaised",
    "ControlMessage",
    "DriftDetected",
    "DriftKind",
    "EvaluationFinished",
    "EvaluationRequested",
    "FeatureSlice",
    "FeedbackReceived",
    "Message",
    "ModelChange",
    "ModelChanged",
    "OffsetRange",
    "Part",
    "PredictionLogged",
    "PredictionStatus",
    "RolloutAction",
    "RolloutChanged",
    "RolloutRequested",
    "RolloutState",
    "RolloutStrategy",
    "RouteApplied",
    "RoutePublished",
    "RouteTarget",
    "RunState",
    "Severity",
    "SliceSource",
    "SliceSummarised",
    "TrainingRunChanged",
    "TrainingRunRequested",
    "UtcDatetime",
    "Verdict",
    "VersionStage",
    "derived_id",
]
