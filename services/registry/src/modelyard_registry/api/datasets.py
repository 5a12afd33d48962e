"""/v1/dataset-files: datasets that are one blob."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from modelyard_contracts.references import DEFAULT_WORKSPACE, workspace_of
from modelyard_registry.api.callers import can_read
from modelyard_registry.api.requests import NewDatasetFileBody
from modelyard_registry.api.responses import DatasetFileOut
from modelyard_registry.domain.names import check_digest
from modelyard_registry.domain.ports import Deps
from modelyard_registry.domain.values import ResourceKey
from modelyard_registry.usecases.datasets import DATASET, NewFile, find_file, register_file
from modelyard_registry.usecases.history import origin_of
from modelyard_runtime.access import Principal
from modelyard_runtime.http import allow

Registrar = Annotated[Principal, Depends(allow("register", DATASET, body="model"))]
Reader = Annotated[Principal, Depends(allow("read", DATASET, over="any-workspace"))]


def routes(deps: Deps) -> APIRouter:
    """Registration in one step, and the dataset of a blob."""
    router = APIRouter(prefix="/v1/dataset-files", tags=[DATASET])

    @router.post("", status_code=201, responses={200: {"model": DatasetFileOut}})
    def register(body: NewDatasetFileBody, response: Response, principal: Registrar) -> DatasetFileOut:
        """Register an uploaded blob as a version of a dataset; it becomes one if it is none yet."""
        workspace = workspace_of(body.model) if body.model else DEFAULT_WORKSPACE
        key = ResourceKey(workspace, DATASET, dataset_name(body.name))
        wanted = NewFile(key=key, **body.model_dump(exclude={"name"}))
        file, new = register_file(deps, wanted, origin_of(deps, principal.identity))
        response.status_code = 201 if new else 200
        return DatasetFileOut.of(body.digest, file)

    @router.get("/{digest}")
    def show(digest: str, principal: Reader) -> DatasetFileOut:
        """The dataset version that has this file."""
        file = find_file(deps, check_digest(digest), lambda key: can_read(principal, key))
        return DatasetFileOut.of(digest, file)

    return router


def dataset_name(text: str) -> str:
    """A resource name made from free text."""
    name = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")
    return name[:128] or DATASET
