"""The registry over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from modelyard import ApiError, RegistryClient
from modelyard_contracts.connections import Connection
from modelyard_contracts.documents import DocumentError
from modelyard_contracts.manifest import ManifestFile
from modelyard_contracts.policies import GatePolicy, RolloutPolicy
from modelyard_contracts.sentences import explain
from modelyard_deployer.domain.errors import RegistryUnavailable, VersionUnusable
from modelyard_deployer.domain.routes import Version


class HttpRegistry:
    """The registry's API, with its errors mapped to RegistryUnavailable (retryable) and VersionUnusable."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client

    def version(self, model: str, version: int) -> Version:
        with _errors_mapped():
            info = self._client.version(model, version)
            file = self._client.manifest_file(model, version)
        if file.digest != info.digest:
            raise VersionUnusable(
                f"manifest of {model} version {version}: digest {file.digest}, expected {info.digest}"
            )
        return Version(model, version, str(info.stage), file)

    def policy(self, model: str) -> RolloutPolicy:
        with _errors_mapped():
            return self._client.policy(model, "rollout")

    def gate(self, model: str) -> GatePolicy:
        with _errors_mapped():
            return self._client.policy(model, "gate")

    def connection(self, reference: str) -> tuple[int, Connection | None]:
        """Revision and content of a connection; (0, None) without it."""
        try:
            return self._client.current_connection(reference)
        except ApiError as error:
            raise RegistryUnavailable(str(error)) from error

    def download(self, file: ManifestFile, folder: Path) -> None:
        with _errors_mapped():
            self._client.download(file, folder)


@contextmanager
def _errors_mapped() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        if error.retryable or error.status in {401, 403}:  # a rejected key is our fault, not that of the version
            raise RegistryUnavailable(str(error)) from error
        raise VersionUnusable(str(error)) from error
    except DocumentError as error:
        raise VersionUnusable(str(error)) from error
    except ValidationError as error:
        raise VersionUnusable(f"invalid response from the registry: {explain(error).sentence}") from error
