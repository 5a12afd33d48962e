"""/v1/blobs/{digest}/uploads: large blobs go to the bucket directly, by presigned URLs; the registry verifies them."""

from datetime import datetime
from typing import Annotated, Final, Self

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, Field

from modelyard_registry.api.fields import MAX_INT, After, Body, Limit
from modelyard_registry.domain.direct import MAX_PARTS, DirectUpload, DirectUploads, UploadState
from modelyard_runtime.access import Principal
from modelyard_runtime.http import allow

MAX_URLS: Final = 100
Writer = Annotated[Principal, Depends(allow("register", "blob", over="any-workspace"))]
Token = Annotated[str, Path(min_length=1, max_length=4_096, description="`upload` of the answer that began it")]


class NewUploadBody(Body):
    size_bytes: Annotated[int, Field(ge=1, le=MAX_INT)]


class PartUrlsBody(Body):
    """first: number of a part, from 1."""

    first: Annotated[int, Field(ge=1, le=MAX_PARTS)]
    count: Annotated[int, Field(ge=1, le=MAX_URLS)] = MAX_URLS


class UploadOut(BaseModel):
    """An upload as it is now."""

    state: UploadState = Field(
        description="`open`: send the missing parts, then complete. `verifying`: complete again to see the result. "
        "`stored`: the blob exists."
    )
    upload: str | None = Field(description="Names the upload in further calls; null when the blob exists already.")
    size_bytes: int
    part_bytes: int = Field(description="Size of every part but the last one.")
    parts: int = Field(description="Number of parts; their numbers start at 1.")
    verified_bytes: int

    @classmethod
    def of(cls, upload: DirectUpload) -> Self:
        plan = upload.plan
        return cls(
            state=upload.state,
            upload=upload.token,
            size_bytes=plan.size_bytes,
            part_bytes=plan.part_bytes,
            parts=plan.parts,
            verified_bytes=upload.verified_bytes,
        )


class StoredPartOut(BaseModel):
    number: int
    size_bytes: int


class StoredPartsOut(BaseModel):
    items: list[StoredPartOut]
    next_after: int | None


class PartUrlOut(BaseModel):
    number: int
    size_bytes: int
    url: str = Field(description="Takes exactly `size_bytes` bytes by PUT, without the API key.")


class PartUrlsOut(BaseModel):
    items: list[PartUrlOut]
    expires_at: datetime


def routes(uploads: DirectUploads) -> APIRouter:
    """Begin, continue, complete and abort."""
    router = APIRouter(prefix="/v1/blobs/{digest}/uploads", tags=["blob"])
    _begin_and_end(router, uploads)
    _parts(router, uploads)
    return router


def _begin_and_end(router: APIRouter, uploads: DirectUploads) -> None:
    @router.post("")
    def begin_upload(digest: str, body: NewUploadBody, principal: Writer) -> UploadOut:
        """Begin an upload to the bucket, or find the one that the caller began before.

        409 `direct_upload_unavailable` where blobs do not lie in a bucket or are encrypted: use PUT of the blob.
        """
        return UploadOut.of(uploads.begin(digest, body.size_bytes, principal.identity))

    @router.post("/{upload}/complete", responses={202: {"model": UploadOut, "description": "Verification goes on."}})
    def complete_upload(digest: str, upload: Token, principal: Writer, response: Response) -> UploadOut:
        """Verify the bytes; the blob exists once the state is `stored`.

        202 while they are read: call again. 409 `upload_incomplete` names missing parts. Bytes with another digest or
        size are removed (422).
        """
        found = uploads.complete(digest, upload, principal.identity)
        if found.state is not UploadState.STORED:
            response.status_code = 202
        return UploadOut.of(found)

    @router.delete("/{upload}", status_code=204, response_class=Response)
    def abort_upload(digest: str, upload: Token, principal: Writer) -> Response:
        """Remove the parts; does nothing when the upload has ended."""
        uploads.abort(digest, upload, principal.identity)
        return Response(status_code=204)


def _parts(router: APIRouter, uploads: DirectUploads) -> None:
    @router.get("/{upload}")
    def list_parts(
        digest: str, upload: Token, principal: Writer, after: After = 0, limit: Limit = 1_000
    ) -> StoredPartsOut:
        """Return the parts that arrived, by number: an interrupted upload sends only the others."""
        found = uploads.parts(digest, upload, principal.identity, after, limit)
        items = [StoredPartOut(**vars(one)) for one in found]
        return StoredPartsOut(items=items, next_after=items[-1].number if len(items) == limit else None)

    @router.post("/{upload}/urls")
    def sign_urls(digest: str, upload: Token, body: PartUrlsBody, principal: Writer) -> PartUrlsOut:
        """Return URLs for parts, from `first` on. Send `Content-MD5` with a part, so that the store checks it."""
        found = uploads.urls(digest, upload, principal.identity, body.first, body.count)
        return PartUrlsOut(items=[PartUrlOut(**vars(one)) for one in found.urls], expires_at=found.expires_at)
