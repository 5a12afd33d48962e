"""/v1/blobs and /v1/datasets."""

import asyncio
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from starlette.requests import ClientDisconnect

from modelyard_registry.api.models import Reader, Writer
from modelyard_registry.api.shapes import DatasetOut, NewDataset
from modelyard_registry.domain.errors import BlobNotFound
from modelyard_registry.domain.names import check_digest
from modelyard_registry.domain.ports import Blobs, Deps, Upload
from modelyard_registry.domain.values import Dataset
from modelyard_registry.usecases.datasets import create_dataset
from modelyard_runtime.http import Problem

CHUNK_BYTES: Final = 1 << 20


def routes(deps: Deps) -> APIRouter:
    router = APIRouter(prefix="/v1")
    _blobs(router, deps.blobs)
    _datasets(router, deps)
    return router


def _blobs(router: APIRouter, blobs: Blobs) -> None:
    @router.put("/blobs/{digest}")
    async def put_blob(digest: str, request: Request, _: Writer) -> Response:
        upload = await asyncio.to_thread(blobs.upload, digest)
        try:
            await _receive(request, upload)
            new = await asyncio.to_thread(upload.finish)
        except ClientDisconnect as error:
            raise Problem(400, "upload_cut_off", "the connection ended before the body did; upload again") from error
        finally:
            upload.abandon()
        return Response(status_code=201 if new else 200, headers=_headers(digest))

    @router.head("/blobs/{digest}")
    def has_blob(digest: str, _: Reader) -> Response:
        size = blobs.size(check_digest(digest))
        if size is None:
            raise BlobNotFound(digest)
        return Response(headers={**_headers(digest), "content-length": str(size)})

    @router.get("/blobs/{digest}")
    def get_blob(digest: str, _: Reader) -> FileResponse:
        path, _size = blobs.open(digest)
        return FileResponse(path, media_type="application/octet-stream", headers=_headers(digest))


def _datasets(router: APIRouter, deps: Deps) -> None:
    @router.post("/datasets", status_code=201)
    def add_dataset(body: NewDataset, response: Response, principal: Writer) -> DatasetOut:
        wanted = Dataset(**body.model_dump(), created_at=deps.clock(), created_by=principal.name)
        dataset, new = create_dataset(deps, wanted)
        response.status_code = 201 if new else 200
        return DatasetOut.of(dataset)

    @router.get("/datasets/{digest}")
    def show_dataset(digest: str, _: Reader) -> DatasetOut:
        with deps.storage.read() as records:
            return DatasetOut.of(records.dataset(check_digest(digest)))


async def _receive(request: Request, upload: Upload) -> None:
    """The body in pieces of a mebibyte: hashing and writing happen off the event loop, memory stays flat."""
    held = bytearray()
    async for chunk in request.stream():
        held += chunk
        if len(held) >= CHUNK_BYTES:
            await asyncio.to_thread(upload.write, bytes(held))
            held.clear()
    await asyncio.to_thread(upload.write, bytes(held))


def _headers(digest: str) -> dict[str, str]:
    return {"etag": f'"{digest}"', "x-modelyard-digest": digest, "cache-control": "private, immutable"}
