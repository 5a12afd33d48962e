"""What an answer costs now: the price of the version, or for a model of a provider, that of its connection."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from modelyard_contracts.connections import Connection
from modelyard_contracts.documents import DocumentError, read
from modelyard_contracts.external import ConnectedModel, connection_of
from modelyard_contracts.manifest import MODEL_OPTION, Price
from modelyard_deployer.domain.routes import Version
from modelyard_deployer.workloads.connections import ConnectionFiles


class ConnectionPrices:
    """Prices of versions. A changed price wakes the models that have it, so that their routes are published anew.

    models: folder with the files of a version below its digest. wake: reconciles a model; callable from any thread.
    """

    def __init__(self, connections: ConnectionFiles, models: Path, wake: Callable[[str], None]) -> None:
        self._connections, self._models, self._wake = connections, models, wake
        self._provider_models: dict[str, str] = {}
        self._users: dict[str, set[str]] = {}

    def of(self, version: Version) -> Price | None:
        """The price in US dollars; None while the connection has not been read, or the files are not here."""
        manifest = version.file.manifest
        reference = connection_of(manifest)
        if reference is None:
            return manifest.price
        self._users.setdefault(reference, set()).add(version.model)
        model = self._provider_model(version)
        if model is None or reference not in self._connections.known:
            return None
        return price_now(self._connections.known[reference], model, manifest.price)

    def refresh(self) -> None:
        """Read the connections again, and wake the models whose connection has changed."""
        before = dict(self._connections.known)
        self._connections.refresh()
        for reference, connection in list(self._connections.known.items()):
            if reference not in before or before[reference] != connection:
                for model in sorted(self._users.get(reference, ())):
                    self._wake(model)

    def _provider_model(self, version: Version) -> str | None:
        if version.digest not in self._provider_models:
            model = _read_model(self._models / version.digest.removeprefix("sha256:"), version)
            if model is None:
                return None
            self._provider_models[version.digest] = model
        return self._provider_models[version.digest]


def _read_model(folder: Path, version: Version) -> str | None:
    """The id of a version's model at its provider, as its model server reads it; None without the file."""
    manifest = version.file.manifest
    for path in (manifest.options.get(MODEL_OPTION), *(file.path for file in manifest.files)):
        with contextlib.suppress(OSError, DocumentError):
            if path is not None:
                return read(ConnectedModel, (folder / path).read_bytes()).model
    return None


def price_now(connection: Connection | None, model: str, registered: Price) -> Price:
    """Price of a model of a provider; `registered`, that of the version, if the connection states none in US dollars.

    A model whose connection was deleted, or no longer lists it, is never called and costs nothing.
    """
    if connection is None or (connection.models and model not in connection.models):
        return Price()
    return connection.price_of(model) or registered
