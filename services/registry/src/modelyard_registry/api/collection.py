"""Upkeep of blobs: `/v1/blobs/collect` those that no version needs, `/v1/blobs/verify` those that versions have."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from modelyard_registry.api.fields import Body
from modelyard_registry.domain.ports import Deps, StoredBlob
from modelyard_registry.usecases.garbage import Collected, collect
from modelyard_registry.usecases.verify import verify_blobs
from modelyard_runtime.access import Principal
from modelyard_runtime.http import allow


class CollectionBody(Body):
    """apply: without it, only report. least_age_hours: younger blobs are left alone."""

    apply: bool = False
    least_age_hours: Annotated[float, Field(ge=1, le=24 * 365)] = 24.0


class BlobOut(BaseModel):
    digest: str
    size_bytes: int
    stored_at: datetime


class BlobsOut(BaseModel):
    count: int
    size_bytes: int

    @classmethod
    def of(cls, blobs: Sequence[StoredBlob]) -> Self:
        return cls(count=len(blobs), size_bytes=sum(blob.size_bytes for blob in blobs))


class CollectionOut(BaseModel):
    """unused: put aside. deleted: put aside by an earlier collection. restored: put aside, and needed again."""

    applied: bool
    unused: BlobsOut
    deleted: BlobsOut
    restored: BlobsOut
    examples: list[BlobOut] = Field(description="The largest of the unused blobs.")

    @classmethod
    def of(cls, found: Collected) -> Self:
        return cls(
            applied=found.applied,
            unused=BlobsOut.of(found.unused),
            deleted=BlobsOut.of(found.deleted),
            restored=BlobsOut.of(found.restored),
            examples=[BlobOut(**vars(blob)) for blob in found.examples],
        )


class VerifyBody(Body):
    """after: cursor of the page before."""

    after: Annotated[str, Field(max_length=80)] = ""
    limit: Annotated[int, Field(ge=1, le=1_000)] = 20


class VerifiedOut(BaseModel):
    """unusable: digests that are missing or damaged."""

    checked: int
    unusable: list[str]
    next_after: str | None


def routes(deps: Deps) -> APIRouter:
    """Collection of unused blobs, and the check of the others."""
    router = APIRouter(prefix="/v1/blobs", tags=["blob"])
    collector = Depends(allow("collect", "blob", over="all-workspaces"))

    @router.post("/collect")
    def collect_blobs(body: CollectionBody, _: Principal = collector) -> CollectionOut:
        """Put blobs aside that no version needs, and delete those that were put aside that long ago.

        Without `apply`, only report them.
        """
        return CollectionOut.of(collect(deps, apply=body.apply, least_age=timedelta(hours=body.least_age_hours)))

    @router.post("/verify")
    def verify(body: VerifyBody, _: Principal = collector) -> VerifiedOut:
        """Read every byte of the next blobs that versions have; a damaged one is moved aside."""
        return VerifiedOut(**vars(verify_blobs(deps, body.after, body.limit)))

    return router
