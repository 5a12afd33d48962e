"""Python client of the Modelyard APIs: `from modelyard import RegistryClient`."""

from modelyard.blobs import file_digest
from modelyard.changes import ChangeEvent
from modelyard.deployer import DeployerClient
from modelyard.errors import ApiError, ApiUnavailable, DigestMismatch
from modelyard.evaluator import EvaluatorClient
from modelyard.monitor import MonitorClient
from modelyard.records import (
    AliasInfo,
    ApiKeyInfo,
    DatasetInfo,
    HistoryEntry,
    ModelInfo,
    PolicyInfo,
    VersionInfo,
)
from modelyard.registry import MANIFEST_FILE, RegistryClient
from modelyard.results import (
    EvaluationRun,
    OnlineLearner,
    PublishedRoute,
    RecordedEvent,
    Regret,
    ReplicaInfo,
    RolloutRun,
    TrainingRun,
    VersionHealth,
    Votes,
    VotingMember,
)
from modelyard.router import Prediction, RouterClient, feedback_item
from modelyard.trainer import TrainerClient
from modelyard.transport import ApiClient

__all__ = [
    "MANIFEST_FILE",
    "AliasInfo",
    "ApiClient",
    "ApiError",
    "ApiKeyInfo",
    "ApiUnavailable",
    "ChangeEvent",
    "DatasetInfo",
    "DeployerClient",
    "DigestMismatch",
    "EvaluationRun",
    "EvaluatorClient",
    "HistoryEntry",
    "ModelInfo",
    "MonitorClient",
    "OnlineLearner",
    "PolicyInfo",
    "Prediction",
    "PublishedRoute",
    "RecordedEvent",
    "RegistryClient",
    "Regret",
    "ReplicaInfo",
    "RolloutRun",
    "RouterClient",
    "TrainerClient",
    "TrainingRun",
    "VersionHealth",
    "VersionInfo",
    "Votes",
    "VotingMember",
    "feedback_item",
    "file_digest",
]
