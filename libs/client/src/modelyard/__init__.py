"""Python client of the Modelyard APIs: `from modelyard import RegistryClient`."""

from modelyard.blobs import file_digest
from modelyard.errors import ApiError, ApiUnavailable, DigestMismatch
from modelyard.loop import DeployerClient, EvaluatorClient, MonitorClient, TrainerClient
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
from modelyard.router import Prediction, RouterClient, feedback_item
from modelyard.transport import ApiClient

__all__ = [
    "MANIFEST_FILE",
    "AliasInfo",
    "ApiClient",
    "ApiError",
    "ApiKeyInfo",
    "ApiUnavailable",
    "DatasetInfo",
    "DeployerClient",
    "DigestMismatch",
    "EvaluatorClient",
    "HistoryEntry",
    "ModelInfo",
    "MonitorClient",
    "PolicyInfo",
    "Prediction",
    "RegistryClient",
    "RouterClient",
    "TrainerClient",
    "VersionInfo",
    "feedback_item",
    "file_digest",
]
