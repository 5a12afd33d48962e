"""Datasets, and versions of the kinds that have no files."""

from collections.abc import Mapping
from typing import Any, Literal

from modelyard.records import DatasetInfo, VersionInfo
from modelyard.registry.paths import PagedClient
from modelyard.transport import part


class ResourcesClient(PagedClient):
    """Dataset files, and versions of datasets and prompts."""

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

    def create_resource(self, kind: Literal["model", "dataset", "prompt"], name: str, *, description: str = "") -> None:
        """Create a resource, or do nothing if it exists with the same description."""
        self.post(f"/v1/{kind}s", {"name": name, "description": description})

    def register_document(
        self, kind: Literal["dataset", "prompt"], name: str, manifest: str, *, idempotency_key: str
    ) -> VersionInfo:
        """Register a version whose content is its manifest, byte for byte. The same key gives the same version."""
        path = f"/v1/{kind}s/{part(name)}/versions"
        body = {"manifest": manifest, "idempotency_key": idempotency_key}
        version = VersionInfo.model_validate(self.post(path, body))
        return VersionInfo.model_validate(self.post(f"{path}/{version.version}/finalize"))

    def versions_of(self, kind: Literal["dataset", "prompt"], name: str) -> tuple[VersionInfo, ...]:
        """Versions of a dataset or a prompt, newest first."""
        return tuple(map(VersionInfo.model_validate, self.pages(f"/v1/{kind}s/{part(name)}/versions")))
