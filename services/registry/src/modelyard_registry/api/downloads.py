"""Downloads of artifacts."""

from fastapi import Request
from fastapi.responses import StreamingResponse

from modelyard_registry.api.ranges import requested
from modelyard_registry.domain.ports import Blobs
from modelyard_registry.domain.tracking import Artifact


def artifact_response(blobs: Blobs, found: Artifact, request: Request) -> StreamingResponse:
    """Stream the bytes; `Range` works. A browser saves the file and never shows it as a page of this address."""
    span = requested(request.headers.get("range"), found.size_bytes)
    body = blobs.read(found.digest, span.start, span.stop)
    headers = {
        **span.headers(found.size_bytes),
        "etag": f'"{found.digest}"',
        "x-modelyard-digest": found.digest,
        "content-disposition": "attachment",
        "x-content-type-options": "nosniff",
    }
    return StreamingResponse(body, span.status, headers, media_type="application/octet-stream")
