"""The registry over HTTP, with its errors sorted by what can be done about them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelyard import ApiError, RegistryClient
from modelyard_contracts import VersionStage
from modelyard_contracts.connections import Connection
from modelyard_contracts.documents import DocumentError
from modelyard_contracts.policies import GatePolicy
from modelyard_evaluator.domain.errors import NotMeasurable, Unreachable, UnreadableVersion
from modelyard_evaluator.domain.ports import RegisteredVersion


class HttpRegistry:
    """Implements domain.ports.Registry."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client

    def version(self, model: str, version: int) -> RegisteredVersion:
        with _translated():
            info = self._client.version(model, version)
            try:
                file = self._client.manifest_file(model, version)
            except DocumentError as error:
                raise UnreadableVersion(f"version {version} of {model}: {error}", info.digest) from error
        return RegisteredVersion(version, file, info.created_at, info.stage)

    def champion(self, model: str) -> int | None:
        return self._alias(model, "champion")

    def in_canary(self, model: str) -> int | None:
        return self._alias(model, "challenger")

    def _alias(self, model: str, alias: str) -> int | None:
        with _translated():
            found = self._client.alias(model, alias)
        return found.version if found else None

    def approved(self, model: str) -> list[int]:
        with _translated():
            return [info.version for info in self._client.versions(model, stage=VersionStage.APPROVED)]

    def policy(self, model: str) -> GatePolicy:
        with _translated():
            return self._client.policy(model, "gate")

    def is_adaptive(self, model: str) -> bool:
        with _translated():
            return self._client.policy(model, "rollout").strategy == "adaptive"

    def connection(self, reference: str) -> tuple[int, Connection | None]:
        """Revision and content of a connection; (0, None) without it."""
        try:
            return self._client.current_connection(reference)
        except ApiError as error:
            raise Unreachable(str(error)) from error

    def download(self, version: RegisteredVersion, folder: Path) -> None:
        with _translated():
            self._client.download(version.file, folder)

    def download_dataset(self, digest: str, file: Path) -> None:
        with _translated():
            self._client.get_blob(digest, file)

    def register_dataset(
        self, file: Path, *, model: str, name: str, rows: int, columns: dict[str, str], source: dict[str, Any]
    ) -> str:
        with _translated():
            digest = self._client.put_blob(file)
            self._client.create_dataset(
                digest,
                name,
                rows=rows,
                size_bytes=file.stat().st_size,
                columns=columns,
                source=source,
                model=model,
            )
        return digest


@contextmanager
def _translated() -> Iterator[None]:
    """Raise Unreachable for errors that may pass, NotMeasurable for refusals."""
    try:
        yield
    except ApiError as error:
        if error.retryable or error.status in {401, 403}:  # a wrong key is our configuration, not the version's fault
            raise Unreachable(str(error)) from error
        raise NotMeasurable(str(error)) from error
    except DocumentError as error:  # of a newer release
        raise NotMeasurable(str(error)) from error
