"""Flavour `external-api`: a model of a provider, called through a connection of the registry.

The version's one file names the model at the provider. Address, key, prices and limits come from the connection, as a
file that the process of the version gets beside the version, and that may change while it serves.
"""

from collections.abc import Mapping
from typing import Final

from modelyard_contracts.connections import CONNECTION
from modelyard_contracts.documents import DocumentError, read
from modelyard_contracts.external import EXTERNAL_API, ConnectedModel
from modelyard_contracts.manifest import MODEL_OPTION
from modelyard_contracts.signature import ColumnType, Task
from modelyard_flavours.errors import Inadmissible
from modelyard_flavours.providers.access import Access
from modelyard_flavours.providers.chat import ChatGenerator
from modelyard_flavours.providers.embeddings import RemoteEncoder
from modelyard_flavours.version import Version

NAME: Final = EXTERNAL_API
LIMIT: Final = "limit_name"
DIMENSION: Final = "dimension"
OPTIONS: Final[Mapping[str, str]] = {
    MODEL_OPTION: "path of the document with the model's id at the provider",
    CONNECTION: "connection that calls the provider",
    LIMIT: "field of a request with the most tokens of an answer: max_tokens, or max_completion_tokens",
    DIMENSION: "of an embedding: numbers of a vector",
}


def check(version: Version) -> None:
    """Inadmissible unless the version names model and connection, and has the permission for the network."""
    version.require_options(OPTIONS)
    _model(version)
    version.option(LIMIT, "max_tokens", ("max_tokens", "max_completion_tokens"))
    if not version.manifest.options.get(CONNECTION):
        raise Inadmissible("options.connection", "is missing; register the model through a connection")
    if not version.manifest.permissions.network:
        raise Inadmissible("permissions.network", "is missing; a model of a provider is called over the network")
    if version.signature.task not in (Task.TEXT, Task.EMBEDDING):
        raise Inadmissible("task", f"is {version.signature.task}; a model of a provider has text or embedding")
    if [column.type for column in version.signature.columns] != [ColumnType.TEXT]:
        raise Inadmissible("signature", "a model of a provider takes one text; give it one column of the type text")


def load(version: Version) -> RemoteEncoder:
    """The model of a version that embeds texts; calls nothing."""
    check(version)
    model = _model(version)
    access, signature = Access(version.connection, model), version.signature
    return RemoteEncoder(access, model, signature.columns[0].name, signature.width)


def load_generator(version: Version) -> ChatGenerator:
    """The model of a version that answers texts; calls nothing."""
    check(version)
    model = _model(version)
    return ChatGenerator(Access(version.connection, model), model, version.option(LIMIT, "max_tokens"))


def _model(version: Version) -> str:
    """The id of the model at the provider."""
    path = version.model_file({".json"})
    try:
        return read(ConnectedModel, path.read_bytes()).model
    except DocumentError as error:
        raise Inadmissible(path.name, str(error)) from error


def environment() -> dict[str, str]:
    """Loading needs no further package."""
    return {}
