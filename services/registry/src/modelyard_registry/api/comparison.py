"""Comparisons of versions: `/v1/models/{reference}/versions/{version}/diff` and `/resemblance`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from modelyard_contracts.comparison import Resemblance, VersionDiff
from modelyard_contracts.references import Kind
from modelyard_registry.api.fields import CleanText, ReferencePath, VersionNumber
from modelyard_registry.domain.names import model_key
from modelyard_registry.domain.ports import Deps
from modelyard_registry.usecases.comparison import compare_versions, other_version
from modelyard_registry.usecases.resemblance import resemblances
from modelyard_runtime.access import Principal, Target
from modelyard_runtime.http import allow, allowed_workspaces
from modelyard_runtime.http.access import authorize


class ResemblancesOut(BaseModel):
    items: tuple[Resemblance, ...]


Other = Annotated[
    CleanText, Query(alias="with", max_length=220, description="`VERSION`, or `MODEL@VERSION` of another model")
]


def routes(deps: Deps) -> APIRouter:
    """What differs between two versions."""
    kind = Kind.MODEL.value
    router = APIRouter(prefix="/v1/models/{reference}/versions/{version}", tags=[kind])
    reader = Depends(allow("read", kind))

    @router.get("/resemblance")
    def show_resemblance(
        reference: ReferencePath, version: VersionNumber, principal: Principal = reader
    ) -> ResemblancesOut:
        """Return the versions that the caller may read and that share files or tensors, the most alike first."""
        with deps.storage.read() as records:
            resource = records.resources.get(model_key(reference))
            found = records.versions.get(resource, version)
            workspaces = allowed_workspaces(principal, "read", kind)
            return ResemblancesOut(items=resemblances(records, resource, found, workspaces))

    @router.get("/diff")
    def show_diff(
        reference: ReferencePath, version: VersionNumber, other: Other, principal: Principal = reader
    ) -> VersionDiff:
        """Return what differs from this version (before) to the other one (after)."""
        key = model_key(reference)
        after, number = other_version(key, other)
        authorize(principal, "read", Target(after.workspace, kind, after.name))
        return compare_versions(deps, (key, version), (after, number))

    return router
