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
)
from modelyard_contracts.messages.evaluation import ComparedVersion, EvaluationFinished, EvaluationRequested, Verdict
from modelyard_contracts.messages.monitoring import (
    AlertRaised,
    DriftDetected,
    DriftKind,
    FeatureSlice,
    OffsetRange,
    Recommendation,
    SliceSource,
    SliceSummarised,
)
from modelyard_contracts.messages.registry import (
    ConnectionChange,
    ConnectionChanged,
    ResourceChange,
    ResourceChanged,
    VersionStage,
)
from modelyard_contracts.messages.serving import (
    Attempt,
    FeedbackReceived,
    GenerationAttempt,
    GenerationLogged,
    GenerationStatus,
    PredictionLogged,
    PredictionStatus,
    TextPolicy,
    Vote,
)
from modelyard_contracts.messages.training import RunState, TrainingRunChanged, TrainingRunRequested

MESSAGES: Final[dict[str, type[Message]]] = {
    message.TOPIC: message
    for message in (
        PredictionLogged,
        GenerationLogged,
        FeedbackReceived,
        SliceSummarised,
        DriftDetected,
        AlertRaised,
        TrainingRunRequested,
        TrainingRunChanged,
        ResourceChanged,
        ConnectionChanged,
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
    "Attempt",
    "ComparedVersion",
    "ConnectionChange",
    "ConnectionChanged",
    "ControlMessage",
    "DriftDetected",
    "DriftKind",
    "EvaluationFinished",
    "EvaluationRequested",
    "FeatureSlice",
    "FeedbackReceived",
    "GenerationAttempt",
    "GenerationLogged",
    "GenerationStatus",
    "Message",
    "OffsetRange",
    "Part",
    "PredictionLogged",
    "PredictionStatus",
    "Recommendation",
    "ResourceChange",
    "ResourceChanged",
    "RolloutAction",
    "RolloutChanged",
    "RolloutRequested",
    "RolloutState",
    "RolloutStrategy",
    "RouteApplied",
    "RoutePublished",
    "RunState",
    "Severity",
    "SliceSource",
    "SliceSummarised",
    "TextPolicy",
    "TrainingRunChanged",
    "TrainingRunRequested",
    "UtcDatetime",
    "Verdict",
    "VersionStage",
    "Vote",
    "derived_id",
]
