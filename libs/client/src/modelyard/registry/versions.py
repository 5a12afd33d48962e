"""Versions of models, and decisions about them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from uuid import UUID

from modelyard.blobs import write_verified
from modelyard.errors import DigestMismatch
from modelyard.records import VersionInfo
from modelyard.registry.blobs import BlobsClient
from modelyard.registry.paths import PagedClient, model_path, version_path
from modelyard.transport import given, text
from modelyard_contracts import VersionStage
from modelyard_contracts.manifest import ManifestFile, ModelManifest, digest_of
from modelyard_contracts.signature import Signature

MANIFEST_FILE: Final = "manifest.json"
"""Beside the files of a downloaded version; its SHA-256 is the version's digest."""


class VersionsClient(BlobsClient):
    """Versions and their files."""

    def create_version(
        self,
        manifest: ModelManifest | ManifestFile,
        *,
        idempotency_key: str,
        semver: str | None = None,
        tags: Mapping[str, str] | None = None,
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
            "semver": semver,
            "tags": None if tags is None else dict(tags),
            "correlation_id": text(correlation_id),
            "cause_id": text(cause_id),
            "actor": actor,
        }
        return VersionInfo.model_validate(self.post(f"{model_path(file.manifest.model)}/versions", body))

    def finalize_version(self, model: str, version: int) -> VersionInfo:
        """Second phase: every blob is verified and scanned, and the version becomes `registered`; repeats are harmless.

        ApiError `inadmissible` when the scan refuses the version: `body["findings"]` are the worst, with file, rule and
        remedy. `permission_not_granted`: a reviewer or an admin must call `allow_code` first.
        """
        return VersionInfo.model_validate(self.post(f"{version_path(model, version)}/finalize"))

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
                self.upload(entry.digest, files[entry.path])
                missing.discard(entry.digest)
        return self.finalize_version(file.manifest.model, pending.version)

    def label_version(
        self,
        model: str,
        version: int,
        *,
        tags: Mapping[str, str] | None = None,
        semver: str | None = None,
        expected_revision: int | None = None,
        reason: str = "",
        actor: str | None = None,
    ) -> VersionInfo:
        """Replace the tags, or set the semver label, which never changes once it is set; None leaves them.

        expected_revision: `labels_revision` as it was read; conflict (409) when another change came first.
        """
        labels = {"tags": None if tags is None else dict(tags), "semver": semver}
        body = given({**labels, "expected_revision": expected_revision, "reason": reason, "actor": actor})
        response = self.request("PATCH", version_path(model, version), json=body)
        return VersionInfo.model_validate(response.json())

    def version(self, model: str, version: int) -> VersionInfo:
        return VersionInfo.model_validate(self.get(version_path(model, version)))

    def versions(
        self,
        model: str,
        *,
        stage: VersionStage | None = None,
        dataset: str | None = None,
        base_model: str | None = None,
        run: str | None = None,
    ) -> tuple[VersionInfo, ...]:
        """All of them, or those at one stage or made from a data set, a base model or a run, oldest first."""
        lineage = {"dataset": dataset, "base_model": base_model, "run": run}
        asked = {**lineage, "stage": None if stage is None else stage.value}
        return tuple(VersionInfo.model_validate(item) for item in self.pages(f"{model_path(model)}/versions", **asked))

    def manifest(self, model: str, version: int) -> ModelManifest:
        """The manifest, verified against the version's digest; use `manifest_file` where its bytes matter."""
        return self.manifest_file(model, version).manifest

    def manifest_file(self, model: str, version: int) -> ManifestFile:
        """The manifest with its bytes, verified against the version's digest. NewerDocument when it is too new."""
        return ManifestFile.read(self._manifest_bytes(model, version)[0])

    def download(self, file: ManifestFile, folder: Path) -> Path:
        """Download all files of a version and its manifest.json into `folder`, verified; correct files stay."""
        for entry in file.manifest.files:
            self.place_blob(entry.digest, folder / entry.path)
        write_verified((file.data,), folder / MANIFEST_FILE, file.digest)
        return folder

    def kept_signature(self, model: str) -> Signature | None:
        """The signature that a training run keeps: of the version that serves, else of the newest one."""
        versions = {version.version: version for version in self.versions(model)}
        champion = next((number for number, one in versions.items() if "champion" in one.aliases), None)
        number = champion or max(versions, default=None)
        return None if number is None else self.manifest(model, number).signature

    def _manifest_bytes(self, model: str, version: int) -> tuple[bytes, str]:
        response = self.request("GET", f"{version_path(model, version)}/manifest")
        digest = response.headers.get("x-modelyard-digest", "")
        if digest_of(response.content) != digest:
            raise DigestMismatch(f"manifest of {model} version {version}", digest, digest_of(response.content))
        return response.content, digest


class DecisionsClient(PagedClient):
    """Decisions about versions. expected_stage: conflict (409) when the version has left this stage."""

    def approve(
        self,
        model: str,
        version: int,
        reason: str,
        *,
        expected_stage: VersionStage | None = None,
        actor: str | None = None,
    ) -> VersionInfo:
        return self._decide("approve", model, version, reason, expected_stage, actor)

    def reject(
        self,
        model: str,
        version: int,
        reason: str,
        *,
        expected_stage: VersionStage | None = None,
        actor: str | None = None,
    ) -> VersionInfo:
        return self._decide("reject", model, version, reason, expected_stage, actor)

    def retire(
        self,
        model: str,
        version: int,
        reason: str,
        *,
        expected_stage: VersionStage | None = None,
        actor: str | None = None,
    ) -> VersionInfo:
        return self._decide("retire", model, version, reason, expected_stage, actor)

    def _decide(
        self, decision: str, model: str, version: int, reason: str, expected: VersionStage | None, actor: str | None
    ) -> VersionInfo:
        body = {"reason": reason, "expected_stage": expected, "actor": actor}
        return VersionInfo.model_validate(self.post(f"{version_path(model, version)}/{decision}", body))
