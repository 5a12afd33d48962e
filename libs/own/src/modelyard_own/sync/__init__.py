"""Other registries: what differs on both sides, and taking over from there what no person changed here."""

from modelyard_own.sync.applying import Outcome, Sync, synchronise
from modelyard_own.sync.azureml import AzureMlRegistry, azureml_access, is_workspace
from modelyard_own.sync.comparing import Difference, State, What, differences
from modelyard_own.sync.foreign import ForeignModel, ForeignRegistry, ForeignVersion
from modelyard_own.sync.here import read_here
from modelyard_own.sync.mlflow import MlflowRegistry, mlflow_access
from modelyard_own.sync.sagemaker import SageMakerRegistry

__all__ = [
    "AzureMlRegistry",
    "Difference",
    "ForeignModel",
    "ForeignRegistry",
    "ForeignVersion",
    "MlflowRegistry",
    "Outcome",
    "SageMakerRegistry",
    "State",
    "Sync",
    "What",
    "azureml_access",
    "differences",
    "is_workspace",
    "mlflow_access",
    "read_here",
    "synchronise",
]
