"""Which versions may share a model server's process with other versions of their model."""

from typing import Final

from modelyard_contracts.manifest import ModelManifest

SHARED_FLAVOURS: Final = frozenset({"sklearn", "online", "torch-mlp", "text-linear"})
"""Flavours whose models are small, and load and answer in a moment. A flavour that is not listed, such as one that
generates text, has a process of its own. The list is not in modelyard_flavours because the deployer reads it, which has
no other use for the libraries that the flavours import."""
MAX_SHARED_BYTES: Final = 64 << 20
"""Files of a version that may share."""


def shares_process(manifest: ModelManifest) -> bool:
    """Whether a version may share a process."""
    size_bytes = sum(entry.size_bytes for entry in manifest.files)
    return manifest.flavour in SHARED_FLAVOURS and size_bytes <= MAX_SHARED_BYTES
