"""The registry over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelyard import ApiError, RegistryClient
from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.policies import RolloutPolicy
from modelyard_deployer.domain.errors import RegistryUnavailable, VersionUnusable
from modelyard_deployer.domain.routes import Version


class HttpRegistry:
    """The registry's API, with its errors sorted by what the deployer can do about them."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client

    def version(self, model: str, version: int) -> Version:
        with _errors_sorted():
            info = self._client.version(model, version)
            manifest = self._client.manifest(model, version)
        return Version(model, version, info.digest, str(info.stage), manifest)

    def policy(self, model: str) -> RolloutPolicy:
        with _errors_sorted():
            return self._client.policy(model, "rollout")

    def download(self, manifest: ModelManifest, folder: Path) -> None:
        with _errors_sorted():
            self._client.download(manifest, folder)


@contextmanager
def _errors_sorted() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        if error.retryable or error.status in {401, 403}:  # a wrong key is our problem, not a fault of the version
            raise RegistryUnavailable(str(error)) from error
        raise VersionUnusable(str(error)) from error
