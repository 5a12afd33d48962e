"""/v1/blobs: bytes by their digest."""

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from modelyard_registry.api.ranges import requested
from modelyard_registry.domain.errors import BlobNotFound
from modelyard_registry.domain.names import check_digest
from modelyard_registry.domain.ports import Blobs, Deps, Intake, Upload
from modelyard_runtime.access import Principal
from modelyard_runtime.http import Problem, allow

CHUNK_BYTES: Final = 1 << 20
UPLOAD: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string"}}}},
    "responses": {"200": {"description": "The blob was there."}},
}
DOWNLOAD: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/octet-stream": {}}},
    416: {"description": "The range begins past the end."},
    206: {"description": "The range that was asked for.", "content": {"application/octet-stream": {}}},
}
Reader = Annotated[Principal, Depends(allow("read", "blob", over="any-workspace"))]
Writer = Annotated[Principal, Depends(allow("register", "blob", over="any-workspace"))]


def routes(deps: Deps) -> APIRouter:
    """Upload, presence and download of blobs."""
    router = APIRouter(prefix="/v1/blobs", tags=["blob"])
    _upload(router, deps.blobs)
    _download(router, deps.blobs)
    return router


def _upload(router: APIRouter, blobs: Blobs) -> None:
    @router.put("/{digest}", status_code=201, response_class=Response, openapi_extra=UPLOAD)
    async def put_blob(digest: str, request: Request, _: Writer) -> Response:
        """Store bytes under their digest; they are verified. 200 when they were there."""
        upload = await asyncio.to_thread(blobs.upload, digest)
        try:
            await receive(request, upload)
            new = await asyncio.to_thread(upload.finish)
        except ClientDisconnect as error:
            raise Problem(400, "upload_cut_off", "the connection ended before the body did; upload again") from error
        finally:
            upload.abandon()
        return Response(status_code=201 if new else 200, headers=_headers(digest))


def _download(router: APIRouter, blobs: Blobs) -> None:
    @router.head("/{digest}", response_class=Response)
    def has_blob(digest: str, _: Reader) -> Response:
        """Answer 404 when the blob is missing."""
        size = _size(blobs, digest)
        return Response(headers={**_headers(digest), "content-length": str(size)})

    @router.get("/{digest}", response_class=StreamingResponse, responses=DOWNLOAD)
    def get_blob(digest: str, request: Request, _: Reader) -> Response:
        """Return the bytes; `Range` works."""
        size = _size(blobs, digest)
        span = requested(request.headers.get("range"), size)
        body = blobs.read(digest, span.start, span.stop)
        headers = {**_headers(digest), **span.headers(size)}
        return StreamingResponse(body, span.status, headers, media_type="application/octet-stream")


def _size(blobs: Blobs, digest: str) -> int:
    size = blobs.size(check_digest(digest))
    if size is None:
        raise BlobNotFound(digest)
    return size


async def receive(request: Request, upload: Upload | Intake) -> None:
    """Pass the body on in pieces of a mebibyte. Hashing and writing happen off the event loop."""
    held = bytearray()
    async for chunk in request.stream():
        held += chunk
        if len(held) >= CHUNK_BYTES:
            await asyncio.to_thread(upload.write, bytes(held))
            held.clear()
    await asyncio.to_thread(upload.write, bytes(held))


def _headers(digest: str) -> dict[str, str]:
    return {"etag": f'"{digest}"', "x-modelyard-digest": digest, "cache-control": "private, immutable"}
