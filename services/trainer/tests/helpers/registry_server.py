"""A registry over HTTP in this process: as much of it as the trainer speaks to, versions by their idempotency key."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from modelyard_contracts.manifest import ModelManifest, digest_of
from modelyard_contracts.policies import RetrainPolicy

NOW = "2026-01-01T00:00:00Z"


class RegistryServer:
    """`url`, and what arrived: blobs, datasets, versions."""

    def __init__(self, policy: RetrainPolicy) -> None:
        self.policy = policy
        self.blobs: dict[str, bytes] = {}
        self.datasets: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, ModelManifest] = {}
        self.finalized: list[int] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status, and JSON or bytes."""
        parts = path.strip("/").split("/")[1:]
        if parts[0] == "blobs":
            return self._blob(method, parts[1], body)
        if parts[0] == "datasets":
            if method == "GET":
                return (200, self.datasets[parts[1]]) if parts[1] in self.datasets else (404, {"title": "no dataset"})
            told = {**json.loads(body), "format": "parquet", "created_at": NOW, "created_by": "test"}
            self.datasets[told["digest"]] = told
            return 201, told
        if parts[2] == "policies":
            return 200, {"kind": parts[3], "revision": 1, "document": self.policy.model_dump(mode="json")}
        if parts[2] == "aliases":
            return 404, {"code": "alias_not_found", "title": "Not Found", "detail": "no such alias"}
        if parts[2] == "versions" and method == "POST" and len(parts) == 3:
            told = json.loads(body)
            self.versions.setdefault(told["idempotency_key"], ModelManifest.model_validate(told["manifest"]))
            return 201, self._version(list(self.versions).index(told["idempotency_key"]) + 1)
        if parts[-1] == "finalize":
            self.finalized.append(int(parts[3]))
            return 200, self._version(int(parts[3]))
        return 200, {"items": [], "next_after": None}

    def _blob(self, method: str, digest: str, body: bytes) -> tuple[int, Any]:
        if method == "PUT":
            assert digest_of(body) == digest
            self.blobs[digest] = body
        return (200, self.blobs[digest]) if digest in self.blobs else (404, {"code": "blob_not_found", "title": "?"})

    def _version(self, number: int) -> dict[str, Any]:
        manifest = list(self.versions.values())[number - 1]
        missing = [entry.digest for entry in manifest.files if entry.digest not in self.blobs]
        return {
            "model": manifest.model,
            "version": number,
            "digest": manifest.digest,
            "stage": "pending" if missing else "registered",
            "created_at": NOW,
            "created_by": "trainer",
            "correlation_id": "",
            "missing_blobs": missing,
        }


def _handler(registry: RegistryServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self._body()
            status, told = registry.answer(self.command, urlsplit(self.path).path, body)
            data = told if isinstance(told, bytes) else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def _body(self) -> bytes:
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("content-length", 0)))
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data

        do_GET = do_POST = do_PUT = do_HEAD = _serve

        def log_message(self, format: str, *args: Any) -> None: ...

    return Handler
