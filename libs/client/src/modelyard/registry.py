"""The registry's API: models, versions and their bytes, aliases, policies, datasets, history, keys."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, overload
from urllib.parse import quote
from uuid import UUID

import httpx

from modelyard.blobs import CHUNK_BYTES, BlobCache, file_digest, place, write_verified
from modelyard.errors import ApiError, DigestMismatch
from modelyard.records import AliasInfo, ApiKeyInfo, DatasetInfo, HistoryEntry, ModelInfo, PolicyInfo, VersionInfo
from modelyard.transport import ApiClient, given
from modelyard_contracts import VersionStage
from modelyard_contracts.documents import read
from modelyard_contracts.manifest import ManifestFile, ModelManifest, digest_of
from modelyard_contracts.policies import POLICIES, GatePolicy, RetrainPolicy, RolloutPolicy

MANIFEST_FILE: Final = "manifest.json"
"""Beside the files of a downloaded version; its SHA-256 is the version's digest."""
PAGE_ITEMS: Final = 500

Policy = GatePolicy | RetrainPolicy | RolloutPolicy


class RegistryClient(ApiClient):
    """Everything the registry knows. `cache_dir` keeps downloaded blobs between downloads; None keeps none."""

    def __init__(
        self,
        base_url: str,
        token: str,
        timeout_s: float = 10.0,
        *,
        cache_dir: Path | None = None,
        transport: httpx.BaseTransport | None = None,
        context: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        super().__init__(base_url, token, timeout_s, transport=transport, context=context)
        self._cache = BlobCache(cache_dir) if cache_dir else None

    # models
    def create_model(
        self, name: str, *, description: str = "", owner: str = "", labels: Mapping[str, str] | None = None
    ) -> ModelInfo:
        """Create it, or return it when it is there already; conflict (409) when it is there with other content."""
        body = {"name": name, "description": description, "owner": owner, "labels": dict(labels or {})}
        return ModelInfo.model_validate(self.post("/v1/models", body))

    def model(self, name: str) -> ModelInfo:
        return ModelInfo.model_validate(self.get(_model(name)))

    def models(self) -> tuple[ModelInfo, ...]:
        return tuple(ModelInfo.model_validate(item) for item in self._pages("/v1/models"))

    # blobs
    def put_blob(self, source: Path | bytes) -> str:
        """Upload unless it is there; returns its digest. The server verifies what arrives."""
        digest = digest_of(source) if isinstance(source, bytes) else file_digest(source)
        if not self.has_blob(digest):
            self._upload(digest, source)
        return digest

    def has_blob(self, digest: str) -> bool:
        try:
            self.request("HEAD", f"/v1/blobs/{digest}")
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    @overload
    def get_blob(self, digest: str, to: None = None) -> bytes: ...
    @overload
    def get_blob(self, digest: str, to: Path) -> Path: ...
    def get_blob(self, digest: str, to: Path | None = None) -> bytes | Path:
        """The bytes, or the file `to` with them in it; DigestMismatch when they are not what they should be."""
        if to is not None:
            return write_verified(self._stream(digest), to, digest)
        data = b"".join(self._stream(digest))
        if digest_of(data) != digest:
            raise DigestMismatch("blob", digest, digest_of(data))
        return data

    # versions
    def create_version(
        self,
        manifest: ModelManifest | ManifestFile,
        *,
        idempotency_key: str,
        correlation_id: UUID | str | None = None,
        cause_id: UUID | str | None = None,
        actor: str | None = None,
    ) -> VersionInfo:
        """Start a version; the answer names the blobs that are missing. The same key returns the same version.

        A ManifestFile is stored byte for byte; a ModelManifest is written first.
        """
        file = manifest if isinstance(manifest, ManifestFile) else ManifestFile.write(manifest)
        body = {
            "manifest": file.data.decode(),
            "idempotency_key": idempotency_key,
            "correlation_id": _text(correlation_id),
            "cause_id": _text(cause_id),
            "actor": actor,
        }
        return VersionInfo.model_validate(self.post(f"{_model(file.manifest.model)}/versions", body))

    def finalize_version(self, model: str, version: int) -> VersionInfo:
        """Second phase: every blob is verified and the version becomes `registered`. Repeats change nothing."""
        return VersionInfo.model_validate(self.post(f"{_version(model, version)}/finalize"))

    def register(
        self,
        manifest: ModelManifest | ManifestFile,
        files: Mapping[str, Path],
        *,
        idempotency_key: str,
        correlation_id: UUID | str | None = None,
        cause_id: UUID | str | None = None,
        actor: str | None = None,
    ) -> VersionInfo:
        """Both phases; files: path in the manifest to a local file. Safe to repeat after a crash with the same key."""
        file = manifest if isinstance(manifest, ManifestFile) else ManifestFile.write(manifest)
        entries = file.manifest.files
        if absent := sorted({entry.path for entry in entries} - set(files)):
            raise ValueError(f"files: the manifest names {', '.join(absent)}; give a local file for each")
        pending = self.create_version(
            file, idempotency_key=idempotency_key, correlation_id=correlation_id, cause_id=cause_id, actor=actor
        )
        missing = set(pending.missing_blobs)
        for entry in entries:
            if entry.digest in missing:
                self._upload(entry.digest, files[entry.path])
                missing.discard(entry.digest)
        return self.finalize_version(file.manifest.model, pending.version)

    def version(self, model: str, version: int) -> VersionInfo:
        return VersionInfo.model_validate(self.get(_version(model, version)))

    def versions(self, model: str, *, stage: VersionStage | None = None) -> tuple[VersionInfo, ...]:
        """All of them, or those at one stage, oldest first."""
        asked = {} if stage is None else {"stage": stage.value}
        return tuple(VersionInfo.model_validate(item) for item in self._pages(f"{_model(model)}/versions", **asked))

    def manifest(self, model: str, version: int) -> ModelManifest:
        """The manifest, verified against the version's digest; use `manifest_file` where its bytes matter."""
        return self.manifest_file(model, version).manifest

    def manifest_file(self, model: str, version: int) -> ManifestFile:
        """The manifest with its bytes, verified against the version's digest. NewerDocument when it is too new."""
        return ManifestFile.read(self._manifest_bytes(model, version)[0])

    def download(self, file: ManifestFile, folder: Path) -> Path:
        """Download all files of a version and its manifest.json into `folder`, verified; correct files stay."""
        for entry in file.manifest.files:
            self._place(entry.digest, folder / entry.path)
        write_verified((file.data,), folder / MANIFEST_FILE, file.digest)
        return folder

    def approve(self, model: str, version: int, reason: str, *, actor: str | None = None) -> VersionInfo:
        return self._decide("approve", model, version, reason, actor)

    def reject(self, model: str, version: int, reason: str, *, actor: str | None = None) -> VersionInfo:
        return self._decide("reject", model, version, reason, actor)

    def retire(self, model: str, version: int, reason: str, *, actor: str | None = None) -> VersionInfo:
        return self._decide("retire", model, version, reason, actor)

    # aliases
    def alias(self, model: str, alias: str) -> AliasInfo | None:
        """Where the alias points, or None when it points nowhere; not_found (404) when there is no such model."""
        try:
            return AliasInfo.model_validate(self.get(f"{_model(model)}/aliases/{_part(alias)}"))
        except ApiError as error:
            if error.code == "alias_not_found":
                return None
            raise

    def aliases(self, model: str) -> dict[str, AliasInfo]:
        items = self.get(f"{_model(model)}/aliases")["items"]
        return {item["alias"]: AliasInfo.model_validate(item) for item in items}

    def move_alias(
        self, model: str, alias: str, version: int, *, expected_generation: int, reason: str, actor: str | None = None
    ) -> AliasInfo:
        """Compare and swap: conflict (409) naming the current generation if another came first; 0 for a new one."""
        body = {"version": version, "expected_generation": expected_generation, "reason": reason, "actor": actor}
        path = f"{_model(model)}/aliases/{_part(alias)}"
        return AliasInfo.model_validate(self.request("PUT", path, json=given(body)).json())

    def drop_alias(self, model: str, alias: str, *, expected_generation: int, reason: str) -> None:
        """Let the alias point nowhere; its generation goes on."""
        parameters = {"expected_generation": expected_generation, "reason": reason}
        self.request("DELETE", f"{_model(model)}/aliases/{_part(alias)}", params=parameters)

    # policies
    @overload
    def policy(self, model: str, kind: Literal["gate"]) -> GatePolicy: ...
    @overload
    def policy(self, model: str, kind: Literal["retrain"]) -> RetrainPolicy: ...
    @overload
    def policy(self, model: str, kind: Literal["rollout"]) -> RolloutPolicy: ...
    def policy(self, model: str, kind: str) -> Any:
        """The policy in force, or the default. Fields of a newer release are ignored."""
        return read(POLICIES[kind], self.policy_info(model, kind).document)

    def policy_info(self, model: str, kind: str) -> PolicyInfo:
        return PolicyInfo.model_validate(self.get(f"{_model(model)}/policies/{_part(kind)}"))

    def set_policy(
        self, model: str, policy: Policy, *, expected_revision: int | None = None, reason: str = ""
    ) -> PolicyInfo:
        """A new revision of the policy of that type; conflict (409) when `expected_revision` is given and passed."""
        kind = next(kind for kind, type_ in POLICIES.items() if isinstance(policy, type_))
        body = {"document": policy.model_dump(mode="json"), "expected_revision": expected_revision, "reason": reason}
        path = f"{_model(model)}/policies/{kind}"
        return PolicyInfo.model_validate(self.request("PUT", path, json=given(body)).json())

    # datasets
    def create_dataset(
        self,
        digest: str,
        name: str,
        *,
        rows: int,
        size_bytes: int,
        columns: Mapping[str, str],
        source: Mapping[str, Any] | None = None,
        model: str | None = None,
        format: str = "parquet",
    ) -> DatasetInfo:
        """Make a blob known as a dataset; upload the blob first. The same digest again changes nothing."""
        body = {
            "digest": digest,
            "name": name,
            "model": model,
            "format": format,
            "rows": rows,
            "size_bytes": size_bytes,
            "columns": dict(columns),
            "source": dict(source or {}),
        }
        return DatasetInfo.model_validate(self.post("/v1/dataset-files", body))

    def dataset(self, digest: str) -> DatasetInfo:
        return DatasetInfo.model_validate(self.get(f"/v1/dataset-files/{digest}"))

    # other kinds of resources
    def create_resource(self, kind: Literal["model", "dataset", "prompt"], name: str, *, description: str = "") -> None:
        """Create a resource, or do nothing if it exists with the same description."""
        self.post(f"/v1/{kind}s", {"name": name, "description": description})

    def register_document(
        self, kind: Literal["dataset", "prompt"], name: str, manifest: str, *, idempotency_key: str
    ) -> VersionInfo:
        """Register a version whose content is its manifest, byte for byte. The same key gives the same version."""
        path = f"/v1/{kind}s/{_part(name)}/versions"
        body = {"manifest": manifest, "idempotency_key": idempotency_key}
        version = VersionInfo.model_validate(self.post(path, body))
        return VersionInfo.model_validate(self.post(f"{path}/{version.version}/finalize"))

    def versions_of(self, kind: Literal["dataset", "prompt"], name: str) -> tuple[VersionInfo, ...]:
        """Versions of a dataset or a prompt, newest first."""
        return tuple(map(VersionInfo.model_validate, self._pages(f"/v1/{kind}s/{_part(name)}/versions")))

    # history and keys
    def history(self, model: str, *, after: int = 0) -> tuple[HistoryEntry, ...]:
        """Changes of the model, oldest first, after the position `after`."""
        pages = self._pages(f"{_model(model)}/history", after=after)
        return tuple(HistoryEntry.model_validate(item) for item in pages)

    def create_key(
        self,
        name: str,
        roles: Mapping[str, Sequence[str]],
        *,
        scopes: Sequence[str] | None = None,
        expires_at: datetime | None = None,
    ) -> ApiKeyInfo:
        """Create a key with roles per workspace (`*`: all); its text is in this answer and cannot be read again."""
        body = {
            "name": name,
            "roles": {workspace: list(names) for workspace, names in roles.items()},
            "scopes": None if scopes is None else list(scopes),
            "expires_at": expires_at.isoformat() if expires_at else None,
        }
        return ApiKeyInfo.model_validate(self.post("/v1/keys", body))

    def api_keys(self) -> tuple[ApiKeyInfo, ...]:
        """Keys whose roles the caller manages, oldest first."""
        return tuple(ApiKeyInfo.model_validate(item) for item in self.get("/v1/keys")["items"])

    def rotate_key(self, key_id: str, *, grace_s: int = 3_600) -> ApiKeyInfo:
        """Create a key that replaces this one, which expires after `grace_s` seconds."""
        return ApiKeyInfo.model_validate(self.post(f"/v1/keys/{_part(key_id)}/rotate", {"grace_s": grace_s}))

    def revoke_key(self, key_id: str) -> None:
        """Refuse the key from now on; services notice within 30 s."""
        self.request("DELETE", f"/v1/keys/{_part(key_id)}")

    def introspect(self, key: str) -> dict[str, Any]:
        """`{"active", "identity", "kind", "roles", "scopes", "expires_at"}`; for services."""
        answer: dict[str, Any] = self.post("/v1/keys/introspect", {"key": key})
        return answer

    # inside
    def _pages(self, path: str, **parameters: Any) -> Iterator[Any]:
        while True:
            page = self.get(path, limit=PAGE_ITEMS, **parameters)
            yield from page["items"]
            if page["next_after"] is None:
                return
            parameters["after"] = page["next_after"]

    def _upload(self, digest: str, source: Path | bytes) -> None:
        if isinstance(source, bytes):
            self.request("PUT", f"/v1/blobs/{digest}", content=source)
            return
        with source.open("rb") as file:
            self.request("PUT", f"/v1/blobs/{digest}", content=file)

    def _stream(self, digest: str) -> Iterator[bytes]:
        try:
            with self._http.stream("GET", f"/v1/blobs/{digest}") as response:
                if not response.is_success:
                    response.read()
                    raise ApiError.of(response)
                yield from response.iter_bytes(CHUNK_BYTES)
        except httpx.HTTPError as error:
            raise ApiError.unreachable(self.base_url, error) from error

    def _place(self, digest: str, target: Path) -> None:
        if target.is_file() and file_digest(target) == digest:
            return
        if self._cache is None:
            self.get_blob(digest, target)
            return
        cached = self._cache.find(digest) or self.get_blob(digest, self._cache.path_of(digest))
        place(cached, target, digest)

    def _manifest_bytes(self, model: str, version: int) -> tuple[bytes, str]:
        response = self.request("GET", f"{_version(model, version)}/manifest")
        digest = response.headers.get("x-modelyard-digest", "")
        if digest_of(response.content) != digest:
            raise DigestMismatch(f"manifest of {model} version {version}", digest, digest_of(response.content))
        return response.content, digest

    def _decide(self, decision: str, model: str, version: int, reason: str, actor: str | None) -> VersionInfo:
        body = {"reason": reason, "actor": actor}
        return VersionInfo.model_validate(self.post(f"{_version(model, version)}/{decision}", body))


def _part(value: str) -> str:
    return quote(value, safe="")


def _model(name: str) -> str:
    return f"/v1/models/{_part(name)}"


def _version(model: str, version: int) -> str:
    return f"{_model(model)}/versions/{version}"


def _text(value: UUID | str | None) -> str | None:
    return None if value is None else str(value)
