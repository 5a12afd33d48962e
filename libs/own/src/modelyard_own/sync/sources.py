"""The products whose registries are known, and how each is opened."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final

from modelyard_own.errors import UnfitModel
from modelyard_own.remote import Access, Connection
from modelyard_own.remote.connection import ATTEMPTS, TIMEOUT_S, Pause
from modelyard_own.sync.azureml import AzureMlRegistry, azureml_access, is_workspace
from modelyard_own.sync.foreign import ForeignRegistry
from modelyard_own.sync.mlflow import MlflowRegistry, mlflow_access
from modelyard_own.sync.sagemaker import SageMakerRegistry

WORKSPACE: Final = (
    "https://management.azure.com/subscriptions/ID/resourceGroups/GROUP/providers/"
    "Microsoft.MachineLearningServices/workspaces/NAME"
)


class Product(StrEnum):
    """Products whose registries are known."""

    MLFLOW = "mlflow"
    SAGEMAKER = "sagemaker"
    AZUREML = "azureml"


@contextmanager
def opened(
    product: Product,
    address: str,
    environ: Mapping[str, str],
    files_root: Path | None = None,
    *,
    timeout_s: float | None = None,
    attempts: int = ATTEMPTS,
    pause: Pause | None = None,
) -> Iterator[ForeignRegistry]:
    """A registry. address: of the server or workspace; of SageMaker a region. environ: has the credentials.

    timeout_s: for connecting and for each read. UnfitModel for an address that cannot be used.
    """
    if product is Product.SAGEMAKER:
        yield SageMakerRegistry(address, timeout_s)
        return
    with Connection(
        access_of(product, address, environ), pause=pause, timeout_s=timeout_s or TIMEOUT_S, attempts=attempts
    ) as connection:
        if product is Product.MLFLOW:
            yield MlflowRegistry(connection, files_root)
        else:
            yield AzureMlRegistry(connection, files_root)


def access_of(product: Product, address: str, environ: Mapping[str, str]) -> Access:
    """Address and credentials of an MLflow server or a workspace of Azure ML."""
    if product is Product.MLFLOW:
        return mlflow_access(address, environ)
    if not is_workspace(address):
        raise UnfitModel(f"--from {address}: write the address of a workspace, {WORKSPACE}")
    return azureml_access(address, environ)
