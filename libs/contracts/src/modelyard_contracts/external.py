"""Versions whose model is not in their files: a container image, or a model behind the API of a provider.

Their one file is such a document. The files of a version are its identity, so an image is named by its digest.
"""

from collections.abc import Mapping
from typing import ClassVar, Final, Literal

from pydantic import Field

from modelyard_contracts.connections import CONNECTION
from modelyard_contracts.documents import Document
from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.numbers import Count
from modelyard_contracts.references import InvalidReference, Reference, workspace_of

CONTAINER: Final = "container"
"""Flavour of a container image."""
EXTERNAL_API: Final = "external-api"
"""Flavour of a model behind an API."""
IMAGE_DIGEST: Final = r"sha256:[0-9a-f]{64}"
IMAGE: Final = rf"^[a-z0-9][a-z0-9._/:-]{{0,400}}@{IMAGE_DIGEST}$"
NO_RUNTIME: Final = "it is a container image, and this platform has no container runtime yet"
NO_CONNECTION: Final = "it is a model that states endpoint and secret itself; register it through a connection"


class ImageReference(Document):
    """A container image."""

    DOCUMENT: ClassVar[str] = "container image"

    kind: Literal["container-image"] = "container-image"
    image: str = Field(pattern=IMAGE)
    """`registry/name@sha256:<hex>`: a tag may name other bytes tomorrow."""


class ApiReference(Document):
    """A model of a provider. The secret is a name only; its value is never part of a version."""

    DOCUMENT: ClassVar[str] = "api model"

    kind: Literal["api-model"] = "api-model"
    endpoint: str = Field(pattern=r"^https://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?$", max_length=1_000)
    model: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$", max_length=200)
    """Id of the model at the provider."""
    context_tokens: Count = Field(gt=0)
    """Most tokens of one request and its answer together."""
    secret: str = Field(pattern=r"^[A-Z][A-Z0-9_]{0,127}$")
    """Environment variable that holds the key of the provider, where the provider is called."""


class ConnectedModel(Document):
    """A model of a provider that is called through a connection, which the option `connection` of the manifest names.

    Address, key, prices and limits are those of the connection, so they change without a new version.
    """

    DOCUMENT: ClassVar[str] = "api model"

    kind: Literal["api-model"] = "api-model"
    model: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$", max_length=200)
    """Id of the model at the provider."""


def not_served(flavour: str, options: Mapping[str, str]) -> str | None:
    """Why a version is registered, but neither tried nor served; None if it can be.

    options: of its manifest.
    """
    if flavour == EXTERNAL_API:
        return None if options.get(CONNECTION) else NO_CONNECTION
    return NO_RUNTIME if flavour == CONTAINER else None


def connection_of(manifest: ModelManifest) -> str | None:
    """Reference of the connection that a model of a provider is called through; a bare name is in its own workspace."""
    name = manifest.options.get(CONNECTION) if manifest.flavour == EXTERNAL_API else None
    if not name:
        return None
    try:
        return str(Reference.parse(name if ":" in name else f"{workspace_of(manifest.model)}:{name}"))
    except InvalidReference:
        return name  # refused when the version is created
